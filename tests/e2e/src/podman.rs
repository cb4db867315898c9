//! Podman with storage and a credentials file of the test's own.
//!
//! It never touches the machine's own container storage.

use std::path::PathBuf;

use tempfile::TempDir;

use crate::process::{Cmd, Outcome};

/// What a machine needs for [`Podman`].
pub const NEEDS: &[&str] = &["podman", "runc"];

/// A Podman of its own; there is no daemon.
#[derive(Debug)]
pub struct Podman {
    home: TempDir,
}

impl Podman {
    /// Makes the folders.
    ///
    /// # Panics
    /// When the temporary folder is not writable.
    #[must_use]
    pub fn new() -> Self {
        let home = tempfile::Builder::new()
            .prefix("mh-podman-")
            .tempdir()
            .expect("the temporary folder is writable");
        Self { home }
    }

    fn auth_file(&self, who: &str) -> PathBuf {
        self.home
            .path()
            .join(format!("auth-{}.json", who.replace(['/', '+', '='], "_")))
    }

    /// A `podman` command of the user `who`.
    ///
    /// # Panics
    /// When that user's credentials file cannot be made.
    #[must_use]
    pub fn cli(&self, who: &str) -> Cmd {
        let auth = self.auth_file(who);
        if !auth.exists() {
            // A credentials file that is named must exist.
            std::fs::write(&auth, "{}").expect("the temporary folder is writable");
        }
        Cmd::new("podman")
            .arg("--root")
            .arg(self.home.path().join("root"))
            .arg("--runroot")
            .arg(self.home.path().join("run"))
            .arg("--tmpdir")
            .arg(self.home.path().join("tmp"))
            .args([
                "--storage-driver=overlay",
                "--cgroup-manager=cgroupfs",
                "--runtime=runc",
            ])
            .args(["--events-backend=none"])
            .env("REGISTRY_AUTH_FILE", auth)
            .env_clear_of_proxies()
    }

    /// `podman login -u USER HOST`.
    #[must_use]
    pub fn login(&self, who: &str, host: &str, user: &str, password: &str) -> Outcome {
        self.cli(who)
            .args([
                "login",
                "--tls-verify=false",
                "-u",
                user,
                "--password-stdin",
                host,
            ])
            .stdin(password)
            .shown(format!("podman login -u {user} {host}"))
            .run()
    }

    /// `podman pull IMAGE`.
    #[must_use]
    pub fn pull(&self, who: &str, image: &str) -> Outcome {
        self.cli(who)
            .args(["pull", "--tls-verify=false", image])
            .shown(format!("podman pull {image}"))
            .run()
    }

    /// `podman push IMAGE`.
    #[must_use]
    pub fn push(&self, who: &str, image: &str) -> Outcome {
        self.cli(who)
            .args(["push", "--tls-verify=false", image])
            .shown(format!("podman push {image}"))
            .run()
    }

    /// `podman run IMAGE ARGS...` of an image already pulled.
    #[must_use]
    pub fn run(&self, who: &str, image: &str, args: &[&str]) -> Outcome {
        self.cli(who)
            .args(["run", "--rm", "--pull=never", "--network=host"])
            // The default limits are above what a nested machine allows.
            .args(["--ulimit=nofile=1024:1024", "--ulimit=nproc=1024:1024"])
            .arg(image)
            .args(args)
            .shown(format!("podman run {image} {}", args.join(" ")).trim_end())
            .run()
    }

    /// The manifest digest of a pulled image.
    #[must_use]
    pub fn digest(&self, image: &str) -> String {
        let seen = self
            .cli("any")
            .args(["image", "inspect", "--format", "{{.Digest}}", image])
            .ok();
        seen.stdout.trim().to_owned()
    }
}

impl Default for Podman {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Podman {
    fn drop(&mut self) {
        // Unmounts what is still mounted, so that the folder can be removed.
        let _ = self
            .cli("any")
            .args(["system", "reset", "--force"])
            .shown("podman system reset")
            .run();
    }
}
