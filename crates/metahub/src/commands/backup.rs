//! `metahub backup` and `metahub restore`: copies of a data folder.

use std::path::PathBuf;

use clap::{Args, ValueHint};
use metahub_oci::Digest;
use metahub_operations::Backup;
use miette::IntoDiagnostic as _;

use crate::args::{Format, SettingsArgs, load_config};
use crate::commands::order;
use crate::commands::shown::Shown;
use crate::config::Layer;
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
    let operation = Backup {
        // The server may run in another folder.
        folder: std::path::absolute(&args.folder).into_diagnostic()?,
        prune: args.prune,
    };
    let outcome = order::done(&config, operation).await?;
    if args.format == Format::Json {
        output::json(&outcome)?;
        return Ok(exit_of(outcome.whole));
    }
    let report = &outcome.report;
    output::line(format!(
        "{}: {} blobs, {}; {} copied, {}",
        args.folder.display(),
        report.blobs,
        indicatif::HumanBytes(report.bytes),
        report.copied,
        indicatif::HumanBytes(report.copied_bytes)
    ))?;
    if args.prune {
        output::line(format!("removed {} blobs of former backups", report.pruned))?;
    }
    print_lost(
        &report.missing,
        &report.damaged,
        "not in the backup: run metahub scrub",
    )?;
    print_whole(outcome.whole)
}

/// The message about an interrupted restore.
const RESTORE_KEEPS: &str = "What was restored stays in the new folder, which no server uses before the rest is there; the \
     same command restores it.";

pub(crate) async fn restore(args: RestoreArgs) -> miette::Result<Exit> {
    let config = load_config(&args.settings, Layer::default())?;
    let shown = Shown::bytes(0);
    let progress = shown.progress();
    let restoring = metahub_operations::restore(&args.folder, &config.data, args.verify, progress);
    let outcome = shown.until_done(restoring, RESTORE_KEEPS).await??;
    if args.format == Format::Json {
        output::json(&outcome)?;
        return Ok(exit_of(outcome.whole));
    }
    let report = &outcome.report;
    output::line(format!(
        "{}: {} blobs, {}",
        config.data.display(),
        report.blobs,
        indicatif::HumanBytes(report.bytes)
    ))?;
    if let Some(verified) = &report.verified {
        let findings = [&verified.blobs, &verified.manifests, &verified.missing];
        for finding in findings.into_iter().flatten() {
            let line = format!("{}: {}", finding.digest, finding.problem);
            output::line(output::bad(&line))?;
        }
    }
    print_lost(
        &report.missing,
        &report.damaged,
        "not restored: push it again, or fetch it",
    )?;
    print_whole(outcome.whole)
}

/// Names what is missing or damaged.
fn print_lost(missing: &[Digest], damaged: &[Digest], what: &str) -> miette::Result<()> {
    for (kind, digests) in [("missing", missing), ("damaged", damaged)] {
        for digest in digests {
            output::line(output::bad(&format!("{digest}: {kind}, {what}")))?;
        }
    }
    Ok(())
}

fn print_whole(whole: bool) -> miette::Result<Exit> {
    output::line(if whole {
        output::good("everything is whole")
    } else {
        output::bad("not everything is whole")
    })?;
    Ok(exit_of(whole))
}

fn exit_of(whole: bool) -> Exit {
    if whole { Exit::Ok } else { Exit::Failure }
}
