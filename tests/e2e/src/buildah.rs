//! Buildah with storage of the test's own: builds images step by step, without a daemon.

use std::path::Path;

use tempfile::TempDir;

use crate::process::{Cmd, Outcome};

/// What a machine needs for [`Buildah`].
pub const NEEDS: &[&str] = &["buildah"];

/// A Buildah of its own.
#[derive(Debug)]
pub struct Buildah {
    home: TempDir,
}

impl Buildah {
    /// Makes the folders.
    ///
    /// # Panics
    /// When the temporary folder is not writable.
    #[must_use]
    pub fn new() -> Self {
        let home = tempfile::Builder::new()
            .prefix("mh-buildah-")
            .tempdir()
            .expect("the temporary folder is writable");
        // An authentication file that is named must exist.
        std::fs::write(home.path().join("auth.json"), "{}")
            .expect("the temporary folder is writable");
        Self { home }
    }

    /// A `buildah` command.
    #[must_use]
    pub fn cli(&self) -> Cmd {
        Cmd::new("buildah")
            .arg("--root")
            .arg(self.home.path().join("root"))
            .arg("--runroot")
            .arg(self.home.path().join("run"))
            .arg("--storage-driver=vfs")
            .env("REGISTRY_AUTH_FILE", self.home.path().join("auth.json"))
            .env_clear_of_proxies()
    }

    /// Builds `name` from nothing: one layer per archive, then one command.
    pub fn build(&self, name: &str, layers: &[&Path], command: &str) {
        let container = self
            .cli()
            .args(["from", "scratch"])
            .ok()
            .stdout
            .trim()
            .to_owned();
        for layer in layers {
            self.cli()
                .args(["add", &container])
                .arg(layer)
                .arg("/")
                .ok();
        }
        self.cli()
            .args([
                "config",
                "--cmd",
                command,
                "--env",
                "PATH=/usr/local/bin:/usr/bin:/bin",
            ])
            .arg(&container)
            .ok();
        self.cli().args(["commit", "--rm", &container, name]).ok();
    }

    /// `buildah login -u USER HOST`.
    #[must_use]
    pub fn login(&self, host: &str, user: &str, password: &str) -> Outcome {
        self.cli()
            .args([
                "login",
                "--tls-verify=false",
                "-u",
                user,
                "--password-stdin",
                host,
            ])
            .stdin(password)
            .shown(format!("buildah login -u {user} {host}"))
            .run()
    }

    /// `buildah push NAME docker://IMAGE`.
    #[must_use]
    pub fn push(&self, name: &str, image: &str) -> Outcome {
        self.cli()
            .args([
                "push",
                "--tls-verify=false",
                name,
                &format!("docker://{image}"),
            ])
            .shown(format!("buildah push {name} docker://{image}"))
            .run()
    }

    /// `buildah pull IMAGE`.
    #[must_use]
    pub fn pull(&self, image: &str) -> Outcome {
        self.cli()
            .args(["pull", "--tls-verify=false", &format!("docker://{image}")])
            .shown(format!("buildah pull docker://{image}"))
            .run()
    }
}

impl Default for Buildah {
    fn default() -> Self {
        Self::new()
    }
}
