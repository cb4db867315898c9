//! The site's policy: which registries are MetaHubs, which features of a node go into its login,
//! and how they are detected. From one YAML file, overridden key by key by environment variables.
//! Unknown keys are errors with line and column.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use metahub_hardware::Feature;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_saphyr::{MessageFormatter as _, UserMessageFormatter};

/// Where the policy is looked for.
pub const POLICY_FILE: &str = "/etc/metahub/node.yaml";
/// The folder of the cache unless the policy names another.
const CACHE_FOLDER: &str = "/run/metahub";
/// Where tokens of this node are kept, each for one registry.
const TOKENS_FILE: &str = "/etc/metahub/node-tokens.json";
/// Names another file.
pub const POLICY_VARIABLE: &str = "METAHUB_NODE_CONFIG";
/// The keys whose facts make up a login unless the policy says otherwise.
pub const USUAL_KEYS: &[&str] = &["arch", "cuda", "cc", "rocm", "gfx", "mpi"];

/// Looks an environment variable up.
pub type Environment<'a> = &'a dyn Fn(&str) -> Option<OsString>;

/// Why the policy cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// The file is there and cannot be read.
    #[error("cannot read {file}: {problem}", file = .file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// Why not.
        problem: String,
    },
    /// A mistake in the file.
    #[error("{file}:{line}:{column}: {message}", file = .file.display())]
    Malformed {
        /// The file.
        file: PathBuf,
        /// From 1.
        line: u64,
        /// From 1.
        column: u64,
        /// What was expected, and what the file has instead.
        message: String,
    },
    /// A mistake in a variable.
    #[error("the environment variable {variable} is wrong: {message}")]
    Variable {
        /// Its name.
        variable: &'static str,
        /// What was expected, and what it says.
        message: String,
    },
}

/// By what the policy has this node prove which it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Identity {
    /// By nothing.
    #[default]
    None,
    /// By a credential of MUNGE.
    Munge,
    /// By the token that it got when it joined.
    Token,
    /// By a token of Slurm.
    SlurmJwt,
}

/// The policy of one layer.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Layer {
    registries: Option<Vec<Host>>,
    plain_http: Option<Vec<Host>>,
    ca_file: Option<PathBuf>,
    login: Option<LoginText>,
    keys: Option<Vec<KeyName>>,
    features: Option<Vec<Feature>>,
    profiles: Option<Vec<LoginText>>,
    tools: Option<bool>,
    cloud: Option<bool>,
    timeout: Option<Seconds>,
    cache: Option<PathBuf>,
    identity: Option<Identity>,
    munge_socket: Option<PathBuf>,
    tokens: Option<PathBuf>,
}

/// The current policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Policy {
    /// The MetaHubs whose logins this node answers for, as `NAME[:PORT]`.
    pub registries: Vec<String>,
    /// Those of them that speak HTTP without TLS.
    pub plain_http: Vec<String>,
    /// Certificates to trust in addition to the system's.
    pub ca_file: Option<PathBuf>,
    /// The login, where it is not to be found out.
    pub login: Option<String>,
    /// The keys of the facts that make up the login.
    pub keys: Vec<String>,
    /// Facts that the site states; each replaces the detected ones of its key.
    pub features: Vec<Feature>,
    /// Selectors that every login of this node ends with.
    pub profiles: Vec<String>,
    /// Whether the node's tools are run.
    pub tools: bool,
    /// Whether the cloud's metadata service is asked.
    pub cloud: bool,
    /// Most time that one request of `refresh` or `resolve` may take.
    pub timeout: Duration,
    /// The folder of the cache.
    pub cache: PathBuf,
    /// By what this node proves to MetaHubs which it is.
    pub identity: Identity,
    /// The socket of `munged`, where it is not the usual one.
    pub munge_socket: Option<PathBuf>,
    /// The file of the tokens that this node got when it joined.
    pub tokens: PathBuf,
}

