//! The settings of a server: defaults, then the configuration file, then environment variables,
//! then flags. Every key of the file has a variable `METAHUB_KEY`. An unknown key, a key given
//! twice and a wrong type are errors with file, line and column. No setting is a secret itself.

use std::ffi::OsString;
use std::fmt::Display;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use metahub_auth::{AnonymousAccess, AuthConfig, ProfilePassword};
use metahub_registry::Settings;
use metahub_upstream::{UpstreamConfig, UpstreamsConfig};
use miette::{Diagnostic, NamedSource, SourceSpan};
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer};
use serde_saphyr::{MessageFormatter as _, UserMessageFormatter};

/// Settings that are complete and well-formed. Whether a file or an address exists is found out
/// by whoever uses it.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    pub(crate) listen: SocketAddr,
    pub(crate) data: PathBuf,
    pub(crate) catalog: Vec<PathBuf>,
    pub(crate) auth: AuthConfig,
    pub(crate) registry: Settings,
    pub(crate) upstreams: UpstreamsConfig,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 5000),
            data: PathBuf::from("metahub-data"),
            catalog: Vec::new(),
            auth: AuthConfig::default(),
            registry: Settings::default(),
            upstreams: UpstreamsConfig::default(),
        }
    }
}

/// One layer of settings: the file, the environment, or the flags.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Layer {
    pub(crate) listen: Option<SocketAddr>,
    pub(crate) data: Option<PathBuf>,
    pub(crate) catalog: Option<Vec<PathBuf>>,
    pub(crate) anonymous: Option<AnonymousAccess>,
    pub(crate) profile_password: Option<ProfilePassword>,
    pub(crate) token_lifetime: Option<Time>,
    pub(crate) delete: Option<bool>,
    pub(crate) sparse: Option<bool>,
    pub(crate) tag_lifetime: Option<Time>,
    pub(crate) upstreams: Option<Vec<UpstreamConfig>>,
    pub(crate) allow_any_host: Option<bool>,
    pub(crate) offline: Option<bool>,
}

/// A length of time as people write it: `30s`, `1m 30s`, `500ms`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Time(Duration);

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        text.parse::<jiff::SignedDuration>()
            .ok()
            .and_then(|signed| Duration::try_from(signed).ok())
            .map(Self)
            .ok_or_else(|| {
                D::Error::custom(format!(
                    "'{text}' is not a length of time: expected a number with a unit, such as \
                     30s or 5m"
                ))
            })
    }
}

/// Why settings cannot be used.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub(crate) enum ConfigError {
    /// The file is not there, or may not be read.
    #[error("cannot read the configuration file {}: {source}", .file.display())]
    #[diagnostic(help("name a file that exists with --config or METAHUB_CONFIG, or neither"))]
    Unreadable {
        file: PathBuf,
        source: std::io::Error,
    },
    /// The file says something that it may not say.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Malformed(Box<Malformed>),
    /// An environment variable says something that it may not say.
    #[error("the environment variable {variable} is wrong: {message}")]
    Variable {
        variable: &'static str,
        message: String,
    },
}

/// A mistake in the configuration file, and where it stands.
#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("{}:{line}:{column}: {message}", .file.display())]
#[diagnostic(help("every key is explained in metahub.example.yaml"))]
pub(crate) struct Malformed {
    file: PathBuf,
    line: u64,
    column: u64,
    message: String,
    #[source_code]
    text: NamedSource<String>,
    #[label("here")]
    at: Option<SourceSpan>,
}

/// Looks an environment variable up.
pub(crate) type Environment<'a> = &'a dyn Fn(&str) -> Option<OsString>;

impl Config {
    /// Joins all layers. `file` is what `--config` says; the environment is asked if it says
    /// nothing.
    pub(crate) fn load(
        file: Option<&Path>,
        environment: Environment<'_>,
        flags: Layer,
    ) -> Result<Self, ConfigError> {
        let named = environment("METAHUB_CONFIG").filter(|name| !name.is_empty());
        let file = file.map(Path::to_path_buf).or(named.map(PathBuf::from));
        let mut config = Self::default();
        if let Some(file) = file {
            config.apply(Layer::read(&file)?);
        }
        config.apply(Layer::from_environment(environment)?);
        config.apply(flags);
        Ok(config)
    }

    fn apply(&mut self, layer: Layer) {
        fn set<T>(setting: &mut T, value: Option<T>) {
            if let Some(value) = value {
                *setting = value;
            }
        }
        set(&mut self.listen, layer.listen);
        set(&mut self.data, layer.data);
        set(&mut self.catalog, layer.catalog);
        set(&mut self.auth.anonymous, layer.anonymous);
        set(&mut self.auth.profile_password, layer.profile_password);
        set(
            &mut self.auth.token_lifetime,
            layer.token_lifetime.map(|time| time.0),
        );
        set(&mut self.registry.delete, layer.delete);
        set(&mut self.registry.sparse, layer.sparse);
        set(
            &mut self.registry.tag_lifetime,
            layer.tag_lifetime.map(|time| time.0),
        );
        set(&mut self.upstreams.upstreams, layer.upstreams);
        set(&mut self.upstreams.allow_any_host, layer.allow_any_host);
        set(&mut self.upstreams.offline, layer.offline);
    }
}

