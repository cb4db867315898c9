//! The program of a node, and a user of a node with a home of their own.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use tempfile::TempDir;

use crate::fixture::target_folder;
use crate::metahub::MetaHub;
use crate::process::Cmd;

/// Names a program to test in place of the one that cargo builds here.
pub const PROGRAM: &str = "METAHUB_NODE_BIN";

/// The program, freshly built where [`PROGRAM`] names no other.
///
/// # Panics
/// When it does not build.
#[must_use]
pub fn program() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        if let Some(given) = std::env::var_os(PROGRAM) {
            let given = PathBuf::from(given);
            return std::fs::canonicalize(&given).unwrap_or(given);
        }
        Cmd::new(env!("CARGO"))
            .args([
                "build",
                "--quiet",
                "--package",
                "metahub-node",
                "--target-dir",
            ])
            .arg(target_folder())
            .dir(Path::new(env!("CARGO_MANIFEST_DIR")))
            .limit(Duration::from_secs(1800))
            .ok();
        target_folder().join("debug/metahub-node")
    })
}

/// A user of a node whose hardware the policy states, so that tests say the same everywhere.
#[derive(Debug)]
pub struct NodeUser {
    home: TempDir,
}

impl NodeUser {
    /// A user without any configuration, on a node that provides `features`.
    ///
    /// # Panics
    /// When the temporary folder is not writable.
    #[must_use]
    pub fn new(features: &[&str]) -> Self {
        let home = tempfile::Builder::new()
            .prefix("mh-node-")
            .tempdir()
            .expect("the temporary folder is writable");
        let user = Self { home };
        for folder in [".local/bin", "run"] {
            std::fs::create_dir_all(user.path(folder)).expect("the folder is writable");
        }
        let features: Vec<String> = features.iter().map(|text| format!("\"{text}\"")).collect();
        let policy = format!(
            "tools: false\ntimeout: 120s\ncache: {}\nfeatures: [{}]\nkeys: [arch, cuda, mpi]\n",
            user.path("cache").display(),
            features.join(", ")
        );
        user.write("node.yaml", &policy);
        user
    }

    /// A path in the home folder.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// Writes a file in the home folder.
    ///
    /// # Panics
    /// When it is not writable.
    pub fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).expect("the folder is writable");
        }
        std::fs::write(path, text).expect("the folder is writable");
    }

    /// What a file in the home folder says; nothing where there is none.
    #[must_use]
    pub fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    /// `command` as this user runs it.
    #[must_use]
    pub fn with(&self, command: Cmd) -> Cmd {
        let path = std::env::var("PATH").unwrap_or_default();
        let own = self.path(".local/bin");
        command
            .env("HOME", self.home.path())
            .env("XDG_RUNTIME_DIR", self.path("run"))
            .env("XDG_CONFIG_HOME", "")
            .env("REGISTRY_AUTH_FILE", "")
            .env("METAHUB_NODE_CONFIG", self.path("node.yaml"))
            .env("PATH", format!("{}:{path}", own.display()))
    }

    /// A `metahub-node` command of this user.
    #[must_use]
    pub fn command(&self, args: &[&str]) -> Cmd {
        let shown = format!("metahub-node {}", args.join(" "));
        self.with(
            Cmd::new(program())
                .args(args)
                .shown(shown)
                .env_clear_of_proxies(),
        )
    }

    /// The digest that `login` gets for `image` of `metahub`.
    ///
    /// # Panics
    /// When it gets none.
    #[must_use]
    pub fn digest(metahub: &MetaHub, image: &str, login: &str, password: &str) -> String {
        let (name, tag) = image.split_once(':').unwrap_or((image, "latest"));
        metahub
            .call("HEAD", &format!("/v2/{name}/manifests/{tag}"))
            .login(Some((login, password)))
            .send()
            .expect(200)
            .header("docker-content-digest")
            .to_owned()
    }
}