impl Default for Policy {
    fn default() -> Self {
        Layer::default().settled()
    }
}

impl Policy {
    /// Reads the file that [`POLICY_VARIABLE`] names, or [`POLICY_FILE`] where there is one, and
    /// the environment over it.
    ///
    /// # Errors
    /// When either says something that it may not say.
    pub fn read(environment: Environment<'_>) -> Result<Self, PolicyError> {
        let named = environment(POLICY_VARIABLE).filter(|value| !value.is_empty());
        let must_exist = named.is_some();
        let file = named.map_or_else(|| PathBuf::from(POLICY_FILE), PathBuf::from);
        let mut layer = match read_text(&file) {
            Ok(text) => parse(&text).map_err(|problem| problem.in_file(&file))?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && !must_exist => {
                Layer::default()
            }
            Err(error) => {
                return Err(PolicyError::Unreadable {
                    file,
                    problem: error.to_string(),
                });
            }
        };
        layer.overridden_by(environment)?;
        Ok(layer.settled())
    }

    /// Whether `host`, as [`crate::server::host_of`] returns it, is one of the MetaHubs.
    #[must_use]
    pub fn is_metahub(&self, host: &str) -> bool {
        self.registries.iter().any(|registry| registry == host)
    }

    /// How a registry is reached within `timeout`.
    #[must_use]
    pub fn connect(&self, host: &str, timeout: Duration) -> metahub_client::blocking::Connect {
        metahub_client::blocking::Connect {
            timeout,
            authorities: self.ca_file.clone(),
            plain_http: self.plain_http.iter().any(|plain| plain == host),
        }
    }
}

impl Layer {
    fn overridden_by(&mut self, environment: Environment<'_>) -> Result<(), PolicyError> {
        fn over<T: DeserializeOwned>(
            setting: &mut Option<T>,
            environment: Environment<'_>,
            name: &'static str,
        ) -> Result<(), PolicyError> {
            if let Some(value) = variable(environment, name)? {
                *setting = Some(value);
            }
            Ok(())
        }
        over(&mut self.registries, environment, "METAHUB_NODE_REGISTRIES")?;
        over(&mut self.plain_http, environment, "METAHUB_NODE_PLAIN_HTTP")?;
        over(&mut self.ca_file, environment, "METAHUB_NODE_CA_FILE")?;
        over(&mut self.login, environment, "METAHUB_NODE_LOGIN")?;
        over(&mut self.keys, environment, "METAHUB_NODE_KEYS")?;
        over(&mut self.features, environment, "METAHUB_NODE_FEATURES")?;
        over(&mut self.profiles, environment, "METAHUB_NODE_PROFILES")?;
        over(&mut self.tools, environment, "METAHUB_NODE_TOOLS")?;
        over(&mut self.cloud, environment, "METAHUB_NODE_CLOUD")?;
        over(&mut self.timeout, environment, "METAHUB_NODE_TIMEOUT")?;
        over(&mut self.cache, environment, "METAHUB_NODE_CACHE")?;
        over(&mut self.identity, environment, "METAHUB_NODE_IDENTITY")?;
        over(
            &mut self.munge_socket,
            environment,
            "METAHUB_NODE_MUNGE_SOCKET",
        )?;
        over(&mut self.tokens, environment, "METAHUB_NODE_TOKENS")
    }

