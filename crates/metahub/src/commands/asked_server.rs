//! The MetaHub that a command sends its request to.

use std::fs;
use std::path::PathBuf;

use clap::{Args, ValueHint};
use metahub_client::session::{Client, Login};
use miette::{IntoDiagnostic as _, miette};
use url::Url;

/// Which MetaHub is asked.
#[derive(Clone, Debug, Args)]
pub(crate) struct AskedServer {
    /// The MetaHub to ask
    #[arg(
        long,
        value_name = "URL",
        env = "METAHUB_SERVER",
        default_value = "http://127.0.0.1:5000"
    )]
    pub(crate) server: Url,
    /// Certificate authorities to trust beside the system's, a PEM file
    #[arg(
        long,
        value_name = "FILE",
        env = "METAHUB_CA_FILE",
        value_hint = ValueHint::FilePath
    )]
    pub(crate) ca_file: Option<PathBuf>,
}

impl AskedServer {
    /// A client of it under `login`.
    pub(crate) fn client(&self, login: Option<Login>) -> miette::Result<Client> {
        let read = |file: &PathBuf| {
            fs::read(file).map_err(|error| miette!("cannot read {}: {error}", file.display()))
        };
        let authorities = self.ca_file.as_ref().map(read).transpose()?;
        let (server, authorities) = (self.server.clone(), authorities.as_deref());
        Client::of_site(server, login, authorities).into_diagnostic()
    }
}
