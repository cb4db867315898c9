//! A Docker engine of the test's own, started by hand, and the `docker` client before it.
//!
//! It has its own data, socket and client configuration: it never touches a Docker that the
//! machine already runs, nor anybody's `~/.docker`.

use std::path::PathBuf;

use tempfile::TempDir;

use crate::daemon::Daemon;
use crate::process::{Cmd, Outcome};

/// What a machine needs for [`Docker::start`].
pub const NEEDS: &[&str] = &["docker", "dockerd", "containerd", "runc", "setpriv"];

/// A running engine.
#[derive(Debug)]
pub struct Docker {
    engine: Daemon,
    home: TempDir,
}

impl Docker {
    /// Starts an engine with overlay2, or with vfs where the file system refuses overlay2.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn start() -> Self {
        let home = tempfile::Builder::new()
            .prefix("mh-dockerd-")
            .tempdir()
            .expect("the temporary folder is writable");
        // The older engine chooses its storage driver by itself and falls back to vfs.
        let at = |name: &str| home.path().join(name);
        let command = Cmd::new("dockerd")
            .args(["--iptables=false", "--ip6tables=false", "--bridge=none"])
            .args(["--log-level=error", "--shutdown-timeout=5"])
            .arg("--data-root")
            .arg(at("data"))
            .arg("--exec-root")
            .arg(at("exec"))
            .arg("--pidfile")
            .arg(at("pid"))
            .arg("--host")
            .arg(format!("unix://{}", at("docker.sock").display()));
        let mut engine = Daemon::start("dockerd", &command);
        let socket = at("docker.sock");
        engine.wait_ready("its socket", || {
            std::os::unix::net::UnixStream::connect(&socket).is_ok()
        });
        let docker = Self { engine, home };
        let info = docker
            .cli("engine")
            .args(["info", "--format", "{{.Driver}}"])
            .ok();
        println!("docker engine with storage driver {}", info.stdout.trim());
        docker
    }

    /// A `docker` command of the user `who`, each of whom has a client configuration of their own.
    ///
    /// # Panics
    /// When that user's configuration folder cannot be made.
    #[must_use]
    pub fn cli(&self, who: &str) -> Cmd {
        let config = self.config_of(who);
        std::fs::create_dir_all(&config).expect("the temporary folder is writable");
        Cmd::new("docker")
            .env(
                "DOCKER_HOST",
                format!("unix://{}", self.home.path().join("docker.sock").display()),
            )
            .env("DOCKER_CONFIG", config)
            // BuildKit would need a builder and the network.
            .env("DOCKER_BUILDKIT", "0")
            .env_clear_of_proxies()
    }

    /// The client configuration folder of the user `who`.
    #[must_use]
    pub fn config_of(&self, who: &str) -> PathBuf {
        self.home
            .path()
            .join("config")
            .join(who.replace(['/', '+', '='], "_"))
    }

    /// `docker login HOST -u USER`, as the user `who`.
    #[must_use]
    pub fn login(&self, who: &str, host: &str, user: &str, password: &str) -> Outcome {
        self.cli(who)
            .args(["login", host, "-u", user, "--password-stdin"])
            .stdin(password)
            .shown(format!("docker login {host} -u {user}"))
            .run()
    }

    /// `docker run IMAGE ARGS...`, as the user `who`, always asking the registry first.
    #[must_use]
    pub fn run(&self, who: &str, image: &str, args: &[&str]) -> Outcome {
        self.cli(who)
            .args(["run", "--rm", "--network=host", "--pull=always", image])
            .args(args)
            .shown(format!("docker run {image} {}", args.join(" ")).trim_end())
            .run()
    }

    /// `docker pull IMAGE`, as the user `who`.
    #[must_use]
    pub fn pull(&self, who: &str, image: &str) -> Outcome {
        self.cli(who).args(["pull", image]).run()
    }

    /// `docker push IMAGE`, as the user `who`.
    #[must_use]
    pub fn push(&self, who: &str, image: &str) -> Outcome {
        self.cli(who).args(["push", image]).run()
    }

    /// The digest under which the engine knows `image` from its registry.
    #[must_use]
    pub fn repo_digest(&self, image: &str) -> String {
        let listed = self
            .cli("engine")
            .args([
                "image",
                "inspect",
                "--format",
                "{{index .RepoDigests 0}}",
                image,
            ])
            .ok();
        listed
            .stdout
            .trim()
            .rsplit('@')
            .next()
            .unwrap_or_default()
            .to_owned()
    }
}

impl Drop for Docker {
    fn drop(&mut self) {
        self.engine.terminate();
        // The engine leaves this mount behind, and a folder with a mount cannot be removed.
        let netns = self.home.path().join("exec/netns/default");
        let _ = Cmd::new("umount")
            .arg(netns)
            .shown("umount (engine's leftovers)")
            .run();
    }
}
