//! Child processes: commands that end within a limit, and daemons that are waited for by a
//! condition, watched while waiting, and ended by their own process id.
//!
//! Never ends a process that it did not start, and leaves none behind: each daemon gets SIGTERM
//! from the kernel when the test process dies, however it dies.

use std::ffi::{OsStr, OsString};
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Condvar, Mutex, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// How long an ordinary client command may take.
const COMMAND_LIMIT: Duration = Duration::from_secs(120);
/// How long a daemon may take to become ready.
pub const START_LIMIT: Duration = Duration::from_secs(60);
/// How long a daemon may take to end after SIGTERM before it is killed.
const STOP_LIMIT: Duration = Duration::from_secs(20);
/// The pause between two looks at a condition that nobody announces.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// A command line to be run to its end.
#[derive(Debug)]
pub struct Cmd {
    program: OsString,
    args: Vec<OsString>,
    env: Vec<(OsString, OsString)>,
    stdin: Option<String>,
    limit: Duration,
    /// How a person would have typed it; shown in the transcript.
    shown: Option<String>,
    dir: Option<OsString>,
}

/// How a command ended and what it printed.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The command as shown in the transcript.
    pub command: String,
    /// The exit status; `None` if it was ended by a signal or at its limit.
    pub code: Option<i32>,
    /// Standard output, lossily decoded.
    pub stdout: String,
    /// Standard error, lossily decoded.
    pub stderr: String,
}

impl Cmd {
    /// A command that finds `program` in `PATH`.
    pub fn new(program: impl AsRef<OsStr>) -> Self {
        Self {
            program: program.as_ref().to_owned(),
            args: Vec::new(),
            env: Vec::new(),
            stdin: None,
            limit: COMMAND_LIMIT,
            shown: None,
            dir: None,
        }
    }

    /// Adds one argument.
    #[must_use]
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.args.push(arg.as_ref().to_owned());
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<A: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.args
            .extend(args.into_iter().map(|arg| arg.as_ref().to_owned()));
        self
    }

    /// Sets an environment variable.
    #[must_use]
    pub fn env(mut self, key: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.env
            .push((key.as_ref().to_owned(), value.as_ref().to_owned()));
        self
    }

    /// Leaves this machine's HTTP proxy out: every address of these tests is on the loopback.
    #[must_use]
    pub fn env_clear_of_proxies(self) -> Self {
        self.env("NO_PROXY", "127.0.0.1,localhost")
            .env("no_proxy", "127.0.0.1,localhost")
    }

    /// Sets the working directory.
    #[must_use]
    pub fn dir(mut self, dir: &Path) -> Self {
        self.dir = Some(dir.as_os_str().to_owned());
        self
    }

    /// What the command reads from standard input, which is otherwise empty.
    #[must_use]
    pub fn stdin(mut self, text: impl Into<String>) -> Self {
        self.stdin = Some(text.into());
        self
    }

    /// How long it may take before it is killed.
    #[must_use]
    pub fn limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// The line shown for it in the transcript, instead of every option.
    #[must_use]
    pub fn shown(mut self, line: impl Into<String>) -> Self {
        self.shown = Some(line.into());
        self
    }

    fn line(&self) -> String {
        self.shown.clone().unwrap_or_else(|| {
            let mut line = self.program.to_string_lossy().into_owned();
            for arg in &self.args {
                let _ = write!(line, " {}", arg.to_string_lossy());
            }
            line
        })
    }

    fn std(&self) -> Command {
        let mut command = Command::new(&self.program);
        command
            .args(&self.args)
            .envs(self.env.iter().map(|(key, value)| (key, value)));
        if let Some(dir) = &self.dir {
            command.current_dir(dir);
        }
        command
    }

    /// Runs it to its end, whatever that is, and prints it as a transcript.
    ///
    /// # Panics
    /// When the program cannot be started or passes its limit.
    #[must_use]
    pub fn run(self) -> Outcome {
        let line = self.line();
        let mut command = self.std();
        command
            .stdin(if self.stdin.is_some() {
                Stdio::piped()
            } else {
                Stdio::null()
            })
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command
            .spawn()
            .unwrap_or_else(|error| panic!("`{line}`: {error}"));
        if let (Some(text), Some(mut pipe)) = (&self.stdin, child.stdin.take()) {
            // A child that does not read its input is its own affair.
            let _ = std::io::Write::write_all(&mut pipe, text.as_bytes());
        }
        let stdout = drain(child.stdout.take().expect("standard output is piped"));
        let stderr = drain(child.stderr.take().expect("standard error is piped"));
        let ended = wait_child(&mut child, self.limit);
        if ended.is_none() {
            let _ = child.kill();
            let _ = child.wait();
        }
        let collect = |thread: thread::JoinHandle<Vec<u8>>| {
            let bytes = thread.join().expect("the reading thread does not panic");
            String::from_utf8_lossy(&bytes).into_owned()
        };
        let outcome = Outcome {
            command: line,
            code: ended.and_then(|status| status.code()),
            stdout: collect(stdout),
            stderr: collect(stderr),
        };
        println!("{outcome}");
        assert!(
            ended.is_some(),
            "`{}` was not done after {:?}",
            outcome.command,
            self.limit
        );
        outcome
    }

    /// Runs it and requires success.
    ///
    /// # Panics
    /// When it fails.
    #[track_caller]
    pub fn ok(self) -> Outcome {
        let outcome = self.run();
        assert!(outcome.code == Some(0), "this was to succeed:\n{outcome}");
        outcome
    }

    /// Runs it and requires failure.
    ///
    /// # Panics
    /// When it succeeds.
    #[track_caller]
    pub fn fails(self) -> Outcome {
        let outcome = self.run();
        assert!(outcome.code != Some(0), "this was to fail:\n{outcome}");
        outcome
    }
}

