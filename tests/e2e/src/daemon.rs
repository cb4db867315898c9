//! Child processes that serve until they are dropped: waited for by a condition, watched while
//! waiting, and ended by their own process id.
//!
//! Never ends a process that it did not start, and leaves none behind: each daemon gets SIGTERM
//! from the kernel when the test process dies, however it dies.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Condvar, Mutex, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::process::{Cmd, wait_child, wait_until};

/// How long a daemon may take to become ready.
pub const START_LIMIT: Duration = Duration::from_secs(60);
/// How long a daemon may take to end after SIGTERM before it is killed.
const STOP_LIMIT: Duration = Duration::from_secs(20);
/// How long what a daemon that has ended left in its pipes may take to be read.
const REST_LIMIT: Duration = Duration::from_secs(2);

/// A child process that serves until it is dropped.
#[derive(Debug)]
pub struct Daemon {
    name: String,
    child: Child,
    log: Arc<Log>,
    /// Who reads what it prints, until it ends.
    readers: [thread::JoinHandle<()>; 2],
}

#[derive(Debug, Default)]
struct Log {
    lines: Mutex<Vec<String>>,
    grew: Condvar,
}

impl Daemon {
    /// Starts `command`; its standard output and error are kept as a log.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn start(name: &str, command: &Cmd) -> Self {
        // setpriv(1) has the kernel send SIGTERM when the thread that started the child ends.
        // It replaces itself by the program, so the process id is the program's own.
        let mut wrapped = Command::new("setpriv");
        let inner = command.std();
        wrapped
            .args(["--pdeathsig", "TERM", "--"])
            .arg(inner.get_program())
            .args(inner.get_args());
        for (key, value) in inner.get_envs() {
            wrapped.env(key, value.unwrap_or_default());
        }
        if let Some(dir) = inner.get_current_dir() {
            wrapped.current_dir(dir);
        }
        wrapped
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = spawn_on_lasting_thread(wrapped)
            .unwrap_or_else(|error| panic!("{name}: `{}`: {error}", command.line()));
        let log = Arc::new(Log::default());
        let stdout = child.stdout.take().expect("standard output is piped");
        let stderr = child.stderr.take().expect("standard error is piped");
        let readers = [
            follow(stdout, Arc::clone(&log)),
            follow(stderr, Arc::clone(&log)),
        ];
        Self {
            name: name.to_owned(),
            child,
            log,
            readers,
        }
    }

    /// Everything it has printed so far; whole when [`Daemon::terminate`] has ended it.
    ///
    /// # Panics
    /// Never in practice: only if a reading thread panicked.
    #[must_use]
    pub fn log(&self) -> String {
        self.log.lines.lock().expect("no reader panics").join("\n")
    }

    /// Whether it prints `text` sooner or later: a log is written a little after what it tells of.
    #[must_use]
    pub fn says(&self, text: &str) -> bool {
        wait_until(START_LIMIT, || self.log().contains(text))
    }

    /// Waits for a line that `pick` accepts and returns what it made of it.
    ///
    /// # Panics
    /// When the process ends first, or [`START_LIMIT`] passes; the message holds its log.
    pub fn wait_for_line<T>(&mut self, what: &str, pick: impl Fn(&str) -> Option<T>) -> T {
        let end = Instant::now() + START_LIMIT;
        loop {
            let lines = self.log.lines.lock().expect("no reader panics");
            if let Some(found) = lines.iter().find_map(|line| pick(line)) {
                return found;
            }
            // The timeout bounds how late a silent death is noticed; lines wake it at once.
            drop(
                self.log
                    .grew
                    .wait_timeout(lines, Duration::from_millis(200)),
            );
            self.assert_alive(what);
            assert!(
                Instant::now() < end,
                "{}: no {what} after {START_LIMIT:?}:\n{}",
                self.name,
                self.log()
            );
        }
    }

    /// Waits until `ready` holds.
    ///
    /// # Panics
    /// When the process ends first, or [`START_LIMIT`] passes; the message holds its log.
    pub fn wait_ready(&mut self, what: &str, mut ready: impl FnMut() -> bool) {
        let held = wait_until(START_LIMIT, || {
            self.assert_alive(what);
            ready()
        });
        assert!(
            held,
            "{}: no {what} after {START_LIMIT:?}:\n{}",
            self.name,
            self.log()
        );
    }

    /// What each of its threads is doing: its name, its state and where in the kernel it waits.
    #[must_use]
    pub fn threads(&self) -> String {
        let tasks = format!("/proc/{}/task", self.child.id());
        let threads = std::fs::read_dir(tasks).into_iter().flatten();
        let lines = threads.filter_map(Result::ok).map(|thread| {
            let told = |file: &str| {
                let text = std::fs::read_to_string(thread.path().join(file)).unwrap_or_default();
                text.trim().to_owned()
            };
            let status = told("status");
            let state = status.lines().find(|line| line.starts_with("State:"));
            let state = state.unwrap_or_default();
            format!(
                "{} {state} {} {}",
                told("comm"),
                told("wchan"),
                told("syscall")
            )
        });
        lines.collect::<Vec<_>>().join("\n")
    }

    fn assert_alive(&mut self, what: &str) {
        if let Some(status) = self
            .child
            .try_wait()
            .expect("a child of ours can be waited for")
        {
            panic!(
                "{} ended ({status}) before {what}:\n{}",
                self.name,
                self.log()
            );
        }
    }

    /// Whether it still runs.
    ///
    /// # Panics
    /// When the operating system cannot say.
    pub fn is_running(&mut self) -> bool {
        self.child
            .try_wait()
            .expect("a child of ours can be waited for")
            .is_none()
    }

    /// The process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends SIGTERM and waits for the end; `None` if it had to be killed.
    pub fn terminate(&mut self) -> Option<ExitStatus> {
        self.signal(Signal::TERM);
        let ended = wait_child(&mut self.child, STOP_LIMIT);
        if ended.is_none() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
        // Not for ever: a child of the child may live on with the same output.
        wait_until(REST_LIMIT, || {
            self.readers.iter().all(thread::JoinHandle::is_finished)
        });
        ended
    }

    /// Sends a signal to the process, if it still runs.
    pub fn signal(&mut self, signal: Signal) {
        if self.is_running()
            && let Some(pid) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw)
        {
            let _ = kill_process(pid, signal);
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if thread::panicking() {
            println!("--- threads of {}:\n{}\n---", self.name, self.threads());
        }
        self.terminate();
        if thread::panicking() {
            let log = self.log();
            let lines: Vec<&str> = log.lines().collect();
            let tail = &lines[lines.len().saturating_sub(40)..];
            println!(
                "--- the end of the log of {}:\n{}\n---",
                self.name,
                tail.join("\n")
            );
        }
    }
}