    fn settled(self) -> Policy {
        let hosts = |list: Option<Vec<Host>>| -> Vec<String> {
            let mut hosts: Vec<String> = Vec::new();
            for Host(host) in list.unwrap_or_default() {
                if !hosts.contains(&host) {
                    hosts.push(host);
                }
            }
            hosts
        };
        Policy {
            registries: hosts(self.registries),
            plain_http: hosts(self.plain_http),
            ca_file: self.ca_file,
            login: self.login.map(|LoginText(text)| text),
            keys: self.keys.map_or_else(
                || USUAL_KEYS.iter().map(|key| (*key).to_owned()).collect(),
                |keys| keys.into_iter().map(|KeyName(key)| key).collect(),
            ),
            features: self.features.unwrap_or_default(),
            profiles: self
                .profiles
                .unwrap_or_default()
                .into_iter()
                .map(|LoginText(text)| text)
                .collect(),
            tools: self.tools.unwrap_or(true),
            cloud: self.cloud.unwrap_or(false),
            timeout: self.timeout.map_or(Duration::from_secs(10), |Seconds(t)| t),
            cache: self.cache.unwrap_or_else(|| PathBuf::from(CACHE_FOLDER)),
            identity: self.identity.unwrap_or_default(),
            munge_socket: self.munge_socket,
            tokens: self.tokens.unwrap_or_else(|| PathBuf::from(TOKENS_FILE)),
        }
    }
}

/// `NAME[:PORT]`, without scheme and path.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "String")]
struct Host(String);

impl TryFrom<String> for Host {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match crate::server::host_of(&text) {
            Some(host) if !text.contains('/') => Ok(Self(host)),
            _ => Err(format!(
                "'{text}' is no registry: expected NAME or NAME:PORT, as in hub.example:5000"
            )),
        }
    }
}

/// A login, or selectors of one.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "String")]
struct LoginText(String);

impl TryFrom<String> for LoginText {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        if crate::user_name::is_login(&text) {
            return Ok(Self(text));
        }
        Err(format!(
            "'{text}' cannot be part of a login: expected selectors joined with '+', of letters, \
             digits and '.', '_', '/', '=', '#', '-', as in zen3+cuda=12.4"
        ))
    }
}

/// The key of a feature.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "String")]
struct KeyName(String);

impl TryFrom<String> for KeyName {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Feature::new(&text, "x")
            .map(|feature| Self(feature.key().to_string()))
            .map_err(|_| format!("'{text}' is no key of a feature: expected arch, cuda, mpi, ..."))
    }
}

/// Seconds from 1 to 600, written `10` or `10s`.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "String")]
struct Seconds(Duration);

impl TryFrom<String> for Seconds {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.strip_suffix('s').unwrap_or(&text).parse::<u64>() {
            Ok(seconds @ 1..=600) => Ok(Self(Duration::from_secs(seconds))),
            _ => Err(format!("'{text}' is no time: expected 1s to 600s")),
        }
    }
}

/// The registries that the text of a policy names, as they are compared.
///
/// # Errors
/// `LINE:COLUMN: MESSAGE` where it is no policy.
pub fn registries_of(text: &str) -> Result<Vec<String>, String> {
    let layer: Layer = parse(text)
        .map_err(|problem| format!("{}:{}: {}", problem.line, problem.column, problem.message))?;
    Ok(layer.settled().registries)
}

struct Problem {
    message: String,
    line: u64,
    column: u64,
}

impl Problem {
    fn in_file(self, file: &Path) -> PolicyError {
        PolicyError::Malformed {
            file: file.to_owned(),
            line: self.line,
            column: self.column,
            message: self.message,
        }
    }
}

fn parse<T: DeserializeOwned + Default>(text: &str) -> Result<T, Problem> {
    // A file of comments alone says nothing, which is nothing wrong.
    let is_blank = |line: &str| line.trim().is_empty() || line.trim_start().starts_with('#');
    if text.lines().all(is_blank) {
        return Ok(T::default());
    }
    let options = serde_saphyr::options! { strict_booleans: true, with_snippet: false };
    serde_saphyr::from_str_with_options(text, options).map_err(|error| Problem {
        message: UserMessageFormatter.format_message(&error).into_owned(),
        line: error.location().map_or(1, |at| at.line()),
        column: error.location().map_or(1, |at| at.column()),
    })
}

