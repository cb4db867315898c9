//! Arguments that several commands take.

use std::path::PathBuf;

use std::sync::Arc;

use clap::{ArgGroup, Args, ValueEnum, ValueHint};
use metahub_hardware::Microarchitectures;
use metahub_operations::ImageReader;
use miette::{IntoDiagnostic as _, WrapErr as _};
use url::Url;

use crate::config::{Config, Layer};

/// The sources of settings; flags take precedence over environment variables, those over the file.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct SettingsArgs {
    /// Configuration file (YAML) [env: METAHUB_CONFIG] [default: none]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) config: Option<PathBuf>,
    /// Folder that holds content, accounts and keys [env: METAHUB_DATA] [default: metahub-data]
    #[arg(long, value_name = "FOLDER", value_hint = ValueHint::DirPath)]
    pub(crate) data: Option<PathBuf>,
}

/// The group of arguments that make a command read images.
pub(crate) const READS_IMAGES: &str = "reads-images";

/// Arguments of commands that read documents, and on request the images that these name.
#[derive(Clone, Debug, Args)]
#[command(group = ArgGroup::new(READS_IMAGES).multiple(true))]
pub(crate) struct ReadingArgs {
    /// Also read the images that collections name, for what the documents do not say
    #[arg(long, group = READS_IMAGES)]
    images: bool,
    /// Where images are read: the MetaHub to ask for names without a host
    #[arg(long, value_name = "URL", requires = READS_IMAGES)]
    server: Option<Url>,
    /// Configuration file, for the site's documents, CPU targets and upstreams
    /// [env: METAHUB_CONFIG] [default: none]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    config: Option<PathBuf>,
}

impl ReadingArgs {
    /// The settings of such a command.
    pub(crate) fn load_config(&self, flags: Layer) -> miette::Result<Config> {
        let settings = SettingsArgs {
            config: self.config.clone(),
            data: None,
        };
        load_config(&settings, flags)
    }

    /// How images are read, if requested.
    pub(crate) fn images(&self, config: &Config) -> Option<ImageReader> {
        self.images.then(|| self.reader(config))
    }

    /// How images are read.
    pub(crate) fn reader(&self, config: &Config) -> ImageReader {
        ImageReader {
            upstreams: config.upstreams.clone(),
            settings: config.registry.clone(),
            server: self.server.clone(),
        }
    }
}

/// The CPU targets of a configuration.
pub(crate) fn graph(config: &Config) -> miette::Result<Arc<Microarchitectures>> {
    let graph = config.graph().into_diagnostic();
    let graph = graph.wrap_err("`hardware` of the configuration cannot be used")?;
    // One that is not known would lift nothing, silently.
    for target in config.registry.inspection.lifted.targets() {
        let known = graph.find(target).into_diagnostic();
        known.wrap_err("`inspection_lifted` of the configuration cannot be used")?;
    }
    Ok(graph)
}

/// Text for people or JSON for programs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Text for people
    #[default]
    Text,
    /// JSON for programs
    Json,
}

/// The source of a password.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct PasswordArgs {
    /// Read the password from standard input
    #[arg(long, conflicts_with = "generate")]
    pub(crate) password_stdin: bool,
    /// Generate a password without asking
    #[arg(long)]
    pub(crate) generate: bool,
}

/// The settings of a command that works on a data folder.
pub(crate) fn load_config(args: &SettingsArgs, flags: Layer) -> miette::Result<Config> {
    let flags = Layer {
        data: args.data.clone().or(flags.data),
        ..flags
    };
    Ok(Config::load(
        args.config.as_deref(),
        &|name| std::env::var_os(name),
        flags,
    )?)
}
