//! The one place that decides what happens when a machine lacks something that a test needs:
//! a loud skip, or a failure when `METAHUB_REQUIRE_ALL=1`.
//!
//! It never decides by itself that a test is unimportant, and no test is left out silently.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::PathBuf;

/// Set to `1` to make every skip a failure.
pub const REQUIRE_ALL: &str = "METAHUB_REQUIRE_ALL";
/// A file to which each skip adds a line, so that `scripts/test` can sum them up.
pub const SKIPS_FILE: &str = "METAHUB_SKIPS_FILE";

/// Whether this machine has root rights and every one of `tools`; if not, says so loudly.
///
/// Use it as the first line of a test: `if !require::root_and(&["docker"]) { return; }`.
///
/// # Panics
/// When something is missing and `METAHUB_REQUIRE_ALL=1`.
#[track_caller]
#[must_use]
pub fn root_and(tools: &[&str]) -> bool {
    let mut missing = missing_tools(tools);
    if !rustix::process::geteuid().is_root() {
        missing.push("root rights".to_owned());
    }
    decide(&missing)
}

/// Whether this machine has every one of `tools`; if not, says so loudly.
///
/// # Panics
/// When something is missing and `METAHUB_REQUIRE_ALL=1`.
#[track_caller]
#[must_use]
pub fn tools(tools: &[&str]) -> bool {
    decide(&missing_tools(tools))
}

/// Whether `condition` holds on this machine; if not, says loudly that it lacks `what`.
///
/// # Panics
/// When it does not hold and `METAHUB_REQUIRE_ALL=1`.
#[track_caller]
#[must_use]
pub fn that(condition: bool, what: &str) -> bool {
    if condition {
        true
    } else {
        decide(&[what.to_owned()])
    }
}

/// Where `tool` is in `PATH`.
#[must_use]
pub fn find(tool: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|folder| folder.join(tool))
        .find(|file| file.is_file())
}

fn missing_tools(tools: &[&str]) -> Vec<String> {
    tools
        .iter()
        .filter(|tool| find(tool).is_none())
        .map(|tool| (*tool).to_owned())
        .collect()
}

#[track_caller]
fn decide(missing: &[String]) -> bool {
    if missing.is_empty() {
        return true;
    }
    let current = std::thread::current();
    let test = current.name().unwrap_or("a test");
    let line = format!("SKIPPED {test}: this machine lacks {}", missing.join(", "));
    assert!(
        std::env::var(REQUIRE_ALL).as_deref() != Ok("1"),
        "{line}, and {REQUIRE_ALL}=1 allows no skip"
    );
    // Written past the test runner's capture, which would hide it from whoever reads the run.
    let _ = writeln!(std::io::stderr(), "\n{line}");
    if let Some(file) = std::env::var_os(SKIPS_FILE)
        && let Ok(mut file) = OpenOptions::new().append(true).create(true).open(file)
    {
        let _ = writeln!(file, "{line}");
    }
    false
}
