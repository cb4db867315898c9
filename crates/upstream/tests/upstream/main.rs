//! Reads from a registry of our own that can do everything wrong, and from a real one.
//!
//! Nothing outside this machine is asked.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::needless_pass_by_value,
    reason = "tests assert by panicking and read best with short calls; clippy's allowance ends at helpers"
)]

mod auth;
mod blobs;
mod docker_registry;
mod fake;
mod lists;
mod manifests;
mod redirects;
mod refresh;
mod shows;
mod tls;
mod trouble;
