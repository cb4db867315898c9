//! The identity under which an upstream is read, looked up where its configuration says. Sources
//! that can change while we run (files, helpers) are read again from time to time, so that a
//! rotated password works without a restart.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use metahub_oci::Host;
use tokio::sync::Mutex;

use crate::config::ConfigError;
use crate::credentials::{Credentials, CredentialsConfig};
use crate::docker_config::{DockerConfig, Entry};
use crate::error::Problem;
use crate::helper;
use crate::secret::Secret;

/// How long credentials are used before they are looked up again.
const LIFETIME: Duration = Duration::from_secs(60);
/// How long a failed look-up is cached, for all concurrent callers.
const FAILURE_LIFETIME: Duration = Duration::from_secs(5);

/// A source of credentials.
#[derive(Debug)]
enum CredentialSource {
    Given(Option<Credentials>),
    File { username: String, file: PathBuf },
    DockerConfig { file: PathBuf },
    Helper { name: String },
}

/// The identity at one upstream, looked up on demand.
#[derive(Debug)]
pub(crate) struct Identity {
    host: Host,
    place: CredentialSource,
    known: Mutex<Option<Known>>,
}

/// The outcome of a look-up.
#[derive(Clone, Debug)]
struct Known {
    since: Instant,
    found: Result<Option<Credentials>, String>,
}

impl Known {
    fn holds(&self) -> bool {
        let lifetime = if self.found.is_ok() {
            LIFETIME
        } else {
            FAILURE_LIFETIME
        };
        self.since.elapsed() < lifetime
    }
}

impl Identity {
    pub(crate) fn given(host: Host, credentials: Option<Credentials>) -> Self {
        Self::at(host, CredentialSource::Given(credentials))
    }

    fn at(host: Host, place: CredentialSource) -> Self {
        Self {
            host,
            place,
            known: Mutex::new(None),
        }
    }

    /// As configured. Files are read once, to find mistakes early; helpers are not run yet.
    pub(crate) fn configured(
        host: &Host,
        config: &CredentialsConfig,
        environment: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, ConfigError> {
        let problem = |place: &str, problem: &str| ConfigError::Credentials {
            host: host.clone(),
            place: place.to_owned(),
            problem: problem.to_owned(),
        };
        let username = config.username.clone().filter(|name| !name.is_empty());
        let place = match config {
            CredentialsConfig {
                password_file: Some(file),
                password_env: None,
                docker_config: None,
                helper: None,
                ..
            } if username.is_some() => {
                let shown = file.display().to_string();
                read_password(file).map_err(|why| problem(&shown, &why))?;
                CredentialSource::File {
                    username: username.unwrap_or_default(),
                    file: file.clone(),
                }
            }
            CredentialsConfig {
                password_file: None,
                password_env: Some(variable),
                docker_config: None,
                helper: None,
                ..
            } if username.is_some() => {
                let shown = format!("the environment variable {variable}");
                let text = environment(variable).ok_or_else(|| problem(&shown, "it is not set"))?;
                let password = password(&text).map_err(|why| problem(&shown, &why))?;
                CredentialSource::Given(Some(Credentials::password(
                    username.unwrap_or_default(),
                    password,
                )))
            }
            CredentialsConfig {
                username: None,
                password_file: None,
                password_env: None,
                docker_config: Some(file),
                helper: None,
            } => {
                let shown = file.display().to_string();
                DockerConfig::read(file).map_err(|why| problem(&shown, &why))?;
                CredentialSource::DockerConfig { file: file.clone() }
            }
            CredentialsConfig {
                username: None,
                password_file: None,
                password_env: None,
                docker_config: None,
                helper: Some(name),
            } => {
                helper::check(name).map_err(|why| problem("the configuration", &why))?;
                CredentialSource::Helper { name: name.clone() }
            }
            _ => {
                let hint = "write username with password_file or password_env, or docker_config \
                            alone, or helper alone";
                return Err(problem("the configuration", hint));
            }
        };
        Ok(Self::at(host.clone(), place))
    }

    /// The current credentials; `None` for anonymous.
    pub(crate) async fn current(&self) -> Result<Option<Credentials>, Problem> {
        if let CredentialSource::Given(credentials) = &self.place {
            return Ok(credentials.clone());
        }
        let mut known = self.known.lock().await;
        let found = match &*known {
            Some(known) if known.holds() => known.found.clone(),
            _ => {
                let found = self.look_up().await;
                *known = Some(Known {
                    since: Instant::now(),
                    found: found.clone(),
                });
                found
            }
        };
        found.map_err(|why| Problem::Auth(format!("its credentials cannot be looked up: {why}")))
    }

    /// Drops refused credentials: the next request looks them up again.
    pub(crate) async fn refused(&self) {
        *self.known.lock().await = None;
    }

    async fn look_up(&self) -> Result<Option<Credentials>, String> {
        match &self.place {
            CredentialSource::Given(credentials) => Ok(credentials.clone()),
            CredentialSource::File { username, file } => {
                let (username, file) = (username.clone(), file.clone());
                let password = blocking(move || read_password(&file)).await?;
                Ok(Some(Credentials::password(username, password)))
            }
            CredentialSource::DockerConfig { file } => {
                let file = file.clone();
                let config = blocking(move || DockerConfig::read(&file)).await?;
                let entry = config.entry(&self.host);
                match entry {
                    Entry::Nothing => Ok(None),
                    Entry::Credentials(credentials) => Ok(Some(credentials)),
                    Entry::Helper { name, otherwise } => {
                        let found = helper::get(&name, &self.host).await?;
                        Ok(found.or(otherwise))
                    }
                }
            }
            CredentialSource::Helper { name } => helper::get(name, &self.host).await,
        }
    }
}

impl CredentialsConfig {
    /// Reads the credentials for `host` from this source; `None` for anonymous.
    ///
    /// # Errors A source that cannot be read, or a helper that fails.
    pub async fn read(&self, host: &Host) -> Result<Option<Credentials>, String> {
        let environment = |name: &str| std::env::var(name).ok();
        let identity = Identity::configured(host, self, &environment);
        let identity = identity.map_err(|error| error.to_string())?;
        identity.current().await.map_err(|error| error.to_string())
    }
}

async fn blocking<T: Send + 'static>(
    read: impl FnOnce() -> Result<T, String> + Send + 'static,
) -> Result<T, String> {
    tokio::task::spawn_blocking(read)
        .await
        .map_err(|error| error.to_string())?
}