fn variable<T: DeserializeOwned>(
    environment: Environment<'_>,
    variable: &'static str,
) -> Result<Option<T>, PolicyError> {
    let Some(value) = environment(variable).filter(|value| !value.is_empty()) else {
        return Ok(None);
    };
    let wrong = |message: String| PolicyError::Variable { variable, message };
    let text = value
        .into_string()
        .map_err(|_| wrong("it is not UTF-8".to_owned()))?;
    parse::<Option<T>>(&text).map_err(|problem| wrong(problem.message))
}

fn read_text(file: &Path) -> std::io::Result<String> {
    String::from_utf8(crate::trusted::read_any(file)?).map_err(std::io::Error::other)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(file: Option<&str>, variables: &[(&str, &str)]) -> Result<Policy, PolicyError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("node.yaml");
        if let Some(text) = file {
            std::fs::write(&path, text).unwrap();
        }
        let environment = |name: &str| {
            if name == POLICY_VARIABLE {
                return file.map(|_| path.clone().into_os_string());
            }
            let (_, value) = variables.iter().find(|(key, _)| *key == name)?;
            Some((*value).into())
        };
        Policy::read(&environment)
    }

    #[test]
    fn the_environment_comes_before_the_file_and_the_file_before_what_is_usual() {
        let file = "registries: [Hub.Example, 'hub.example:5000']\nkeys: [cpu, mpi]\n\
                    features: ['mpi:mpich']\ntools: false\ntimeout: 3s\n";
        let policy = read(Some(file), &[("METAHUB_NODE_KEYS", "[arch, cuda]")]).unwrap();
        assert_eq!(policy.registries, ["hub.example", "hub.example:5000"]);
        assert_eq!(policy.keys, ["arch", "cuda"]);
        assert_eq!(policy.features[0].to_string(), "mpi:mpich");
        assert!(!policy.tools);
        assert_eq!(policy.timeout, Duration::from_secs(3));
        let usual = read(None, &[]).unwrap();
        assert_eq!(usual.keys, USUAL_KEYS);
        assert!(usual.tools && !usual.cloud && usual.registries.is_empty());
        assert_eq!(read(Some("# nothing yet\n"), &[]).unwrap(), usual);
    }

    #[rstest::rstest]
    #[case("registries: [a]\nregistrys: [b]\n", 2, 1, "registrys")]
    #[case("registries: [https://hub.example/x]\n", 1, 14, "NAME:PORT")]
    #[case("tools: perhaps\n", 1, 8, "boolean")]
    #[case("keys: [arch]\nkeys: [mpi]\n", 2, 1, "keys")]
    #[case("login: 'zen3 cuda'\n", 1, 8, "zen3 cuda")]
    #[case("timeout: 0s\n", 1, 10, "0s")]
    #[case("features: [nonsense]\n", 1, 12, "nonsense")]
    fn a_mistake_is_named_with_its_place(
        #[case] text: &str,
        #[case] line: u64,
        #[case] column: u64,
        #[case] part: &str,
    ) {
        let error = read(Some(text), &[]).unwrap_err();
        let PolicyError::Malformed {
            line: at_line,
            column: at_column,
            message,
            ..
        } = &error
        else {
            panic!("{error}");
        };
        assert_eq!((*at_line, *at_column), (line, column), "{error}");
        assert!(message.contains(part), "{error}");
    }

    #[test]
    fn a_mistake_in_a_variable_names_the_variable() {
        let error = read(None, &[("METAHUB_NODE_TOOLS", "perhaps")]).unwrap_err();
        assert!(error.to_string().contains("METAHUB_NODE_TOOLS"), "{error}");
    }

    #[test]
    fn a_policy_that_is_named_must_exist() {
        let named = |name: &str| (name == POLICY_VARIABLE).then(|| "/nowhere/node.yaml".into());
        let error = Policy::read(&named).unwrap_err();
        assert!(matches!(error, PolicyError::Unreadable { .. }), "{error}");
    }
}
