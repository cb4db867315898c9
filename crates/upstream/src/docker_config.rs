//! Docker's `config.json`: `auths`, `credHelpers` and `credsStore`, as `docker login`, `podman
//! login` and others write it. Read only; `logins` writes this form.

use std::collections::BTreeMap;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use metahub_oci::Host;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::credentials::Credentials;
use crate::secret::Secret;
use crate::well_known;

/// Largest configuration file, in bytes.
pub(crate) const MAX_BYTES: u64 = 4 * 1024 * 1024;
pub(crate) const TOO_LARGE: &str = "it is too large for a configuration of Docker's";

/// The parts of the file that we use. Others are ignored.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(crate) struct DockerConfig {
    auths: BTreeMap<String, Auth>,
    #[serde(rename = "credHelpers")]
    helpers: BTreeMap<String, String>,
    #[serde(rename = "credsStore")]
    store: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Auth {
    auth: Option<String>,
    username: Option<String>,
    password: Option<String>,
    identitytoken: Option<String>,
}

/// The file's entry for a host.
pub(crate) enum Entry {
    Nothing,
    Credentials(Credentials),
    /// A helper has its credentials; if it has none, `otherwise` applies.
    Helper {
        name: String,
        otherwise: Option<Credentials>,
    },
}

impl DockerConfig {
    pub(crate) fn read(file: &Path) -> Result<Self, String> {
        let shown = |error: &dyn std::fmt::Display| format!("{}: {error}", file.display());
        let length = std::fs::metadata(file)
            .map_err(|error| shown(&error))?
            .len();
        if length > MAX_BYTES {
            return Err(shown(&TOO_LARGE));
        }
        let text = std::fs::read(file).map_err(|error| shown(&error))?;
        parse(&text).map_err(|error| shown(&error))
    }

    /// The credentials in the file itself for `host`, without helpers.
    pub(crate) fn own(&self, host: &Host) -> Option<Credentials> {
        let own = self.auths.iter().find(|(key, _)| names(key, host));
        own.and_then(|(_, auth)| auth.credentials())
    }

    /// The entries with credentials in the file itself, by key.
    pub(crate) fn hosts(&self) -> impl Iterator<Item = (&str, Credentials)> {
        self.auths
            .iter()
            .filter_map(|(key, auth)| Some((key.as_str(), auth.credentials()?)))
    }

    pub(crate) fn entry(&self, host: &Host) -> Entry {
        let own = self.own(host);
        let helper = self.helpers.iter().find(|(key, _)| names(key, host));
        let helper = helper.map(|(_, name)| name).or(self.store.as_ref());
        match (helper.filter(|name| !name.is_empty()), own) {
            (Some(name), otherwise) => Entry::Helper {
                name: name.clone(),
                otherwise,
            },
            (None, Some(credentials)) => Entry::Credentials(credentials),
            (None, None) => Entry::Nothing,
        }
    }
}

/// Parses a file. The parser's message could quote it, so the error has only the place.
pub(crate) fn parse<T: DeserializeOwned>(text: &[u8]) -> Result<T, String> {
    serde_json::from_slice(text).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        format!("it is not a configuration of Docker's (line {line}, column {column})")
    })
}

/// Whether a key of the file names `host`: with or without scheme and path, and Docker Hub by
/// any of its names. A key with a path is of one repository only (Podman's), not of the host.
pub(crate) fn names(key: &str, host: &Host) -> bool {
    let bare = key
        .strip_prefix("https://")
        .or_else(|| key.strip_prefix("http://"))
        .unwrap_or(key);
    let (bare, path) = bare.split_once('/').unwrap_or((bare, ""));
    let of_the_host = matches!(path.trim_end_matches('/'), "" | "v1" | "v2");
    let bare = bare.to_ascii_lowercase();
    of_the_host && well_known::canonical(&bare) == well_known::canonical(host.as_str())
}

impl Auth {
    fn credentials(&self) -> Option<Credentials> {
        let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        if let Some(token) = given(&self.identitytoken) {
            return Some(Credentials::IdentityToken(Secret::from(token)));
        }
        if let (Some(username), Some(password)) = (given(&self.username), given(&self.password)) {
            return Some(Credentials::password(username, password));
        }
        let decoded = STANDARD.decode(given(&self.auth)?.trim()).ok()?;
        let text = String::from_utf8(decoded).ok()?;
        let (username, password) = text.split_once(':')?;
        // Docker pads the pair with NULs.
        let password = password.trim_matches('\0').to_owned();
        Some(Credentials::password(username, password))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(json: &str, host: &str) -> Entry {
        let config: DockerConfig = serde_json::from_str(json).unwrap();
        config.entry(&host.parse().unwrap())
    }

    fn username(entry: Entry) -> Option<String> {
        match entry {
            Entry::Credentials(Credentials::Password { username, password }) => {
                assert_eq!(password.reveal(), "hunter2");
                Some(username.into())
            }
            _ => None,
        }
    }

    const AUTHS: &str = r#"{
        "auths": {
            "https://index.docker.io/v1/": {"auth": "aHViOmh1bnRlcjI="},
            "quay.io": {"username": "quay", "password": "hunter2"},
            "QUAY.example:5000": {"auth": "YTpodW50ZXIy"},
            "ghcr.io/one/repository": {"auth": "YTpodW50ZXIy"},
            "empty.org": {}
        },
        "HttpHeaders": {"X": "y"}
    }"#;

    #[test]
    fn logins_are_found_by_host() {
        assert_eq!(username(entry(AUTHS, "docker.io")), Some("hub".into()));
        assert_eq!(username(entry(AUTHS, "quay.io")), Some("quay".into()));
        assert_eq!(
            username(entry(AUTHS, "quay.example:5000")),
            Some("a".into())
        );
        for host in ["ghcr.io", "empty.org", "quay.io:5000", "other.org"] {
            assert!(matches!(entry(AUTHS, host), Entry::Nothing), "{host}");
        }
    }

    #[test]
    fn helpers_come_before_what_the_file_holds() {
        let json = r#"{
            "auths": {"quay.io": {"auth": "YTpodW50ZXIy"}},
            "credHelpers": {"quay.io": "one"},
            "credsStore": "all"
        }"#;
        let helper = |host| match entry(json, host) {
            Entry::Helper { name, otherwise } => (name, otherwise.is_some()),
            _ => panic!("a helper"),
        };
        assert_eq!(helper("quay.io"), ("one".to_owned(), true));
        assert_eq!(helper("docker.io"), ("all".to_owned(), false));
    }

    #[test]
    fn an_identity_token_counts_more_than_the_pair_beside_it() {
        let json = r#"{"auths": {"x.org": {"auth": "YTo=", "identitytoken": "hunter2"}}}"#;
        let Entry::Credentials(Credentials::IdentityToken(token)) = entry(json, "x.org") else {
            panic!("a token");
        };
        assert_eq!(token.reveal(), "hunter2");
    }

    #[test]
    fn a_broken_file_is_named_and_not_quoted() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("config.json");
        std::fs::write(&file, r#"{"auths": {"x": {"auth": hunter2}}}"#).unwrap();
        let error = DockerConfig::read(&file).err().unwrap();
        assert!(
            error.contains("config.json") && !error.contains("hunter2"),
            "{error}"
        );
        assert!(DockerConfig::read(&folder.path().join("none")).is_err());
    }
}
