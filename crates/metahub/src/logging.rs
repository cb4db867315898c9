//! Logs on standard error: text for people, JSON for collectors. Standard output is left to
//! what commands print.

use std::io::IsTerminal as _;

use clap::ValueEnum;
use miette::miette;
use tracing_appender::non_blocking::WorkerGuard;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

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
    let refuse = |problem: String| {
        miette!(
            help = "expected a level (off, error, warn, info, debug, trace), TARGET=LEVEL, or \
                    several of them with commas between",
            "'{filter}' is not a log filter: {problem}"
        )
    };
    if let Some(word) = unknown_word(filter) {
        return Err(refuse(format!("'{word}' is no level")));
    }
    let filter = EnvFilter::try_new(filter).map_err(|error| refuse(error.to_string()))?;
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

/// A word of a filter that is neither a level nor a part of this program: the filter would take it
/// for a part that logs nothing, and a slip such as `debu` would silence everything.
fn unknown_word(filter: &str) -> Option<&str> {
    let words = filter.split(',').map(str::trim);
    let mut alone = words.filter(|word| !word.is_empty() && !word.contains(['=', '[']));
    alone.find(|word| word.parse::<LevelFilter>().is_err() && !word.starts_with("metahub"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_in_a_level_is_found() {
        for (filter, unknown) in [
            ("debu", Some("debu")),
            ("info,debu", Some("debu")),
            ("debug", None),
            ("WARN", None),
            ("off", None),
            ("info,metahub_upstream=debug", None),
            ("metahub_upstream", None),
            ("info, metahub_upstream=trace,", None),
            ("", None),
        ] {
            assert_eq!(unknown_word(filter), unknown, "{filter}");
        }
    }
}
