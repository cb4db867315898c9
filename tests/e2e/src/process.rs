//! Commands that are run to their end, within a limit, and shown as a transcript.
//!
//! What serves until it is asked to shut down is a [`crate::daemon`].

use std::ffi::{OsStr, OsString};
use std::fmt::Write as _;
use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// How long an ordinary client command may take.
const COMMAND_LIMIT: Duration = Duration::from_secs(120);
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

    pub(crate) fn line(&self) -> String {
        self.shown.clone().unwrap_or_else(|| {
            let mut line = self.program.to_string_lossy().into_owned();
            for arg in &self.args {
                let _ = write!(line, " {}", arg.to_string_lossy());
            }
            line
        })
    }

    pub(crate) fn std(&self) -> Command {
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

pub(crate) fn wait_child(child: &mut Child, limit: Duration) -> Option<ExitStatus> {
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
}
