//! `metahub export` and `metahub import`: images, collections and profiles in one file, for sites
//! without a network.

use std::path::PathBuf;

use clap::{Args, ValueHint};
use metahub_oci::ImageReference;
use metahub_operations::{ImportBundle, TakeInventory};
use metahub_registry::Imported;
use metahub_store::{Mode, Store};
use miette::IntoDiagnostic as _;

use crate::args::{Format, SettingsArgs, load_config};
use crate::commands::order;
use crate::commands::selection::SelectionArgs;
use crate::commands::shown::Shown;
use crate::config::Layer;
use crate::data;
use crate::exit::{self, Exit};
use crate::output;

/// The message about an interrupted export.
const EXPORT_KEEPS: &str =
    "What was written stays in FILE.partial; the same command goes on there.";

#[derive(Debug, Args)]
#[command(after_help = exit::TABLE)]
pub(crate) struct ExportArgs {
    #[command(flatten)]
    selection: SelectionArgs,
    /// The file to write; until it is whole it is called FILE.partial
    #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    output: PathBuf,
    /// Also take every profile of this site's documents, with the layer images that they add
    #[arg(long)]
    profiles: bool,
    #[command(flatten)]
    settings: SettingsArgs,
    /// How to print
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    format: Format,
}

#[derive(Debug, Args)]
#[command(after_help = exit::TABLE)]
pub(crate) struct ImportArgs {
    /// The file: an OCI image layout in a tar file, of metahub export or of another tool
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    file: PathBuf,
    /// What its one image is called here, in place of what the file says
    #[arg(long, value_name = "NAME:TAG")]
    name: Option<ImageReference>,
    /// Leave its collections and profiles out
    #[arg(long)]
    without_documents: bool,
    #[command(flatten)]
    settings: SettingsArgs,
    /// How to print
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    format: Format,
}

pub(crate) async fn export(args: ExportArgs) -> miette::Result<Exit> {
    let config = load_config(&args.settings, Layer::default())?;
    let images = args.selection.images(args.profiles)?;
    let inventory = match order::done(&config, TakeInventory(images)).await {
        Ok(inventory) => inventory,
        Err(error) => return exit::of(error),
    };
    let store = Store::open(&config.data, Mode::Beside)
        .await
        .map_err(|error| data::failed(&config.data, &error))?;
    let shown = Shown::bytes(inventory.bytes());
    let progress = shown.progress();
    let work = metahub_operations::export(&store, &inventory, &args.output, progress);
    let exported = shown.until_done(work, EXPORT_KEEPS).await;
    store.close().await;
    let exported = exported??;
    if args.format == Format::Json {
        output::json(&exported)?;
        return Ok(exit::in_part(&exported.failed));
    }
    for warning in &exported.warnings {
        anstream::eprintln!("warning: {warning}");
    }
    for image in &exported.images {
        output::line(format!(
            "{}  {}",
            image.name,
            output::faint(image.digest.as_str())
        ))?;
    }
    if exported.documents > 0 {
        let plural = if exported.documents == 1 { "" } else { "s" };
        output::line(format!("{} document{plural}", exported.documents))?;
    }
    let resumed = match exported.resumed {
        0 => String::new(),
        some => format!(", {some} of them from a run that broke off"),
    };
    output::line(format!(
        "{}: {} in {} pieces{resumed}",
        exported.file.display(),
        indicatif::HumanBytes(exported.bytes),
        exported.contents
    ))?;
    Ok(exit::in_part(&exported.failed))
}

pub(crate) async fn import(args: ImportArgs) -> miette::Result<Exit> {
    let config = load_config(&args.settings, Layer::default())?;
    let import = ImportBundle {
        // The server may run in another folder.
        path: std::path::absolute(&args.file).into_diagnostic()?,
        name: args.name,
        documents: !args.without_documents,
    };
    let report = order::done(&config, import).await?;
    if args.format == Format::Json {
        output::json(&report)?;
        return Ok(Exit::Ok);
    }
    for image in &report.imported.images {
        output::line(image.to_string())?;
    }
    for document in &report.documents {
        output::line(document)?;
    }
    let Imported {
        blobs,
        bytes,
        held,
        held_bytes,
        ..
    } = report.imported;
    output::line(format!(
        "{blobs} blobs stored ({}), {held} were here already ({})",
        indicatif::HumanBytes(bytes),
        indicatif::HumanBytes(held_bytes)
    ))?;
    Ok(Exit::Ok)
}
