//! For tests only: what anybody may send or write (documents, logins, jq programs, manifests,
//! indexes, configurations, NFD artifacts), mutated, against what reads it.
//!
//! Each [`Target`] begins with the seeds of `corpus/NAME` and with files of this repository. An input that comes to something new
//! (another error, another set of problems) is mutated in turn. A panic, a broken promise and an
//! input that takes too long leave the input in `failures/` and fail the test.
//!
//! `METAHUB_FUZZ_CASES` says how many inputs are made for a target in place of [`Target::cases`],
//! `METAHUB_FUZZ_SECONDS` goes on for that long instead, and `METAHUB_FUZZ_SEED` makes others.
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::indexing_slicing,
    reason = "a failure fails a test by panicking"
)]

mod corpus;
mod mutate;
mod run;
mod targets;

pub use run::{Report, run};
pub use targets::TARGETS;

/// What is fuzzed.
#[derive(Clone, Copy)]
pub struct Target {
    /// Its name: that of its file in `corpus/`, and of its test.
    pub name: &'static str,
    /// Files of this repository that it begins with as well: all of a folder, the YAML of a page.
    pub files: &'static [&'static str],
    /// How many inputs are made where nothing else is said: about ten seconds of an unoptimised
    /// build.
    pub cases: u64,
    /// Most bytes of an input.
    pub most_bytes: usize,
    /// Words that are put into inputs.
    pub words: &'static [&'static str],
    /// Reads one input and says what it came to, in words that are alike for what is alike. Panics
    /// when something that must hold does not.
    pub read: fn(&[u8]) -> String,
}
