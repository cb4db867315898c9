//! Skopeo: looks at images in a registry and copies them, with credentials given in a file.

use std::path::PathBuf;

use tempfile::TempDir;

use crate::process::{Cmd, Outcome};

/// What a machine needs for [`Skopeo`].
pub const NEEDS: &[&str] = &["skopeo"];

/// A Skopeo user.
#[derive(Debug)]
pub struct Skopeo {
    home: TempDir,
}

impl Skopeo {
    /// A user without any login yet.
    ///
    /// # Panics
    /// When the temporary folder is not writable.
    #[must_use]
    pub fn new() -> Self {
        let home = tempfile::Builder::new()
            .prefix("mh-skopeo-")
            .tempdir()
            .expect("the temporary folder is writable");
        // An authentication file that is named must exist.
        std::fs::write(home.path().join("auth.json"), "{}")
            .expect("the temporary folder is writable");
        Self { home }
    }

    /// A path under this user's own folder.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// A `skopeo` command.
    #[must_use]
    pub fn cli(&self) -> Cmd {
        Cmd::new("skopeo")
            .env("REGISTRY_AUTH_FILE", self.path("auth.json"))
            .arg("--tmpdir")
            .arg(self.home.path())
            .arg("--insecure-policy")
            .env_clear_of_proxies()
    }

    /// `skopeo login -u USER HOST`.
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
            .shown(format!("skopeo login -u {user} {host}"))
            .run()
    }

    /// `skopeo inspect --raw docker://IMAGE`: the manifest as served.
    #[must_use]
    pub fn inspect_raw(&self, image: &str) -> Outcome {
        self.cli()
            .args([
                "inspect",
                "--raw",
                "--tls-verify=false",
                &format!("docker://{image}"),
            ])
            .shown(format!("skopeo inspect --raw docker://{image}"))
            .run()
    }

    /// `skopeo inspect docker://IMAGE`: name, digest, layers of the image for this platform.
    #[must_use]
    pub fn inspect(&self, image: &str) -> Outcome {
        self.cli()
            .args([
                "inspect",
                "--no-tags",
                "--tls-verify=false",
                &format!("docker://{image}"),
            ])
            .shown(format!("skopeo inspect docker://{image}"))
            .run()
    }

    /// `skopeo copy FROM TO`, both with their transport; every platform where `all`.
    #[must_use]
    pub fn copy(&self, from: &str, to: &str, all: bool) -> Outcome {
        let mut copy = self.cli().arg("copy");
        if from.starts_with("docker://") {
            copy = copy.arg("--src-tls-verify=false");
        }
        if to.starts_with("docker://") {
            copy = copy.arg("--dest-tls-verify=false");
        }
        if all {
            copy = copy.arg("--all");
        }
        copy.args([from, to])
            .shown(format!("skopeo copy {from} {to}"))
            .run()
    }
}

impl Default for Skopeo {
    fn default() -> Self {
        Self::new()
    }
}
