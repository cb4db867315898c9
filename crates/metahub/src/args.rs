//! Arguments that several commands take.

use std::path::PathBuf;

use clap::{Args, ValueEnum, ValueHint};

use crate::config::{Config, Layer};

/// Where settings come from; flags win over environment variables, those over the file.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct SettingsArgs {
    /// Configuration file (YAML) [env: METAHUB_CONFIG] [default: none]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) config: Option<PathBuf>,
    /// Folder that holds content, accounts and keys [env: METAHUB_DATA] [default: metahub-data]
    #[arg(long, value_name = "FOLDER", value_hint = ValueHint::DirPath)]
    pub(crate) data: Option<PathBuf>,
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

/// Where a password comes from.
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
