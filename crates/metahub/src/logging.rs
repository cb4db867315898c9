//! Logs on standard error: text for people, JSON for collectors. Standard output is left to
//! what commands print.

use std::io::IsTerminal as _;

use clap::ValueEnum;
use miette::miette;
use tracing_appender::non_blocking::WorkerGuard;
use tracing_subscriber::EnvFilter;

use crate::log_writer;

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// Lines for people, coloured on a terminal.
    #[default]
    Text,
    /// One JSON object per line.
    Json,
}

/// Starts logging, until the guard is dropped: then everything has been written. `filter` is a
/// level or a list such as `info,metahub_upstream=debug`.
pub(crate) fn start(filter: &str, format: LogFormat) -> miette::Result<WorkerGuard> {
    let filter = EnvFilter::try_new(filter).map_err(|error| {
        miette!(
            help = "expected a level (error, warn, info, debug, trace) or TARGET=LEVEL pairs",
            "'{filter}' is not a log filter: {error}"
        )
    })?;
    let (writer, guard) = log_writer::start(std::io::stderr(), |lines| {
        tracing::warn!(
            lines,
            "lines were left out of the log: who reads standard error is too slow"
        );
    });
    let coloured = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(writer)
        .with_ansi(coloured);
    match format {
        LogFormat::Text => builder.with_target(false).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    }
    .map_err(|error| miette!("logging cannot start: {error}"))?;
    Ok(guard)
}
