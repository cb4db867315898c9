//! Images of an upstream: what refers to them, by whatever the upstream answers, and how many of
//! them are read for a choice. And what is left when an upstream, a client or the disk fails while
//! a blob is fetched.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::indexing_slicing,
    reason = "tests assert by panicking"
)]

mod bounds;
mod cache;
mod cases;
mod derived;
mod disk;
mod fake;
mod fetches;
mod kinds;
mod load;
mod referrers;
