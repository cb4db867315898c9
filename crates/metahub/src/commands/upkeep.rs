//! `metahub gc` and `metahub scrub`: orders to a data folder, with or without a server on it.

use std::time::Duration;

use clap::Args;
use serde_json::Value;

use crate::args::{Format, SettingsArgs, load_config};
use crate::commands::order;
use crate::config::Layer;
use crate::control::Order;
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
fn time(text: &str) -> Result<Duration, String> {
    text.parse::<jiff::SignedDuration>()
        .ok()
        .and_then(|time| Duration::try_from(time).ok())
        .ok_or_else(|| {
            format!("'{text}' is no length of time: expected a number with a unit, such as 24h")
        })
}

pub(crate) async fn gc(args: GcArgs) -> miette::Result<Exit> {
    let order = Order::Gc {
        grace_seconds: args.grace.as_secs(),
        dry_run: args.dry_run,
    };
    let config = load_config(&args.settings, Layer::default())?;
    let report = order::done(&config, order).await?;
    if args.format == Format::Json {
        output::json(&report)?;
        return Ok(Exit::Ok);
    }
    let number = |key: &str| report.get(key).and_then(Value::as_u64).unwrap_or(0);
    let bytes = indicatif::HumanBytes(number("blob_bytes") + number("file_bytes"));
    let verb = if args.dry_run { "would free" } else { "freed" };
    output::line(format!("{verb} {bytes}"))?;
    for (key, what) in [
        ("blobs", "blobs that no repository holds"),
        (
            "links",
            "blobs taken from repositories whose manifests do not name them",
        ),
        ("files", "files that interrupted work left"),
        (
            "derived",
            "derived manifests whose source or record is gone",
        ),
        ("uploads", "uploads that nobody continued"),
        ("repositories", "repositories that held nothing"),
    ] {
        output::line(format!("  {:>8} {what}", number(key)))?;
    }
    Ok(Exit::Ok)
}

pub(crate) async fn scrub(args: ScrubArgs) -> miette::Result<Exit> {
    let bytes_per_second = args.rate.map(|rate| rate.saturating_mul(1024 * 1024));
    let order = Order::Scrub {
        bytes_per_second,
        dry_run: args.dry_run,
        accept_loss: args.accept_loss,
    };
    let config = load_config(&args.settings, Layer::default())?;
    let report = order::done(&config, order).await?;
    let whole = report
        .get("whole")
        .and_then(Value::as_bool)
        .unwrap_or(false);
    let exit = if whole { Exit::Ok } else { Exit::Failure };
    if args.format == Format::Json {
        output::json(&report)?;
        return Ok(exit);
    }
    let progress = report.get("progress").cloned().unwrap_or_default();
    let number = |key: &str| progress.get(key).and_then(Value::as_u64).unwrap_or(0);
    output::line(format!(
        "checked {} blobs and manifests, {}",
        number("checked"),
        indicatif::HumanBytes(number("bytes"))
    ))?;
    for kind in ["blobs", "manifests", "missing"] {
        for finding in list(&report, kind) {
            let text = |key: &str| finding.get(key).and_then(Value::as_str).unwrap_or("");
            let digest = text("digest");
            let refilled = list(&report, "refilled")
                .iter()
                .any(|d| d.as_str() == Some(digest));
            let after = if refilled { "; fetched again" } else { "" };
            let whose: Vec<&str> = list(finding, "repositories")
                .iter()
                .filter_map(Value::as_str)
                .collect();
            let line = format!(
                "{digest}: {}{after} ({})",
                text("problem"),
                whose.join(", ")
            );
            output::line(if refilled {
                output::faint(&line)
            } else {
                output::bad(&line)
            })?;
        }
    }
    for problem in list(&report, "database").iter().filter_map(Value::as_str) {
        output::line(output::bad(&format!("database: {problem}")))?;
    }
    for digest in list(&report, "adopted").iter().filter_map(Value::as_str) {
        output::line(output::faint(&format!("{digest}: is back")))?;
    }
    let withheld = report.get("withheld").and_then(Value::as_str);
    let notes = list(&report, "notes").iter().filter_map(Value::as_str);
    for note in notes.chain(withheld) {
        output::line(output::bad(note))?;
    }
    output::line(match exit {
        Exit::Ok => output::good("everything is whole"),
        _ if withheld.is_some() => output::bad("not everything is whole: see above"),
        _ => output::bad("not everything is whole: push again what is named above"),
    })?;
    Ok(exit)
}

pub(super) fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value
        .get(key)
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}
