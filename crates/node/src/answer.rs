//! The result of a command: text for standard output, notes for standard error, an exit code.

use std::io::Write as _;

/// The outcome of a command.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// For standard output.
    pub stdout: String,
    /// For standard error, one line each.
    pub notes: Vec<String>,
    /// 0 for success, 3 where nothing fits, 2 for wrong arguments, 1 otherwise.
    pub code: u8,
}

impl Answer {
    /// Success.
    #[must_use]
    pub fn ok(stdout: impl Into<String>) -> Self {
        Self {
            stdout: stdout.into(),
            ..Self::default()
        }
    }

    /// A failure whose text goes to standard output, as helpers' clients expect.
    #[must_use]
    pub fn failure(code: u8, stdout: impl Into<String>) -> Self {
        Self {
            stdout: stdout.into(),
            notes: Vec::new(),
            code,
        }
    }

    /// A failure, printed on standard error.
    #[must_use]
    pub fn error(code: u8, note: impl Into<String>) -> Self {
        Self {
            stdout: String::new(),
            notes: vec![note.into()],
            code,
        }
    }

    /// With notes before those it has.
    #[must_use]
    pub fn noting(mut self, notes: Vec<String>) -> Self {
        self.notes.splice(0..0, notes);
        self
    }

    /// Prints it and gives the exit code. A closed standard output is no error.
    #[must_use]
    pub fn print(&self) -> u8 {
        let mut errors = std::io::stderr().lock();
        for note in &self.notes {
            let _ = writeln!(errors, "metahub-node: {note}");
        }
        let mut out = std::io::stdout().lock();
        let _ = out.write_all(self.stdout.as_bytes());
        if !self.stdout.is_empty() && !self.stdout.ends_with('\n') {
            let _ = out.write_all(b"\n");
        }
        let _ = out.flush();
        self.code
    }
}
