//! `metahub schema`: JSON Schema, for editors.

use clap::{Args, ValueEnum};

use crate::config;
use crate::exit::Exit;
use crate::output;

/// Arguments of `metahub schema`.
#[derive(Debug, Args)]
pub(crate) struct SchemaArgs {
    /// What the schema is of
    #[arg(value_enum, default_value_t = Of::Documents)]
    of: Of,
}

/// What a schema is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Of {
    /// Profiles and collections
    Documents,
    /// The configuration file of `metahub serve`
    Config,
}

pub(crate) fn run(args: &SchemaArgs) -> miette::Result<Exit> {
    output::json(&match args.of {
        Of::Documents => metahub_catalog::schema(),
        Of::Config => config::schema(),
    })?;
    Ok(Exit::Ok)
}