impl Outcome {
    /// Standard output and standard error, one after the other.
    #[must_use]
    pub fn all(&self) -> String {
        format!("{}{}", self.stdout, self.stderr)
    }

    /// Requires success and JSON on standard output.
    ///
    /// # Panics
    /// When it is not so.
    #[must_use]
    #[track_caller]
    pub fn ok_json(&self) -> serde_json::Value {
        assert!(self.code == Some(0), "this was to succeed:\n{self}");
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error} in:\n{self}"))
    }

    /// Requires `text` somewhere in what was printed.
    ///
    /// # Panics
    /// When it is not there.
    #[track_caller]
    pub fn says(&self, text: &str) -> &Self {
        assert!(
            self.all().contains(text),
            "`{text}` was to be printed:\n{self}"
        );
        self
    }

    /// Requires that `text` is nowhere in what was printed.
    ///
    /// # Panics
    /// When it is there.
    #[track_caller]
    pub fn does_not_say(&self, text: &str) -> &Self {
        assert!(
            !self.all().contains(text),
            "`{text}` was not to be printed:\n{self}"
        );
        self
    }
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "$ {}", self.command)?;
        write!(f, "{}{}", self.stdout, self.stderr)?;
        match self.code {
            Some(0) => Ok(()),
            Some(code) => write!(f, "[exit {code}]"),
            None => write!(f, "[ended by a signal]"),
        }
    }
}

fn drain(mut pipe: impl Read + Send + 'static) -> thread::JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = pipe.read_to_end(&mut bytes);
        bytes
    })
}

fn wait_child(child: &mut Child, limit: Duration) -> Option<ExitStatus> {
    let mut ended = None;
    wait_until(limit, || {
        ended = child.try_wait().expect("a child of ours can be waited for");
        ended.is_some()
    });
    ended
}

/// Looks at `condition` until it holds or `limit` has passed, and says whether it held.
///
/// For conditions that nobody announces (a port, a file, a child's end).
pub fn wait_until(limit: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + limit;
    loop {
        if condition() {
            return true;
        }
        if Instant::now() >= end {
            return false;
        }
        thread::park_timeout(LOOK_AGAIN);
    }
}

/// A child process that serves until it is dropped.
#[derive(Debug)]
pub struct Daemon {
    name: String,
    child: Child,
    log: Arc<Log>,
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
        follow(
            child.stdout.take().expect("standard output is piped"),
            Arc::clone(&log),
        );
        follow(
            child.stderr.take().expect("standard error is piped"),
            Arc::clone(&log),
        );
        Self {
            name: name.to_owned(),
            child,
            log,
        }
    }

    /// Everything it has printed so far.
    ///
    /// # Panics
    /// Never in practice: only if a reading thread panicked.
    #[must_use]
    pub fn log(&self) -> String {
        self.log.lines.lock().expect("no reader panics").join("\n")
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

fn follow(pipe: impl Read + Send + 'static, log: Arc<Log>) {
    thread::spawn(move || {
        for line in BufReader::new(pipe).split(b'\n').map_while(Result::ok) {
            let line = String::from_utf8_lossy(&line).into_owned();
            log.lines.lock().expect("no reader panics").push(line);
            log.grew.notify_all();
        }
    });
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
    fn a_command_gets_its_input_and_gives_its_output() {
        let said = Cmd::new("cat").stdin("hello\n").ok();
        assert_eq!(said.stdout, "hello\n");
    }

    #[test]
    #[should_panic(expected = "was not done after")]
    fn a_command_that_hangs_is_ended_at_its_limit() {
        let _ = Cmd::new("cat")
            .arg("/dev/zero")
            .limit(Duration::from_millis(100))
            .run();
    }

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
