//! A `munged` of this test's own: key, socket, log and process id lie in a temporary folder.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::daemon::Daemon;
use crate::process::Cmd;

/// What a machine needs for it.
pub const NEEDS: &[&str] = &["munged", "munge", "unmunge", "setpriv"];

/// Says that it is later, or earlier, by so many seconds.
const OTHER_CLOCK: &str = "#include <time.h>\n\
    time_t time(time_t *t) { struct timespec now; clock_gettime(CLOCK_REALTIME, &now);\n\
    time_t shifted = now.tv_sec + (SHIFT); if (t) *t = shifted; return shifted; }\n";

/// A running `munged`.
#[derive(Debug)]
pub struct Munged {
    daemon: Daemon,
    folder: TempDir,
}

impl Munged {
    /// Starts one with the key that `secret` makes.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn start(secret: &str) -> Self {
        Self::with_clock(secret, 0)
    }

    /// The same whose clock differs by so many seconds, which takes `gcc`.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn with_clock(secret: &str, seconds: i64) -> Self {
        let folder = tempfile::Builder::new().prefix("mh-munge-").tempdir();
        let folder = folder.expect("the temporary folder is writable");
        let at = folder.path();
        // Users reach the socket.
        set_mode(at, 0o755);
        let key = at.join("key");
        std::fs::write(&key, secret.repeat(64)).expect("the folder is writable");
        set_mode(&key, 0o400);
        let option = |name: &str, file: &str| format!("--{name}={}", at.join(file).display());
        let mut command = Cmd::new("munged").args([
            "--foreground".to_owned(),
            "--force".to_owned(),
            option("key-file", "key"),
            option("socket", "socket"),
            option("pid-file", "pid"),
            option("log-file", "log"),
            option("seed-file", "seed"),
        ]);
        if seconds != 0 {
            command = command.env("LD_PRELOAD", other_clock(at, seconds));
        }
        let mut daemon = Daemon::start("munged", &command);
        let socket = at.join("socket");
        daemon.wait_ready("a socket", || {
            Cmd::new("munge")
                .args(["--no-input", "--socket"])
                .arg(&socket)
                .run()
                .code
                == Some(0)
        });
        Self { daemon, folder }
    }

    /// Its socket.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("socket")
    }

    /// A credential of root's with this payload, good for so many seconds.
    ///
    /// # Panics
    /// When none is made.
    #[must_use]
    pub fn credential(&self, payload: &str, lifetime: u32) -> String {
        let command = Cmd::new("munge").arg(format!("--ttl={lifetime}"));
        self.made(command, payload)
    }

    /// A credential of the user with the ID `uid`.
    ///
    /// # Panics
    /// When none is made.
    #[must_use]
    pub fn credential_of(&self, uid: u32, payload: &str) -> String {
        let command = Cmd::new("setpriv").args([
            format!("--reuid={uid}"),
            format!("--regid={uid}"),
            "--clear-groups".to_owned(),
            "munge".to_owned(),
        ]);
        self.made(command, payload)
    }

    fn made(&self, command: Cmd, payload: &str) -> String {
        let command = command.arg("--socket").arg(self.socket());
        command.stdin(payload).ok().stdout.trim().to_owned()
    }

    /// Ends it.
    pub fn stop(&mut self) {
        let _ = self.daemon.terminate();
    }
}

/// A library by which a program takes another time for now.
fn other_clock(folder: &Path, seconds: i64) -> PathBuf {
    let (source, library) = (folder.join("clock.c"), folder.join("clock.so"));
    std::fs::write(&source, OTHER_CLOCK).expect("the folder is writable");
    let _ = Cmd::new("gcc")
        .args(["-shared", "-fPIC", "-o"])
        .arg(&library)
        .arg(format!("-DSHIFT={seconds}"))
        .arg(&source)
        .ok();
    library
}

fn set_mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))
        .expect("a file of this test's own");
}
