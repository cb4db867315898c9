//! Flags of the commands that read the images of documents.

use std::path::PathBuf;

use clap::{Args, ValueHint};
use metahub_operations::ImageReader;
use url::Url;

use crate::args::{SettingsArgs, load_config};
use crate::config::{Config, Layer};

#[derive(Clone, Debug, Args)]
pub(crate) struct RegistryReadingArgs {
    /// The MetaHub to ask for names without a host
    #[arg(long, value_name = "URL")]
    server: Option<Url>,
    /// Configuration file, for the site's CPU targets and upstreams [env: METAHUB_CONFIG]
    /// [default: none]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    config: Option<PathBuf>,
}

impl RegistryReadingArgs {
    /// The configuration.
    pub(crate) fn load_config(&self) -> miette::Result<Config> {
        let settings = SettingsArgs {
            config: self.config.clone(),
            data: None,
        };
        load_config(&settings, Layer::default())
    }

    /// How images are read.
    pub(crate) fn images(&self, config: &Config) -> ImageReader {
        ImageReader {
            upstreams: config.upstreams.clone(),
            settings: config.registry.clone(),
            server: self.server.clone(),
        }
    }
}
