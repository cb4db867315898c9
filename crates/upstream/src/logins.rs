//! Accounts' logins at pass-through upstreams: one file per account in one folder, in the form of
//! Docker's configuration (`auths`).
//!
//! Files and folder belong to their owner alone, and a file that others may read is not used.
//! Credential helpers that a file names are never run. No error quotes a file.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use metahub_oci::{Host, RepositoryName};
use serde_json::{Map, Value, json};

use crate::credentials::Credentials;
use crate::docker_config::{self, DockerConfig, MAX_BYTES, TOO_LARGE};
use crate::secret::Secret;

const SUFFIX: &str = ".json";

/// The folder with the accounts' files.
#[derive(Clone, Debug)]
pub struct Logins {
    folder: PathBuf,
}

/// An account's login at an upstream, without its secret.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Login {
    /// The account here.
    pub account: String,
    /// The upstream, as the file names it.
    pub host: String,
    /// Its name there, if the login has one.
    pub username: Option<String>,
}

/// Why the logins of an account cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum LoginError {
    /// The account's name could be the name of another file.
    #[error("'{0}' is not the name of an account")]
    Account(String),
    /// The user name cannot be sent by Basic.
    #[error("a user name at an upstream is not empty and has no ':'")]
    Username,
    /// Nothing stands for the password.
    #[error("the password is empty: nothing was changed")]
    Password,
    /// Others may read the file.
    #[error(
        "{}: others than its owner may read it (mode {mode:04o}), so it is not used; make it \
         private with chmod 600, and change the passwords in it", .file.display()
    )]
    Open {
        /// The file.
        file: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// The file's content.
    #[error("{}: {problem}", .file.display())]
    Malformed {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// The file system.
    #[error("{}: {source}", .file.display())]
    Io {
        /// The file or folder.
        file: PathBuf,
        /// What failed.
        source: io::Error,
    },
}

impl Logins {
    /// The logins in `folder`, which need not exist: then there are none.
    #[must_use]
    pub fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// The credentials of `account` at `host`; `None` without a login. Blocks.
    ///
    /// # Errors
    /// A file that others may read, or that is none of Docker's.
    pub fn of(&self, account: &str, host: &Host) -> Result<Option<Credentials>, LoginError> {
        let file = self.file(account)?;
        let Some(text) = read(&file)? else {
            return Ok(None);
        };
        let config: DockerConfig = parse(&file, &text)?;
        Ok(config.own(host))
    }

    /// All logins, by account and host. Blocks.
    ///
    /// # Errors
    /// As [`Logins::of`] says, of any account.
    pub fn list(&self) -> Result<Vec<Login>, LoginError> {
        let failed = |source| failed(&self.folder, source);
        let entries = match fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(failed(error)),
        };
        let mut logins = Vec::new();
        for entry in entries {
            let name = entry.map_err(failed)?.file_name();
            let account = name.to_str().and_then(|name| name.strip_suffix(SUFFIX));
            let Some(account) = account.filter(|account| self.file(account).is_ok()) else {
                continue;
            };
            let file = self.file(account)?;
            let Some(text) = read(&file)? else { continue };
            let config: DockerConfig = parse(&file, &text)?;
            logins.extend(config.hosts().map(|(host, credentials)| Login {
                account: account.to_owned(),
                host: host.to_owned(),
                username: match credentials {
                    Credentials::Password { username, .. } => Some(username.into()),
                    Credentials::IdentityToken(_) => None,
                },
            }));
        }
        logins.sort();
        Ok(logins)
    }

    /// Sets the login of `account` at `host` to `username`. Blocks.
    ///
    /// # Errors
    /// A user name or password that cannot be sent, and as [`Logins::of`] says.
    pub fn set(
        &self,
        account: &str,
        host: &Host,
        username: &str,
        password: &Secret,
    ) -> Result<(), LoginError> {
        if username.is_empty() || username.contains([':', '\r', '\n']) {
            return Err(LoginError::Username);
        }
        if password.reveal().is_empty() {
            return Err(LoginError::Password);
        }
        let pair = STANDARD.encode(format!("{username}:{}", password.reveal()));
        self.change(account, |auths| {
            auths.retain(|key, _| !docker_config::names(key, host));
            auths.insert(host.to_string(), json!({ "auth": pair }));
            true
        })
        .map(drop)
    }

    /// Removes the login of `account` at `host`. Returns whether there was one. Blocks.
    ///
    /// # Errors
    /// As [`Logins::of`] says.
    pub fn remove(&self, account: &str, host: &Host) -> Result<bool, LoginError> {
        self.change(account, |auths| {
            let before = auths.len();
            auths.retain(|key, _| !docker_config::names(key, host));
            auths.len() < before
        })
    }

    /// Removes all logins of `account`, so that a later account of that name does not get them.
    /// Returns whether there were any. Blocks.
    ///
    /// # Errors
    /// The file cannot be removed.
    pub fn forget(&self, account: &str) -> Result<bool, LoginError> {
        let file = self.file(account)?;
        match fs::remove_file(&file) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(failed(&file, error)),
        }
    }

    /// The file of `account`. An account's name is one component of a repository's.
    fn file(&self, account: &str) -> Result<PathBuf, LoginError> {
        let is_name = account.parse::<RepositoryName>().is_ok() && !account.contains('/');
        if !is_name {
            return Err(LoginError::Account(account.chars().take(80).collect()));
        }
        Ok(self.folder.join(format!("{account}{SUFFIX}")))
    }

    /// Changes the `auths` of a file, and keeps its other content. `change` returns whether to
    /// write it.
    fn change(
        &self,
        account: &str,
        change: impl FnOnce(&mut Map<String, Value>) -> bool,
    ) -> Result<bool, LoginError> {
        let file = self.file(account)?;
        let mut whole: Map<String, Value> = match read(&file)? {
            Some(text) => parse(&file, &text)?,
            None => Map::new(),
        };
        let auths = whole.entry("auths").or_insert_with(|| json!({}));
        let Some(auths) = auths.as_object_mut() else {
            let problem = "its auths are no object".to_owned();
            return Err(LoginError::Malformed { file, problem });
        };
        if !change(auths) {
            return Ok(false);
        }
        self.write(&file, &Value::Object(whole).to_string())?;
        Ok(true)
    }

    /// Replaces a file as a whole.
    fn write(&self, file: &Path, text: &str) -> Result<(), LoginError> {
        let folder = |source| failed(&self.folder, source);
        let mut builder = DirBuilder::new();
        builder.recursive(true).mode(0o700);
        builder.create(&self.folder).map_err(folder)?;
        let staged = file.with_extension(format!("{}.new", std::process::id()));
        // What a command that was killed left there has our number by chance.
        let _ = fs::remove_file(&staged);
        let written = (|| {
            let mut options = OpenOptions::new();
            let mut new = options
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(&staged)?;
            new.write_all(text.as_bytes())?;
            new.sync_all()?;
            fs::rename(&staged, file)?;
            File::open(&self.folder)?.sync_all()
        })();
        written.map_err(|source| {
            let _ = fs::remove_file(&staged);
            failed(file, source)
        })
    }
}

