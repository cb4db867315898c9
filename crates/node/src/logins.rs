//! A user's own logins at MetaHubs, as `docker login` and others store them through the helper, and
//! the helpers that answered for those hosts before. One file per user, readable by that user
//! alone, replaced atomically and under a lock. Logins of nodes are never in it: nodes with
//! different hardware may share the home folder.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

use crate::login::Join;
use crate::policy::Environment;
use crate::trusted::{self, TrustError};

/// Names another file.
pub const LOGINS_VARIABLE: &str = "METAHUB_NODE_LOGINS";

/// One login. Prints the name only.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnLogin {
    /// The user name as it was typed.
    pub username: String,
    /// The password.
    pub secret: String,
    /// How a node's login is joined to the name.
    pub join: Join,
}

impl fmt::Debug for OwnLogin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OwnLogin({})", self.username)
    }
}

/// The file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Logins {
    /// By host.
    pub logins: BTreeMap<String, OwnLogin>,
    /// The helper that stored the logins of a host before, by its name after `docker-credential-`.
    pub helpers: BTreeMap<String, String>,
    /// MetaHubs that the user set clients up for, in addition to those of the site's policy.
    pub registries: BTreeSet<String>,
    /// Files that `setup` made, which its undoing may remove.
    pub created: BTreeSet<PathBuf>,
}

impl Logins {
    /// Nothing.
    #[must_use]
    pub const fn none() -> Self {
        Self {
            logins: BTreeMap::new(),
            helpers: BTreeMap::new(),
            registries: BTreeSet::new(),
            created: BTreeSet::new(),
        }
    }
}

/// Why the file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LoginsError {
    /// It cannot be found.
    #[error("there is no home folder for logins: set HOME, XDG_CONFIG_HOME or METAHUB_NODE_LOGINS")]
    NoHome,
    /// It cannot be read or is not trusted.
    #[error(transparent)]
    Untrusted(#[from] TrustError),
    /// It is no file of logins.
    #[error("{file} is broken ({problem}): log in again after removing it", file = .file.display())]
    Malformed {
        /// The file.
        file: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// It cannot be written.
    #[error("cannot write {file}: {problem}", file = .file.display())]
    Unwritable {
        /// The file.
        file: PathBuf,
        /// Why not.
        problem: io::Error,
    },
}

/// Where a user's logins are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoginsFile {
    path: PathBuf,
}

impl LoginsFile {
    /// The file at `path`.
    #[must_use]
    pub fn at(path: PathBuf) -> Self {
        Self { path }
    }

    /// The caller's: what [`LOGINS_VARIABLE`] names, or `metahub/logins.json` in the folder of
    /// configuration (XDG base directory specification).
    ///
    /// # Errors
    /// When the environment names no folder.
    pub fn of_user(environment: Environment<'_>) -> Result<Self, LoginsError> {
        let variable = |name: &str| environment(name).filter(|value| !value.is_empty());
        if let Some(file) = variable(LOGINS_VARIABLE) {
            return Ok(Self { path: file.into() });
        }
        let config = variable("XDG_CONFIG_HOME").map(PathBuf::from);
        let home = || variable("HOME").map(|home| PathBuf::from(home).join(".config"));
        let folder = config.filter(|folder| folder.is_absolute()).or_else(home);
        let folder = folder.filter(|folder| folder.is_absolute());
        Ok(Self {
            path: folder
                .ok_or(LoginsError::NoHome)?
                .join("metahub/logins.json"),
        })
    }

