//! Choosing by hardware, from outside: every CPU target as a login under a real Docker, what
//! images say of themselves, what a site adds, and the commands that show it.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test"
)]

mod choice;
mod documents;
mod site;
mod statements;
mod targets;
