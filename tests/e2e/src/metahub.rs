//! The `metahub` program that cargo builds from this workspace, and a server of it.

use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::sync::OnceLock;
use std::time::Duration;

use rustix::process::Signal;
use tempfile::TempDir;

use crate::daemon::Daemon;
use crate::fixture::target_folder;
use crate::http::{Call, call, get};
use crate::process::Cmd;

/// Names a program to test in place of the one that cargo builds here.
pub const PROGRAM: &str = "METAHUB_BIN";

/// The program, freshly built where [`PROGRAM`] names no other.
///
/// # Panics
/// When it does not build.
#[must_use]
pub fn program() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        if let Some(given) = std::env::var_os(PROGRAM) {
            return PathBuf::from(given);
        }
        let test = std::env::current_exe().expect("a program knows its own path");
        let profile = test
            .ancestors()
            .nth(2)
            .expect("a test program is in target/PROFILE/deps");
        let mut build = Cmd::new(env!("CARGO")).args(["build", "--quiet", "--package", "metahub"]);
        if profile.file_name().is_some_and(|name| name == "release") {
            build = build.arg("--release");
        }
        build
            .arg("--target-dir")
            .arg(target_folder())
            .dir(Path::new(env!("CARGO_MANIFEST_DIR")))
            .limit(Duration::from_secs(1800))
            .ok();
        profile.join("metahub")
    })
}

/// A `metahub` command with `args`.
#[must_use]
pub fn command(args: &[&str]) -> Cmd {
    let shown = format!("metahub {}", args.join(" "));
    Cmd::new(program())
        .args(args)
        .shown(shown)
        .env("NO_COLOR", "1")
        .env_clear_of_proxies()
}

/// A running `metahub serve` on a free port of the loopback.
#[derive(Debug)]
pub struct MetaHub {
    daemon: Daemon,
    host: String,
    folder: Folder,
}

/// Where a server has its configuration and data.
#[derive(Debug)]
enum Folder {
    /// Removed with the server.
    Temporary(TempDir),
    /// Emptied when a server starts there anew.
    Lasting(PathBuf),
}

impl Folder {
    fn path(&self) -> &Path {
        match self {
            Self::Temporary(folder) => folder.path(),
            Self::Lasting(path) => path,
        }
    }
}

impl MetaHub {
    /// Starts it with the configuration `config` (YAML) and the catalog documents
    /// (file name, text).
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn start(config: &str, catalog: &[(&str, &str)]) -> Self {
        let folder = tempfile::Builder::new()
            .prefix("mh-metahub-")
            .tempdir()
            .expect("the temporary folder is writable");
        Self::start_in(Folder::Temporary(folder), config, catalog)
    }