impl Layer {
    /// Reads a configuration file. Relative paths in it start at the file's own folder.
    fn read(file: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(file).map_err(|source| ConfigError::Unreadable {
            file: file.to_owned(),
            source,
        })?;
        let mut layer: Self = parse(&text).map_err(|problem| problem.in_file(file, &text))?;
        let folder = file.parent().unwrap_or(Path::new(""));
        let paths = layer
            .data
            .iter_mut()
            .chain(layer.catalog.iter_mut().flatten());
        for path in paths {
            *path = folder.join(&*path);
        }
        Ok(layer)
    }

    fn from_environment(environment: Environment<'_>) -> Result<Self, ConfigError> {
        Ok(Self {
            listen: plain_variable(environment, "METAHUB_LISTEN")?,
            data: path_variable(environment, "METAHUB_DATA"),
            catalog: path_variable(environment, "METAHUB_CATALOG")
                .map(|paths| std::env::split_paths(&paths).collect()),
            anonymous: plain_variable(environment, "METAHUB_ANONYMOUS")?,
            profile_password: variable(environment, "METAHUB_PROFILE_PASSWORD")?,
            token_lifetime: variable(environment, "METAHUB_TOKEN_LIFETIME")?,
            delete: variable(environment, "METAHUB_DELETE")?,
            sparse: variable(environment, "METAHUB_SPARSE")?,
            tag_lifetime: variable(environment, "METAHUB_TAG_LIFETIME")?,
            upstreams: variable(environment, "METAHUB_UPSTREAMS")?,
            allow_any_host: variable(environment, "METAHUB_ALLOW_ANY_HOST")?,
            offline: variable(environment, "METAHUB_OFFLINE")?,
        })
    }
}

fn path_variable(environment: Environment<'_>, name: &str) -> Option<PathBuf> {
    environment(name)
        .filter(|value| !value.is_empty())
        .map(PathBuf::from)
}

/// A setting from a variable that is one word. An address in brackets is no YAML list.
fn plain_variable<T: FromStr<Err: Display>>(
    environment: Environment<'_>,
    variable: &'static str,
) -> Result<Option<T>, ConfigError> {
    let wrong = |message: String| ConfigError::Variable { variable, message };
    text_of(environment, variable)?
        .map(|text| {
            text.parse()
                .map_err(|error| wrong(format!("'{text}': {error}")))
        })
        .transpose()
}

/// A setting from a variable, written as in the file. An empty variable counts as unset.
fn variable<T: DeserializeOwned>(
    environment: Environment<'_>,
    variable: &'static str,
) -> Result<Option<T>, ConfigError> {
    text_of(environment, variable)?
        .map(|text| {
            parse(&text).map_err(|problem| ConfigError::Variable {
                variable,
                message: problem.message,
            })
        })
        .transpose()
}

fn text_of(
    environment: Environment<'_>,
    variable: &'static str,
) -> Result<Option<String>, ConfigError> {
    environment(variable)
        .filter(|value| !value.is_empty())
        .map(OsString::into_string)
        .transpose()
        .map_err(|_| ConfigError::Variable {
            variable,
            message: "it is not UTF-8".to_owned(),
        })
}

/// What is wrong with a YAML text, and where.
struct Problem {
    message: String,
    line: u64,
    column: u64,
    span: Option<(usize, usize)>,
}

impl Problem {
    fn in_file(self, file: &Path, text: &str) -> ConfigError {
        ConfigError::Malformed(Box::new(Malformed {
            file: file.to_owned(),
            line: self.line,
            column: self.column,
            message: self.message,
            text: NamedSource::new(file.display().to_string(), text.to_owned())
                .with_language("yaml"),
            at: self.span.map(SourceSpan::from),
        }))
    }
}

fn parse<T: DeserializeOwned>(text: &str) -> Result<T, Problem> {
    let options = serde_saphyr::options! {
        strict_booleans: true,
        with_snippet: false,
    };
    serde_saphyr::from_str_with_options(text, options).map_err(|error| {
        let location = error.location();
        let span = location.and_then(|location| {
            let at = usize::try_from(location.span().byte_offset()?).ok()?;
            let rest = text.get(at..)?;
            // A whole mapping would be marked otherwise.
            let length = rest.find(['\n', ':', '#']).unwrap_or(rest.len());
            Some((at, length))
        });
        Problem {
            message: UserMessageFormatter.format_message(&error).into_owned(),
            line: location.map_or(1, |location| location.line()),
            column: location.map_or(1, |location| location.column()),
            span,
        }
    })
}

#[cfg(test)]
mod tests;
