//! System calls of processes, counted by strace: a cost that is the same on every machine.

use crate::daemon::Daemon;
use crate::process::Cmd;

/// What `work` gives, and what the processes and their threads called meanwhile, how often.
///
/// # Panics
/// When strace does not count.
pub fn counted<T>(processes: &[u32], work: impl FnOnce() -> T) -> (T, Vec<(String, u64)>) {
    let folder = tempfile::tempdir().unwrap();
    let summary = folder.path().join("summary");
    let mut command = Cmd::new("strace").args(["-f", "-c", "-o"]).arg(&summary);
    for process in processes {
        command = command.arg("-p").arg(process.to_string());
    }
    let mut strace = Daemon::start("strace", &command);
    strace.wait_for_line("that it is attached", |line| {
        line.contains("attached").then_some(())
    });
    let result = work();
    let _ = strace.terminate();
    let summary = std::fs::read_to_string(&summary).unwrap();
    let counts: Vec<(String, u64)> = summary.lines().filter_map(count).collect();
    assert!(!counts.is_empty(), "strace says: {summary}");
    (result, counts)
}

/// All calls together.
#[must_use]
pub fn total(counts: &[(String, u64)]) -> u64 {
    counts.iter().map(|(_, calls)| calls).sum()
}

/// A line of `strace -c`: per cent, seconds, microseconds for each, calls, perhaps errors, name.
fn count(line: &str) -> Option<(String, u64)> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let name = *fields.last()?;
    let calls = fields.get(3)?.parse().ok()?;
    (name != "total").then(|| (name.to_owned(), calls))
}
