//! Images of an upstream: what refers to them, by whatever the upstream answers, and how many of
//! them are read for a choice.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests assert by panicking"
)]

mod bounds;
mod fake;
mod kinds;
mod referrers;
