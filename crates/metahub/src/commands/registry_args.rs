//! The flags for the registry of a command, and the client that they make.

use std::fs;
use std::path::PathBuf;

use clap::{Args, ValueHint};
use metahub_client::session::{Client, Login, Session};
use metahub_oci::{Document, ImageReference, Reference};
use metahub_signature::EMPTY_CONFIG;
use metahub_upstream::{Credentials, CredentialsConfig, UpstreamConfig};
use miette::{IntoDiagnostic as _, miette};
use url::Url;

use crate::args::{Format, SettingsArgs, load_config};
use crate::config::{Config, Layer};

/// How a registry is spoken to, and under which login.
#[derive(Debug, Args)]
pub(crate) struct RegistryArgs {
    #[command(flatten)]
    login: LoginArgs,
    /// Configuration file, for the site's CPU targets and upstreams [env: METAHUB_CONFIG]
    /// [default: none]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    config: Option<PathBuf>,
    /// How to print
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    pub(crate) format: Format,
}

/// The login at a registry, and how it is reached.
#[derive(Debug, Args)]
pub(crate) struct LoginArgs {
    /// The login; without it, what the configuration says of that upstream, else what docker login
    /// wrote
    #[arg(long = "as", value_name = "LOGIN", env = "METAHUB_LOGIN")]
    login: Option<String>,
    /// Read the login's password from standard input
    #[arg(long, requires = "login")]
    password_stdin: bool,
    /// Speak HTTP without TLS
    #[arg(long)]
    plain_http: bool,
    /// Authorities to trust beside the system's, a PEM file
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    ca_file: Option<PathBuf>,
}

/// Most that is read of a password on standard input, in bytes.
const MAX_PASSWORD: u64 = 64 * 1024;

impl RegistryArgs {
    /// The configuration.
    pub(crate) fn load(&self) -> miette::Result<Config> {
        let settings = SettingsArgs {
            config: self.config.clone(),
            data: None,
        };
        load_config(&settings, Layer::default())
    }

    /// How the registry is spoken to: as the flags say, else as the configuration does.
    pub(crate) fn registry(
        &self,
        image: &ImageReference,
        config: &Config,
    ) -> miette::Result<UpstreamConfig> {
        self.login.registry(image, config)
    }
}

impl LoginArgs {
    /// How the registry is spoken to: as the flags say, else as the configuration does.
    pub(crate) fn registry(
        &self,
        image: &ImageReference,
        config: &Config,
    ) -> miette::Result<UpstreamConfig> {
        let host = image
            .host()
            .ok_or_else(|| miette!("{image} names no host"))?;
        let known = config.upstreams.upstreams.iter().find(|o| o.host == *host);
        let mut registry = known
            .cloned()
            .unwrap_or_else(|| UpstreamConfig::new(host.clone()));
        registry.pass_through = None;
        registry.plain_http |= self.plain_http;
        registry.ca_file = self.ca_file.clone().or(registry.ca_file);
        if let Some(name) = self.login.as_ref().filter(|name| !name.is_empty()) {
            let password = if self.password_stdin {
                crate::commands::accounts_of::password_from_stdin(MAX_PASSWORD)?
            } else {
                String::new()
            };
            registry.given_credentials = Some(Credentials::password(name.clone(), password));
        } else if registry.credentials.is_none()
            && let Some(file) = docker_config()
        {
            registry.credentials = Some(CredentialsConfig {
                docker_config: Some(file),
                ..CredentialsConfig::default()
            });
        }
        Ok(registry)
    }
}

/// Where `docker login` writes, if something is there.
fn docker_config() -> Option<PathBuf> {
    let folder = std::env::var_os("DOCKER_CONFIG").map(PathBuf::from);
    let home = || Some(PathBuf::from(std::env::var_os("HOME")?).join(".docker"));
    let file = folder.or_else(home)?.join("config.json");
    file.is_file().then_some(file)
}

/// A client that pushes.
pub(crate) async fn client(registry: &UpstreamConfig) -> miette::Result<Client> {
    let credentials = match (&registry.given_credentials, &registry.credentials) {
        (Some(given), _) => Some(given.clone()),
        (None, Some(written)) => {
            let read = written.read(&registry.host).await;
            read.map_err(|problem| miette!("{problem}"))?
        }
        (None, None) => None,
    };
    let login = match &credentials {
        Some(credentials) => {
            let (name, password) = credentials.login().ok_or_else(|| {
                miette!(
                    help = "log in with a user name and a password, by --as and --password-stdin",
                    "the login at {} is an identity token, which is of no use here",
                    registry.host
                )
            })?;
            Some(Login {
                name: name.to_owned(),
                password: password.to_owned(),
            })
        }
        None => None,
    };
    let server = match &registry.url {
        Some(url) => url.clone(),
        None => {
            let scheme = if registry.plain_http { "http" } else { "https" };
            Url::parse(&format!("{scheme}://{}", registry.host)).into_diagnostic()?
        }
    };
    let authorities = registry.ca_file.as_ref().map(|file| {
        fs::read(file).map_err(|error| miette!("cannot read {}: {error}", file.display()))
    });
    let authorities = authorities.transpose()?;
    Client::anywhere(server, login, authorities.as_deref()).into_diagnostic()
}

/// Pushes a referrer without a configuration of its own, whose one layer is `layer`. Returns
/// whether the registry lists it.
pub(crate) async fn push_referrer(
    session: &Session<'_>,
    layer: Vec<u8>,
    referrer: &Document,
) -> miette::Result<bool> {
    for blob in [EMPTY_CONFIG.to_vec(), layer] {
        session.push_blob(&blob.into()).await.into_diagnostic()?;
    }
    let reference = Reference::Digest(referrer.digest().clone());
    let listed = session.push_manifest(&reference, referrer).await;
    listed.into_diagnostic()
}