fn read_password(file: &Path) -> Result<Secret, String> {
    let text =
        std::fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))?;
    password(&text)
}

fn password(text: &str) -> Result<Secret, String> {
    let text = text.strip_suffix('\n').unwrap_or(text);
    let text = text.strip_suffix('\r').unwrap_or(text);
    if text.is_empty() {
        return Err("it is empty".to_owned());
    }
    Ok(Secret::new(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host() -> Host {
        "quay.io".parse().unwrap()
    }

    fn nothing(_: &str) -> Option<String> {
        None
    }

    fn named(credentials: Option<&Credentials>) -> (&str, &str) {
        match credentials {
            Some(Credentials::Password { username, password }) => (username, password.reveal()),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn credentials_do_not_print_their_secret() {
        let credentials = Credentials::password("alice", "hunter2".to_owned());
        assert!(!format!("{credentials:?}").contains("hunter2"));
    }

    #[tokio::test]
    async fn a_password_comes_from_a_file_and_is_read_again_when_it_was_refused() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("password");
        std::fs::write(&file, "hunter2\r\n").unwrap();
        let config = CredentialsConfig {
            username: Some("alice".into()),
            password_file: Some(file.clone()),
            ..CredentialsConfig::default()
        };
        let identity = Identity::configured(&host(), &config, &nothing).unwrap();
        let current = identity.current().await.unwrap();
        assert_eq!(named(current.as_ref()), ("alice", "hunter2"));

        std::fs::write(&file, "changed").unwrap();
        let current = identity.current().await.unwrap();
        assert_eq!(named(current.as_ref()).1, "hunter2", "still in use");
        identity.refused().await;
        let current = identity.current().await.unwrap();
        assert_eq!(named(current.as_ref()).1, "changed");

        std::fs::write(&file, "\n").unwrap();
        assert!(Identity::configured(&host(), &config, &nothing).is_err());
    }

    #[tokio::test]
    async fn a_password_comes_from_the_environment() {
        let config = CredentialsConfig {
            username: Some("alice".into()),
            password_env: Some("QUAY_TOKEN".into()),
            ..CredentialsConfig::default()
        };
        let error = Identity::configured(&host(), &config, &nothing).unwrap_err();
        assert!(error.to_string().contains("QUAY_TOKEN"), "{error}");
        let set = |name: &str| (name == "QUAY_TOKEN").then(|| "hunter2".to_owned());
        let identity = Identity::configured(&host(), &config, &set).unwrap();
        let current = identity.current().await.unwrap();
        assert_eq!(named(current.as_ref()), ("alice", "hunter2"));
    }

    #[test]
    fn exactly_one_way_must_be_written() {
        for json in [
            "{}",
            r#"{"username": "a"}"#,
            r#"{"password_env": "A"}"#,
            r#"{"username": "a", "password_env": "A", "password_file": "/b"}"#,
            r#"{"username": "a", "docker_config": "/a"}"#,
            r#"{"docker_config": "/a", "helper": "a"}"#,
            r#"{"helper": "../a"}"#,
        ] {
            let config = serde_json::from_str(json).unwrap();
            let always = |_: &str| Some("hunter2".to_owned());
            let error = Identity::configured(&host(), &config, &always).unwrap_err();
            assert!(!error.to_string().contains("hunter2"), "{error}");
        }
    }
}
