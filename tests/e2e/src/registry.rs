//! Debian's `docker-registry` as an upstream: another registry than ours, with other code.

use std::path::Path;

use tempfile::TempDir;

use crate::daemon::Daemon;
use crate::process::Cmd;

/// What a machine needs for [`Registry`].
pub const NEEDS: &[&str] = &["docker-registry", "setpriv"];

/// A running registry on a free port of the loopback.
#[derive(Debug)]
pub struct Registry {
    daemon: Daemon,
    host: String,
    _config: TempDir,
}

impl Registry {
    /// Serves what is under `root` and takes pushes.
    #[must_use]
    pub fn writable(root: &Path) -> Self {
        Self::start(root, false, None)
    }

    /// The same for those that `users`, lines of an `htpasswd` file, name.
    #[must_use]
    pub fn guarded(root: &Path, users: &str) -> Self {
        Self::start(root, false, Some(users))
    }

    /// Serves what is under `root` and changes nothing there.
    #[must_use]
    pub fn read_only(root: &Path) -> Self {
        Self::start(root, true, None)
    }

    fn start(root: &Path, read_only: bool, users: Option<&str>) -> Self {
        let folder = tempfile::tempdir().expect("the temporary folder is writable");
        let auth = users.map_or_else(String::new, |users| {
            let file = folder.path().join("htpasswd");
            std::fs::write(&file, users).expect("the temporary folder is writable");
            let file = file.display();
            format!("auth:\n  htpasswd:\n    realm: a test\n    path: {file}\n")
        });
        let file = folder.path().join("config.yml");
        let config = format!(
            "version: 0.1\n\
             log:\n  level: info\n  formatter: text\n  accesslog:\n    disabled: true\n\
             storage:\n  filesystem:\n    rootdirectory: {}\n  cache:\n    blobdescriptor: inmemory\n\
             \x20 maintenance:\n    uploadpurging:\n      enabled: false\n    readonly:\n      enabled: {read_only}\n\
             http:\n  addr: 127.0.0.1:0\n{auth}",
            root.display()
        );
        std::fs::write(&file, config).expect("the temporary folder is writable");
        let mut daemon = Daemon::start(
            "docker-registry",
            &Cmd::new("docker-registry").arg("serve").arg(&file),
        );
        let host = daemon.wait_for_line("listening address", |line| {
            let rest = line.split_once("listening on ")?.1;
            Some(rest.split(['"', ',', ' ']).next()?.to_owned())
        });
        Self {
            daemon,
            host,
            _config: folder,
        }
    }

    /// Its `127.0.0.1:PORT`.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// What it has logged.
    #[must_use]
    pub fn log(&self) -> String {
        self.daemon.log()
    }
}
