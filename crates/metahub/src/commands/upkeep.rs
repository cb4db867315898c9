//! `metahub gc` and `metahub scrub`, with or without a server on the data folder.

use std::time::Duration;

use clap::Args;
use metahub_operations::{CollectGarbage, Scrub, ScrubOutcome};
use metahub_registry::Scrubbed;

use crate::args::{Format, SettingsArgs, load_config};
use crate::commands::order;
use crate::config::Layer;
use crate::exit::{self, Exit};
use crate::output;

#[derive(Debug, Args)]
#[command(after_help = exit::TABLE)]
pub(crate) struct GcArgs {
    #[command(flatten)]
    settings: SettingsArgs,
    /// What came or was used less than this ago stays: clients push blobs before the manifest
    /// that names them
    #[arg(long, value_name = "TIME", default_value = "24h", value_parser = time)]
    grace: Duration,
    /// Only say what would go
    #[arg(long)]
    dry_run: bool,
    /// How to print
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    format: Format,
}

#[derive(Debug, Args)]
#[command(after_help = exit::TABLE)]
pub(crate) struct ScrubArgs {
    #[command(flatten)]
    settings: SettingsArgs,
    /// Read at most so many MiB a second, to leave the disk to others [default: no limit]
    #[arg(long, value_name = "MIB")]
    rate: Option<u64>,
    /// Only say what is wrong: set nothing aside and fetch nothing again
    #[arg(long)]
    dry_run: bool,
    /// Give up content however much is missing or damaged, and files that the database does not
    /// name; without a server, also where the folder of blobs is empty or another one
    #[arg(long)]
    accept_loss: bool,
    /// How to print
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    format: Format,
}

/// A length of time with its unit, such as `24h` or `90s`.
pub(crate) fn time(text: &str) -> Result<Duration, String> {
    text.parse::<jiff::SignedDuration>()
        .ok()
        .and_then(|time| Duration::try_from(time).ok())
        .ok_or_else(|| {
            format!("'{text}' is no length of time: expected a number with a unit, such as 24h")
        })
}

pub(crate) async fn gc(args: GcArgs) -> miette::Result<Exit> {
    let operation = CollectGarbage {
        grace_seconds: args.grace.as_secs(),
        dry_run: args.dry_run,
    };
    let config = load_config(&args.settings, Layer::default())?;
    let report = order::done(&config, operation).await?;
    if args.format == Format::Json {
        output::json(&report)?;
        return Ok(Exit::Ok);
    }
    let bytes = indicatif::HumanBytes(report.blob_bytes.saturating_add(report.file_bytes));
    let verb = if args.dry_run { "would free" } else { "freed" };
    output::line(format!("{verb} {bytes}"))?;
    for (number, what) in [
        (report.blobs, "blobs that no repository holds"),
        (
            report.links,
            "blobs taken from repositories whose manifests do not name them",
        ),
        (report.files, "files that interrupted work left"),
        (
            report.derived,
            "derived manifests whose source or record is gone",
        ),
        (report.uploads, "uploads that nobody continued"),
        (report.repositories, "repositories that held nothing"),
    ] {
        output::line(format!("  {number:>8} {what}"))?;
    }
    Ok(Exit::Ok)
}

pub(crate) async fn scrub(args: ScrubArgs) -> miette::Result<Exit> {
    let operation = Scrub {
        bytes_per_second: args.rate.map(|rate| rate.saturating_mul(1024 * 1024)),
        dry_run: args.dry_run,
        accept_loss: args.accept_loss,
    };
    let config = load_config(&args.settings, Layer::default())?;
    let outcome = order::done(&config, operation).await?;
    let exit = if outcome.whole {
        Exit::Ok
    } else {
        Exit::Failure
    };
    if args.format == Format::Json {
        output::json(&outcome)?;
    } else {
        print_scrub(&outcome)?;
    }
    Ok(exit)
}

fn print_scrub(outcome: &ScrubOutcome) -> miette::Result<()> {
    let Scrubbed { report, refilled } = &outcome.scrubbed;
    output::line(format!(
        "checked {} blobs and manifests, {}",
        report.progress.checked,
        indicatif::HumanBytes(report.progress.bytes)
    ))?;
    let findings = [&report.blobs, &report.manifests, &report.missing];
    for finding in findings.into_iter().flatten() {
        let again = refilled.contains(&finding.digest);
        let repositories: Vec<&str> = finding.repositories.iter().map(|r| r.as_str()).collect();
        let line = format!(
            "{}: {}{} ({})",
            finding.digest,
            finding.problem,
            if again { "; fetched again" } else { "" },
            repositories.join(", ")
        );
        output::line(if again {
            output::faint(&line)
        } else {
            output::bad(&line)
        })?;
    }
    for problem in &report.database {
        output::line(output::bad(&format!("database: {problem}")))?;
    }
    for digest in &report.adopted {
        output::line(output::faint(&format!("{digest}: is back")))?;
    }
    for note in report.notes.iter().chain(&report.withheld) {
        output::line(output::bad(note))?;
    }
    output::line(if outcome.whole {
        output::good("everything is whole")
    } else if report.withheld.is_some() {
        output::bad("not everything is whole: see above")
    } else {
        output::bad("not everything is whole: push again what is named above")
    })
}