    /// Starts one that is never dropped, for a test program's whole life: its folder is
    /// `target/e2e-shared/NAME`, emptied first. It gets SIGTERM when the test program ends.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn shared(name: &str, config: &str) -> Self {
        let folder = target_folder().join("e2e-shared").join(name);
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).expect("the target folder is writable");
        Self::start_in(Folder::Lasting(folder), config, &[])
    }

    fn start_in(folder: Folder, config: &str, catalog: &[(&str, &str)]) -> Self {
        let documents = folder.path().join("catalog");
        std::fs::create_dir_all(&documents).expect("the folder is writable");
        for (name, text) in catalog {
            std::fs::write(documents.join(name), text).expect("the folder is writable");
        }
        let config = format!("{config}\ncatalog: [\"{}\"]\n", documents.display());
        std::fs::write(folder.path().join("metahub.yaml"), config).expect("the folder is writable");
        Self::serve(folder)
    }

    /// Starts it again on the same data, on another port.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn restart(mut self) -> Self {
        self.daemon.terminate();
        Self::serve(self.folder)
    }

    /// The same with other settings: each line of `more` is a key, put in the place of what the
    /// configuration said of it.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn restart_with(mut self, more: &str) -> Self {
        self.daemon.terminate();
        let file = self.folder.path().join("metahub.yaml");
        let before = std::fs::read_to_string(&file).expect("it was written at the start");
        let key = |line: &str| line.split_once(':').map(|(key, _)| key.to_owned());
        let replaced = |line: &&str| !more.lines().any(|new| key(new) == key(line));
        let kept: Vec<&str> = before.lines().filter(replaced).collect();
        let config = format!("{}\n{more}", kept.join("\n"));
        std::fs::write(&file, config).expect("the folder is writable");
        Self::serve(self.folder)
    }

    fn serve(folder: Folder) -> Self {
        let command = Cmd::new(program())
            .args(["serve", "--listen", "127.0.0.1:0", "--config"])
            .arg(folder.path().join("metahub.yaml"))
            .arg("--data")
            .arg(folder.path().join("data"))
            .env("NO_COLOR", "1")
            .env_clear_of_proxies();
        // What a test fetches must not depend on how full the disk of its machine is.
        let file = folder.path().join("metahub.yaml");
        let says = std::fs::read_to_string(file).is_ok_and(|text| text.contains("keep_free"));
        let command = if says {
            command
        } else {
            command.env("METAHUB_CACHE_KEEP_FREE", "0%")
        };
        let mut daemon = Daemon::start("metahub", &command);
        let host = listening(&mut daemon);
        Self {
            daemon,
            host,
            folder,
        }
    }

    /// Its `127.0.0.1:PORT`.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The name of `image` in it, as clients write it.
    #[must_use]
    pub fn image(&self, image: &str) -> String {
        format!("{}/{image}", self.host)
    }

    /// Its data folder.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// The folder of its catalog documents.
    #[must_use]
    pub fn catalog(&self) -> PathBuf {
        self.folder.path().join("catalog")
    }

    /// Sends it a signal.
    pub fn signal(&mut self, signal: Signal) {
        self.daemon.signal(signal);
    }

    /// Whether it logs `text` sooner or later.
    #[must_use]
    pub fn says(&self, text: &str) -> bool {
        self.daemon.says(text)
    }

    /// What it has logged.
    #[must_use]
    pub fn log(&self) -> String {
        self.daemon.log()
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.daemon.id()
    }

    /// The most memory that it has occupied so far, in bytes.
    ///
    /// # Panics
    /// When the kernel does not say.
    #[must_use]
    pub fn peak_memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.daemon.id()));
        let status = status.expect("it runs");
        let peak = status
            .lines()
            .find_map(|line| line.strip_prefix("VmHWM:")?.strip_suffix("kB"));
        let peak: u64 = peak
            .and_then(|peak| peak.trim().parse().ok())
            .expect("the kernel says it in kB");
        peak * 1024
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        self.daemon.is_running()
    }

    /// Sends SIGTERM and waits for the end; `None` if it had to be killed.
    pub fn terminate(&mut self) -> Option<ExitStatus> {
        self.daemon.terminate()
    }

    /// A `GET` request to it.
    #[must_use]
    pub fn get(&self, path: &str) -> Call {
        get(&self.host, path)
    }

    /// A request to it.
    #[must_use]
    pub fn call(&self, method: &str, path: &str) -> Call {
        call(&self.host, method, path)
    }

    /// A `metahub` command that works on the same data and configuration.
    #[must_use]
    pub fn command(&self, args: &[&str]) -> Cmd {
        command(args)
            .arg("--config")
            .arg(self.folder.path().join("metahub.yaml"))
            .arg("--data")
            .arg(self.data())
    }

    /// `metahub account add NAME --role ROLE`, with a password.
    pub fn add_account(&self, name: &str, role: &str, password: &str) {
        self.command(&["account", "add", name, "--role", role, "--password-stdin"])
            .stdin(password)
            .ok();
    }

    /// Files in the data folder whose name is a SHA-256 that their content does not have.
    ///
    /// It knows nothing of how the store arranges its files but that.
    #[must_use]
    pub fn files_that_lie(&self) -> Vec<PathBuf> {
        let mut lies = Vec::new();
        let mut folders = vec![self.data()];
        while let Some(folder) = folders.pop() {
            let Ok(entries) = std::fs::read_dir(&folder) else {
                continue;
            };
            for path in entries.filter_map(Result::ok).map(|entry| entry.path()) {
                if path.is_dir() {
                    folders.push(path);
                } else if lies_about_its_name(&path) {
                    lies.push(path);
                }
            }
        }
        lies
    }

    /// Whether any file in the data folder has exactly this content.
    #[must_use]
    pub fn holds(&self, content: &[u8]) -> bool {
        let mut folders = vec![self.data()];
        while let Some(folder) = folders.pop() {
            let Ok(entries) = std::fs::read_dir(&folder) else {
                continue;
            };
            for path in entries.filter_map(Result::ok).map(|entry| entry.path()) {
                if path.is_dir() {
                    folders.push(path);
                } else if std::fs::read(&path).is_ok_and(|bytes| bytes == content) {
                    return true;
                }
            }
        }
        false
    }
}

fn lies_about_its_name(path: &Path) -> bool {
    let name = path
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    let is_digest = name.len() == 64 && name.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_digest
        && std::fs::read(path)
            .is_ok_and(|bytes| crate::http::digest_of(&bytes) != format!("sha256:{name}"))
}

/// Waits until `daemon` has said where it listens and returns that `127.0.0.1:PORT`.
pub fn listening(daemon: &mut Daemon) -> String {
    daemon.wait_for_line("line that says where it listens", |line| {
        let port: String = line
            .split_once("listens on ")?
            .1
            .split_once("127.0.0.1:")?
            .1
            .chars()
            .take_while(char::is_ascii_digit)
            .collect();
        (!port.is_empty() && port != "0").then(|| format!("127.0.0.1:{port}"))
    })
}
