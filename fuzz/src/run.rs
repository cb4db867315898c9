//! One run of a target: seeds, mutations, what is found.

use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use crate::Target;
use crate::corpus;
use crate::mutate::{Numbers, mutated};

/// An input that is read for longer has made something hang. Reading takes milliseconds.
const HANGS: Duration = Duration::from_secs(60);
/// Most inputs that are kept to be mutated.
const MOST_KEPT: usize = 4_096;

/// What a run did.
#[derive(Clone, Copy, Debug)]
pub struct Report {
    /// The inputs it began with.
    pub seeds: usize,
    /// The inputs that were read, seeds included.
    pub cases: u64,
    /// What inputs came to, each counted once.
    pub outcomes: usize,
}

/// Reads the corpus of `target`, then mutations of it.
///
/// # Panics
/// When an input makes the target panic; the input is left in `failures/`.
#[must_use]
pub fn run(target: &Target) -> Report {
    run_in(target, Path::new(env!("CARGO_MANIFEST_DIR")))
}

fn run_in(target: &Target, root: &Path) -> Report {
    let mut kept = corpus::seeds(target, &root.join("corpus"));
    let seeds = kept.len();
    assert!(seeds > 0, "{} has no corpus", target.name);
    let number = |name: &str| {
        let text = std::env::var(name).ok()?;
        Some(
            text.parse::<u64>()
                .unwrap_or_else(|_| panic!("{name} is a number")),
        )
    };
    let most = number("METAHUB_FUZZ_CASES").unwrap_or(target.cases);
    let until = number("METAHUB_FUZZ_SECONDS").map(|n| Instant::now() + Duration::from_secs(n));
    let mut numbers = Numbers::new(number("METAHUB_FUZZ_SEED").unwrap_or(1));
    let watch = Watch::start(*target, root.join("failures"));
    let mut outcomes: HashSet<String> = HashSet::new();
    for seed in &kept {
        outcomes.insert(watch.read(seed));
    }
    let mut cases = kept.len() as u64;
    while until.map_or(cases < most, |until| Instant::now() < until) {
        let base = &kept[numbers.below(kept.len())];
        let other = &kept[numbers.below(kept.len())];
        let input = mutated(base, other, target.words, target.most_bytes, &mut numbers);
        cases += 1;
        if outcomes.insert(watch.read(&input)) && kept.len() < MOST_KEPT {
            kept.push(input);
        }
    }
    Report {
        seeds,
        cases,
        outcomes: outcomes.len(),
    }
}

/// The input that is being read, and since when.
type Present = Arc<Mutex<Option<(Instant, Vec<u8>)>>>;

/// Reads inputs while another thread sees to it that none takes for ever.
struct Watch {
    target: Target,
    failures: PathBuf,
    present: Present,
    /// The other thread ends when this is dropped.
    _ends: std::sync::mpsc::Sender<()>,
}

impl Watch {
    fn start(target: Target, failures: PathBuf) -> Self {
        let (ends, ended) = channel();
        let present = Present::default();
        let (seen, folder) = (Arc::clone(&present), failures.clone());
        thread::spawn(move || {
            while ended.recv_timeout(Duration::from_secs(1)) == Err(RecvTimeoutError::Timeout) {
                let present = seen.lock().unwrap();
                let Some((_, input)) = present.as_ref().filter(|(at, _)| at.elapsed() > HANGS)
                else {
                    continue;
                };
                let file = save(&folder, target.name, input);
                eprintln!("{} hangs: {}", target.name, file.display());
                std::process::abort();
            }
        });
        Self {
            target,
            failures,
            present,
            _ends: ends,
        }
    }

    fn read(&self, input: &[u8]) -> String {
        *self.present.lock().unwrap() = Some((Instant::now(), input.to_vec()));
        let outcome = catch_unwind(AssertUnwindSafe(|| (self.target.read)(input)));
        *self.present.lock().unwrap() = None;
        outcome.unwrap_or_else(|_| {
            let file = save(&self.failures, self.target.name, input);
            panic!("{} fails on {}", self.target.name, file.display());
        })
    }
}

/// Leaves an input in a file that is called by its content.
fn save(folder: &Path, name: &str, input: &[u8]) -> PathBuf {
    let hash = metahub_oci::Digest::sha256(input);
    let file = folder.join(format!("{name}-{}", &hash.hex()[..16]));
    std::fs::create_dir_all(folder).unwrap();
    std::fs::write(&file, input).unwrap();
    file
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(read: fn(&[u8]) -> String) -> Target {
        Target {
            name: "word",
            cases: 2_000,
            most_bytes: 64,
            files: &[],
            words: &["needle"],
            read,
        }
    }

    fn folder() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("corpus")).unwrap();
        std::fs::write(folder.path().join("corpus/word"), b"hay hay").unwrap();
        folder
    }

    #[test]
    fn an_input_that_fails_is_found_and_left() {
        let folder = folder();
        let fails = target(|input| {
            let text = String::from_utf8_lossy(input);
            assert!(!text.contains("needle"));
            text.matches("hay").count().to_string()
        });
        let run = catch_unwind(AssertUnwindSafe(|| run_in(&fails, folder.path())));
        assert!(run.is_err());
        let mut failures = std::fs::read_dir(folder.path().join("failures")).unwrap();
        let left = std::fs::read(failures.next().unwrap().unwrap().path()).unwrap();
        assert!(String::from_utf8_lossy(&left).contains("needle"));
        assert!(failures.next().is_none());
    }

    /// Each further one is found from an input that had the ones before.
    #[test]
    fn what_is_new_is_mutated_in_turn() {
        let folder = folder();
        let counts = target(|input| {
            let text = String::from_utf8_lossy(input);
            text.matches("needle").count().min(6).to_string()
        });
        assert_eq!(run_in(&counts, folder.path()).outcomes, 7);
    }
}