fn follow(pipe: impl Read + Send + 'static, log: Arc<Log>) -> thread::JoinHandle<()> {
    thread::spawn(move || {
        for line in BufReader::new(pipe).split(b'\n').map_while(Result::ok) {
            let line = String::from_utf8_lossy(&line).into_owned();
            log.lines.lock().expect("no reader panics").push(line);
            log.grew.notify_all();
        }
    })
}

type Spawn = (Command, Sender<std::io::Result<Child>>);

/// Starts a child from a thread that lives as long as this process: the kernel ties a parent
/// death signal to the *thread* that forked, and test threads end with their test.
fn spawn_on_lasting_thread(command: Command) -> std::io::Result<Child> {
    static SPAWNER: OnceLock<Mutex<Sender<Spawn>>> = OnceLock::new();
    let spawner = SPAWNER.get_or_init(|| {
        let (sender, receiver) = channel::<Spawn>();
        thread::spawn(move || {
            for (mut command, answer) in receiver {
                let _ = answer.send(command.spawn());
            }
        });
        Mutex::new(sender)
    });
    let (answer, result) = channel();
    spawner
        .lock()
        .expect("no sender panics")
        .send((command, answer))
        .expect("the spawning thread lives as long as the process");
    result.recv().expect("the spawning thread always answers")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_daemon_ends_on_sigterm_and_its_log_is_kept() {
        let script = "trap 'exit 3' TERM; echo ready; while :; do sleep 0.05; done";
        let mut daemon = Daemon::start("bash", &Cmd::new("bash").args(["-c", script]));
        daemon.wait_for_line("readiness", |line| (line == "ready").then_some(()));
        assert!(daemon.is_running());
        assert_eq!(daemon.terminate().and_then(|status| status.code()), Some(3));
        assert!(daemon.log().starts_with("ready"));
    }

    #[test]
    #[should_panic(expected = "ended (exit status: 7) before readiness")]
    fn a_daemon_that_dies_while_waited_for_is_noticed_at_once() {
        let mut daemon = Daemon::start("bash", &Cmd::new("bash").args(["-c", "exit 7"]));
        daemon.wait_for_line("readiness", |_| None::<()>);
    }
}
