//! A containerd of the test's own, and its client `ctr` before it, with a folder of `hosts.toml`
//! files as nodes of a cluster have it.
//!
//! It has its own data, state and socket: it never touches a containerd that the machine runs.

use tempfile::TempDir;

use crate::daemon::Daemon;
use crate::process::Cmd;

/// What a machine needs for [`Containerd::start`].
pub const NEEDS: &[&str] = &["containerd", "ctr", "setpriv"];

/// A running containerd.
#[derive(Debug)]
pub struct Containerd {
    _daemon: Daemon,
    home: TempDir,
}

impl Containerd {
    /// Starts one.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn start() -> Self {
        let home = tempfile::Builder::new()
            .prefix("mh-containerd-")
            .tempdir()
            .expect("the temporary folder is writable");
        let at = |name: &str| home.path().join(name);
        let config = format!(
            "version = 2\nroot = '{}'\nstate = '{}'\n\
             disabled_plugins = ['io.containerd.grpc.v1.cri', 'io.containerd.internal.v1.opt']\n\
             [grpc]\naddress = '{}'\n",
            at("root").display(),
            at("state").display(),
            at("sock").display()
        );
        std::fs::write(at("config.toml"), config).expect("the temporary folder is writable");
        let command = Cmd::new("containerd")
            .arg("--config")
            .arg(at("config.toml"))
            .args(["--log-level", "warn"]);
        let mut daemon = Daemon::start("containerd", &command);
        let socket = at("sock");
        daemon.wait_ready("its socket", || {
            std::os::unix::net::UnixStream::connect(&socket).is_ok()
        });
        Self {
            _daemon: daemon,
            home,
        }
    }

    /// Has images of `host` read from `mirror` (an address and a port), to which every request
    /// carries the `headers`, in TOML. Nothing else is asked: the host itself is nowhere.
    ///
    /// # Panics
    /// When the temporary folder is not writable.
    pub fn mirror(&self, host: &str, mirror: &str, headers: &str) {
        let folder = self.home.path().join("hosts").join(host);
        std::fs::create_dir_all(&folder).expect("the temporary folder is writable");
        let hosts = format!(
            "server = 'http://127.0.0.1:1'\n\
             [host.'http://{mirror}']\ncapabilities = ['pull', 'resolve']\n\
             [host.'http://{mirror}'.header]\n{headers}\n"
        );
        std::fs::write(folder.join("hosts.toml"), hosts).expect("the folder is writable");
    }

    /// Has images of `host` read from `server` alone, as a node does that is to run only what fits
    /// it. Every request carries the `headers`, in TOML.
    ///
    /// # Panics
    /// When the temporary folder is not writable.
    pub fn only(&self, host: &str, server: &str, headers: &str) {
        let folder = self.home.path().join("hosts").join(host);
        std::fs::create_dir_all(&folder).expect("the temporary folder is writable");
        let hosts = format!(
            "server = 'http://{server}'\ncapabilities = ['pull', 'resolve']\n[header]\n{headers}\n\
             [host]\n"
        );
        std::fs::write(folder.join("hosts.toml"), hosts).expect("the folder is writable");
    }

    /// Has images of `host` read from `mirror`, and from `server` where that has none.
    ///
    /// # Panics
    /// When the temporary folder is not writable.
    pub fn mirror_before(&self, host: &str, mirror: &str, server: &str, headers: &str) {
        self.mirror(host, mirror, headers);
        let file = self.home.path().join("hosts").join(host).join("hosts.toml");
        let text = std::fs::read_to_string(&file).expect("it was written");
        let text = text.replace("http://127.0.0.1:1'", &format!("http://{server}'"));
        std::fs::write(file, text).expect("the folder is writable");
    }

    /// A `ctr` command.
    #[must_use]
    pub fn ctr(&self) -> Cmd {
        Cmd::new("ctr")
            .arg("--address")
            .arg(self.home.path().join("sock"))
            .env_clear_of_proxies()
    }

    /// `ctr images pull` by way of the mirrors; it shows requests and answers.
    #[must_use]
    pub fn pull(&self, image: &str) -> Cmd {
        self.ctr()
            .args(["images", "pull", "--snapshotter=native", "--http-dump"])
            .arg("--hosts-dir")
            .arg(self.home.path().join("hosts"))
            .arg(image)
            .shown(format!("ctr images pull {image}"))
    }

    /// The digest that `image` has here, empty if there is none.
    #[must_use]
    pub fn digest(&self, image: &str) -> String {
        let filter = format!("name=={image}");
        let listed = self.ctr().args(["images", "ls", &filter]).ok().stdout;
        let words = listed.split_whitespace();
        let digest = words.clone().find(|word| word.starts_with("sha256:"));
        digest.unwrap_or_default().to_owned()
    }
}
