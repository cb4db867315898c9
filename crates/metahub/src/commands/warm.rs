//! `metahub warm IMAGE...`: has the server fetch images before clients pull them.

use clap::Args;
use metahub_operations::Warm;

use crate::args::{Format, SettingsArgs, load_config};
use crate::commands::order;
use crate::commands::selection::SelectionArgs;
use crate::config::Layer;
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

pub(crate) async fn run(args: WarmArgs) -> miette::Result<Exit> {
    let config = load_config(&args.settings, Layer::default())?;
    let images = args.selection.images(false)?;
    let warmed = match order::done(&config, Warm(images)).await {
        Ok(warmed) => warmed,
        Err(error) => return exit::of(error),
    };
    if args.format == Format::Json {
        output::json(&warmed)?;
        return Ok(exit::in_part(&warmed.failed));
    }
    for warning in &warmed.warnings {
        anstream::eprintln!("warning: {warning}");
    }
    for image in &warmed.images {
        output::line(image.to_string())?;
    }
    output::line(format!(
        "{} in {} pieces are here",
        indicatif::HumanBytes(warmed.bytes),
        warmed.contents
    ))?;
    Ok(exit::in_part(&warmed.failed))
}
