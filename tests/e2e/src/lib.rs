//! Drives MetaHub from outside: real `docker`, `podman`, `skopeo` and `buildah` before a real
//! `metahub` process, which reads from a real upstream registry.
//!
//! This is test support. It asserts by panicking, with what ran and what it printed. It links no
//! crate of MetaHub but `testkit`: what it knows of the server is what a client could know.
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "test support fails a test by panicking and shows its transcript on standard output"
)]

pub mod booted;
pub mod buildah;
pub mod charliecloud;
pub mod containerd;
pub mod corpus;
pub mod daemon;
pub mod debian;
pub mod docker;
pub mod fixture;
pub mod fleet;
pub mod machine;
pub mod metahub;
pub mod meter;
pub mod munge;
pub mod node;
pub mod podman;
pub mod process;
pub mod pusher;
pub mod registry;
pub mod require;
pub mod site;
pub mod skopeo;
pub mod slurm;
pub mod stand;
pub mod system_calls;
pub mod unit;
pub mod world;

pub use metahub_testkit::{faulty, http, scripted};