fn failed(file: &Path, source: io::Error) -> LoginError {
    LoginError::Io {
        file: file.to_owned(),
        source,
    }
}

/// A file's content, if it exists and is private to its owner.
fn read(file: &Path) -> Result<Option<Vec<u8>>, LoginError> {
    let io = |source| failed(file, source);
    let opened = match File::open(file) {
        Ok(opened) => opened,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(io(error)),
    };
    let mode = opened.metadata().map_err(io)?.permissions().mode() & 0o7777;
    if mode & 0o077 != 0 {
        let file = file.to_owned();
        return Err(LoginError::Open { file, mode });
    }
    let mut text = Vec::new();
    let bounded = opened.take(MAX_BYTES + 1).read_to_end(&mut text);
    if bounded.map_err(io)? as u64 > MAX_BYTES {
        return Err(malformed(file, TOO_LARGE.to_owned()));
    }
    Ok(Some(text))
}

fn parse<T: serde::de::DeserializeOwned>(file: &Path, text: &[u8]) -> Result<T, LoginError> {
    docker_config::parse(text).map_err(|problem| malformed(file, problem))
}

fn malformed(file: &Path, problem: String) -> LoginError {
    LoginError::Malformed {
        file: file.to_owned(),
        problem,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWORD: &str = "hunter2:with a colon";

    fn host(text: &str) -> Host {
        text.parse().unwrap()
    }

    fn somewhere() -> (tempfile::TempDir, Logins) {
        let folder = tempfile::tempdir().unwrap();
        let logins = Logins::new(folder.path().join("logins"));
        (folder, logins)
    }

    fn username(credentials: Option<Credentials>) -> Option<String> {
        let Credentials::Password { username, password } = credentials? else {
            panic!("a password");
        };
        assert_eq!(password.reveal(), PASSWORD);
        Some(username.into())
    }

    fn set(logins: &Logins, account: &str, at: &str, username: &str) -> Result<(), LoginError> {
        logins.set(account, &host(at), username, &Secret::new(PASSWORD))
    }

    #[test]
    fn what_was_set_is_found_by_host_listed_without_its_secret_and_removed() {
        let (_folder, logins) = somewhere();
        assert!(logins.list().unwrap().is_empty());
        assert!(logins.of("alice", &host("quay.io")).unwrap().is_none());
        set(&logins, "alice", "quay.io", "a").unwrap();
        set(&logins, "alice", "docker.io", "b").unwrap();
        set(&logins, "alice", "quay.io", "c").unwrap();
        set(&logins, "bob", "quay.io", "d").unwrap();
        let of = |account: &str, at: &str| username(logins.of(account, &host(at)).unwrap());
        assert_eq!(of("alice", "quay.io"), Some("c".to_owned()));
        assert_eq!(of("alice", "index.docker.io"), Some("b".to_owned()));
        assert_eq!(of("bob", "docker.io"), None);

        let shown: Vec<String> = logins
            .list()
            .unwrap()
            .into_iter()
            .map(|login| format!("{login:?}"))
            .collect();
        assert_eq!(shown.len(), 3);
        assert!(shown[0].contains("alice") && shown[0].contains("docker.io"));
        let pair = STANDARD.encode(format!("c:{PASSWORD}"));
        assert!(
            !shown
                .iter()
                .any(|s| s.contains(PASSWORD) || s.contains(&pair))
        );

        assert!(logins.remove("alice", &host("quay.io")).unwrap());
        assert!(!logins.remove("alice", &host("quay.io")).unwrap());
        assert_eq!(of("alice", "quay.io"), None);
        assert_eq!(of("alice", "docker.io"), Some("b".to_owned()));
        assert!(logins.forget("alice").unwrap());
        assert!(!logins.forget("alice").unwrap());
        assert_eq!(of("bob", "quay.io"), Some("d".to_owned()));
    }

    #[test]
    fn files_are_their_owners_alone_and_one_that_is_not_is_not_used() {
        let (_folder, logins) = somewhere();
        set(&logins, "alice", "quay.io", "a").unwrap();
        let file = logins.folder.join("alice.json");
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&logins.folder), mode(&file)), (0o700, 0o600));
        let entries = fs::read_dir(&logins.folder).unwrap().count();
        assert_eq!(entries, 1, "nothing else is left there");

        fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
        for error in [
            logins.of("alice", &host("quay.io")).err(),
            set(&logins, "alice", "quay.io", "b").err(),
            logins.list().err(),
        ] {
            let text = error.unwrap().to_string();
            assert!(
                text.contains("0640") && text.contains("chmod 600"),
                "{text}"
            );
        }
    }

    #[test]
    fn a_helper_that_a_file_names_is_not_asked_and_its_other_keys_stay() {
        let (_folder, logins) = somewhere();
        set(&logins, "alice", "a.org", "a").unwrap();
        let file = logins.folder.join("alice.json");
        let json = r#"{"auths": {}, "credsStore": "x", "credHelpers": {"quay.io": "y"}}"#;
        fs::write(&file, json).unwrap();
        assert!(logins.of("alice", &host("quay.io")).unwrap().is_none());
        set(&logins, "alice", "quay.io", "a").unwrap();
        assert_eq!(
            username(logins.of("alice", &host("quay.io")).unwrap()),
            Some("a".to_owned())
        );
        let kept: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
        assert_eq!(kept["credHelpers"]["quay.io"], "y");
    }

    #[test]
    fn names_that_lead_elsewhere_and_credentials_that_cannot_be_sent_are_refused() {
        let (_folder, logins) = somewhere();
        for account in ["../alice", "a/b", "", ".", "..", "Alice", "a\0b"] {
            let error = set(&logins, account, "quay.io", "a").unwrap_err();
            assert!(matches!(error, LoginError::Account(_)), "{account}");
        }
        for username in ["", "a:b", "a\nb"] {
            let error = set(&logins, "alice", "quay.io", username).unwrap_err();
            assert!(matches!(error, LoginError::Username), "{username}");
        }
        let nothing = logins.set("alice", &host("quay.io"), "a", &Secret::new(""));
        assert!(matches!(nothing, Err(LoginError::Password)));
    }

    #[test]
    fn a_broken_file_is_named_and_not_quoted() {
        let (_folder, logins) = somewhere();
        set(&logins, "alice", "quay.io", "a").unwrap();
        let file = logins.folder.join("alice.json");
        fs::write(&file, r#"{"auths": {"quay.io": {"auth": hunter2}}}"#).unwrap();
        let error = logins
            .of("alice", &host("quay.io"))
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("alice.json") && !error.contains("hunter2"),
            "{error}"
        );
    }
}
