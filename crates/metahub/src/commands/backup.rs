//! `metahub backup` and `metahub restore`: a copy of a data folder, and a data folder of the copy.

use std::path::PathBuf;

use clap::{Args, ValueHint};
use metahub_store::{Copying, RestoreOptions};
use miette::IntoDiagnostic as _;
use serde_json::Value;

use crate::args::{Format, SettingsArgs, load_config};
use crate::commands::order;
use crate::commands::upkeep::list;
use crate::config::Layer;
use crate::control::{self, Order};
use crate::exit::{self, Exit};
use crate::output;

const BACKUP_HELP: &str = "\
Examples:
  metahub backup /mnt/backup/metahub          copy what is not there yet
  metahub backup /mnt/backup/metahub --prune  and remove what this backup does not name
";

const RESTORE_HELP: &str = "\
Examples:
  metahub restore /mnt/backup/metahub --data new-data --verify
  metahub serve --data new-data
";

#[derive(Debug, Args)]
#[command(after_help = exit::table_after(BACKUP_HELP))]
pub(crate) struct BackupArgs {
    /// The folder of the backup: a new one, an empty one, or one that holds former backups of the
    /// same data folder, whose blobs are not copied again
    #[arg(value_name = "FOLDER", value_hint = ValueHint::DirPath)]
    folder: PathBuf,
    /// Remove blobs of former backups that this one does not name
    #[arg(long)]
    prune: bool,
    #[command(flatten)]
    settings: SettingsArgs,
    /// How to print
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    format: Format,
}

#[derive(Debug, Args)]
#[command(after_help = exit::table_after(RESTORE_HELP))]
pub(crate) struct RestoreArgs {
    /// The folder that metahub backup wrote
    #[arg(value_name = "FOLDER", value_hint = ValueHint::DirPath)]
    folder: PathBuf,
    /// Read everything back afterwards, manifests included, and check every digest once more
    #[arg(long)]
    verify: bool,
    #[command(flatten)]
    settings: SettingsArgs,
    /// How to print
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    format: Format,
}

pub(crate) async fn backup(args: BackupArgs) -> miette::Result<Exit> {
    let config = load_config(&args.settings, Layer::default())?;
    let order = Order::Backup {
        // The server may stand in another folder.
        folder: std::path::absolute(&args.folder).into_diagnostic()?,
        prune: args.prune,
    };
    let report = order::done(&config, order).await?;
    if args.format == Format::Json {
        output::json(&report)?;
        return Ok(exit_of(&report));
    }
    let number = |key: &str| report.get(key).and_then(Value::as_u64).unwrap_or(0);
    output::line(format!(
        "{}: {} blobs, {}; {} copied, {}",
        args.folder.display(),
        number("blobs"),
        indicatif::HumanBytes(number("bytes")),
        number("copied"),
        indicatif::HumanBytes(number("copied_bytes"))
    ))?;
    if args.prune {
        output::line(format!(
            "removed {} blobs of former backups",
            number("pruned")
        ))?;
    }
    say_lost(&report, "not in the backup: run metahub scrub")
}

pub(crate) async fn restore(args: RestoreArgs) -> miette::Result<Exit> {
    let config = load_config(&args.settings, Layer::default())?;
    let options = RestoreOptions {
        verify: args.verify,
    };
    let bar = order::bytes_bar(0);
    let shown = bar.clone();
    let progress = move |now: Copying| {
        shown.set_length(now.total);
        shown.set_position(now.bytes);
    };
    let restored = metahub_store::restore(&args.folder, &config.data, options, progress).await;
    bar.finish_and_clear();
    let restored = restored.into_diagnostic()?;
    let whole = restored.is_whole();
    let report = serde_json::to_value(restored).into_diagnostic()?;
    let report = control::with_whole(report, whole)?;
    if args.format == Format::Json {
        output::json(&report)?;
        return Ok(exit_of(&report));
    }
    let number = |key: &str| report.get(key).and_then(Value::as_u64).unwrap_or(0);
    output::line(format!(
        "{}: {} blobs, {}",
        config.data.display(),
        number("blobs"),
        indicatif::HumanBytes(number("bytes"))
    ))?;
    let verified = report.get("verified").cloned().unwrap_or_default();
    for kind in ["blobs", "manifests", "missing"] {
        for finding in list(&verified, kind) {
            let text = |key: &str| finding.get(key).and_then(Value::as_str).unwrap_or("");
            let line = format!("{}: {}", text("digest"), text("problem"));
            output::line(output::bad(&line))?;
        }
    }
    say_lost(&report, "not restored: push it again, or fetch it")
}

/// Names what a report says is missing or damaged.
fn say_lost(report: &Value, what: &str) -> miette::Result<Exit> {
    for kind in ["missing", "damaged"] {
        for digest in list(report, kind).iter().filter_map(Value::as_str) {
            output::line(output::bad(&format!("{digest}: {kind}, {what}")))?;
        }
    }
    let exit = exit_of(report);
    output::line(match exit {
        Exit::Ok => output::good("everything is whole"),
        _ => output::bad("not everything is whole"),
    })?;
    Ok(exit)
}

fn exit_of(report: &Value) -> Exit {
    match report.get("whole").and_then(Value::as_bool) {
        Some(true) => Exit::Ok,
        _ => Exit::Failure,
    }
}