    /// The path of the file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its content; empty where there is no file.
    ///
    /// # Errors
    /// When it cannot be read, or others could have written it.
    pub fn read(&self) -> Result<Logins, LoginsError> {
        let bytes = match read_private(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Logins::default()),
            read => read.map_err(TrustError::Io)?,
        };
        serde_json::from_slice(&bytes).map_err(|error| LoginsError::Malformed {
            file: self.path.clone(),
            problem: error.to_string(),
        })
    }

    /// Changes it under a lock. Where the file system has no locks the last of two wins, and the
    /// file is whole in any case.
    ///
    /// # Errors
    /// When it cannot be read or written.
    pub fn change(&self, change: impl FnOnce(&mut Logins)) -> Result<(), LoginsError> {
        let unwritable = |problem| LoginsError::Unwritable {
            file: self.path.clone(),
            problem,
        };
        let _lock = self.lock();
        let before = self.read()?;
        let mut after = before.clone();
        change(&mut after);
        if after == before {
            return Ok(());
        }
        let mut bytes = serde_json::to_vec_pretty(&after).map_err(|e| unwritable(e.into()))?;
        bytes.push(b'\n');
        trusted::write(&self.path, &bytes, 0o600, 0o700).map_err(unwritable)
    }

    /// A lock on a file next to it, since the file itself is replaced. It ends with the handle.
    fn lock(&self) -> Option<File> {
        let folder = self.path.parent()?;
        let _ = std::fs::create_dir_all(folder);
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(self.path.with_extension("lock"))
            .ok()?;
        // Waiting without a limit would block a pull; the lock is normally held for milliseconds.
        for _ in 0..LOCK_TRIES {
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Some(file),
                Err(rustix::io::Errno::WOULDBLOCK) => {
                    std::thread::park_timeout(std::time::Duration::from_millis(10));
                }
                Err(_) => return None,
            }
        }
        None
    }
}

/// Together half a second.
const LOCK_TRIES: u32 = 50;

/// A home folder may be a link or be writable for a group; what counts is the file itself.
fn read_private(path: &Path) -> io::Result<Vec<u8>> {
    use std::io::Read as _;
    use std::os::unix::fs::MetadataExt as _;
    let flags = (rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::CLOEXEC).bits();
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(flags as i32)
        .open(path)?;
    let found = file.metadata()?;
    let me = rustix::process::geteuid().as_raw();
    if !found.is_file() || (found.uid() != me && me != 0) || found.mode() & 0o022 != 0 {
        return Err(io::Error::other(format!(
            "{} is not a file that only its owner may write (chmod 600)",
            path.display()
        )));
    }
    let mut bytes = Vec::new();
    file.take(4 << 20).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use super::*;

    fn own(name: &str) -> OwnLogin {
        OwnLogin {
            username: name.to_owned(),
            secret: "secret".to_owned(),
            join: Join::Account,
        }
    }

    #[test]
    fn logins_are_kept_for_their_user_alone() {
        let folder = tempfile::tempdir().unwrap();
        let file = LoginsFile::at(folder.path().join("metahub/logins.json"));
        assert_eq!(file.read().unwrap(), Logins::default());
        file.change(|all| {
            all.logins.insert("hub.example".to_owned(), own("alice"));
        })
        .unwrap();
        let mode = std::fs::metadata(file.path()).unwrap().mode();
        assert_eq!(mode & 0o7777, 0o600);
        assert_eq!(file.read().unwrap().logins["hub.example"], own("alice"));
        assert!(!format!("{:?}", file.read().unwrap()).contains("secret"));
        std::fs::write(file.path(), "{").unwrap();
        assert!(matches!(file.read(), Err(LoginsError::Malformed { .. })));
    }

    #[test]
    fn many_at_once_lose_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let file = LoginsFile::at(folder.path().join("logins.json"));
        std::thread::scope(|scope| {
            for number in 0..8 {
                let file = &file;
                scope.spawn(move || {
                    file.change(|all| {
                        all.logins.insert(format!("hub{number}.example"), own("a"));
                    })
                    .unwrap();
                });
            }
        });
        assert_eq!(file.read().unwrap().logins.len(), 8);
    }

    #[test]
    fn the_file_is_found_as_the_environment_says() {
        let of = |pairs: &'static [(&str, &str)]| {
            let look = |name: &str| {
                let (_, value) = pairs.iter().find(|(key, _)| *key == name)?;
                Some((*value).into())
            };
            LoginsFile::of_user(&look).map(|file| file.path().display().to_string())
        };
        let path = |pairs| of(pairs).unwrap();
        assert_eq!(
            path(&[("HOME", "/home/a")]),
            "/home/a/.config/metahub/logins.json"
        );
        assert_eq!(
            path(&[("HOME", "/home/a"), ("XDG_CONFIG_HOME", "/c")]),
            "/c/metahub/logins.json"
        );
        assert_eq!(path(&[("METAHUB_NODE_LOGINS", "/x.json")]), "/x.json");
        assert!(matches!(of(&[]), Err(LoginsError::NoHome)));
        assert!(matches!(
            of(&[("HOME", "relative")]),
            Err(LoginsError::NoHome)
        ));
    }
}
