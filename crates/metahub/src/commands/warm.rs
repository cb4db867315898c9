//! `metahub warm IMAGE...`: has the server fetch images before anybody pulls them.

use clap::Args;
use miette::IntoDiagnostic as _;
use serde::{Deserialize, Serialize};

use crate::args::{Format, SettingsArgs, load_config};
use crate::commands::order;
use crate::commands::selection::SelectionArgs;
use crate::config::Layer;
use crate::control::Order;
use crate::exit::{self, Exit};
use crate::output;

#[derive(Debug, Args)]
#[command(after_help = exit::TABLE)]
pub(crate) struct WarmArgs {
    #[command(flatten)]
    selection: SelectionArgs,
    #[command(flatten)]
    settings: SettingsArgs,
    /// How to print
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    format: Format,
}

/// What is here now.
#[derive(Deserialize, Serialize)]
struct Warmed {
    images: Vec<String>,
    /// Manifests and blobs.
    contents: u64,
    /// The bytes of those.
    bytes: u64,
    warnings: Vec<String>,
    /// Images that could not be had, and why.
    #[serde(default)]
    failed: Vec<String>,
}

pub(crate) async fn run(args: WarmArgs) -> miette::Result<Exit> {
    let config = load_config(&args.settings, Layer::default())?;
    let images = args.selection.images(false)?;
    let report = match order::done(&config, Order::Warm(images)).await {
        Ok(report) => report,
        Err(error) => return exit::of(error),
    };
    let warmed: Warmed = serde_json::from_value(report).into_diagnostic()?;
    if args.format == Format::Json {
        output::json(&warmed)?;
        return Ok(exit::in_part(&warmed.failed));
    }
    for warning in &warmed.warnings {
        anstream::eprintln!("warning: {warning}");
    }
    for image in &warmed.images {
        output::line(image)?;
    }
    output::line(format!(
        "{} in {} pieces are here",
        indicatif::HumanBytes(warmed.bytes),
        warmed.contents
    ))?;
    Ok(exit::in_part(&warmed.failed))
}
