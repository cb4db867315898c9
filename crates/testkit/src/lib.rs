//! For tests only: a fake registry whose every answer a test decides ([`FakeRegistry`]), two that
//! decide by themselves on top of it, one with content that a test changes ([`scripted`]) and one
//! that misbehaves on command ([`faulty`]), and one HTTP client ([`mod@http`]). Besides, a registry
//! of raw TCP for what no HTTP library sends ([`wire`]).
//!
//! Failed assertions panic with the request and its answer. It depends on no other crate of this
//! workspace: what it knows of a registry is the specification.
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::needless_pass_by_value,
    reason = "test support fails a test by panicking"
)]

mod answer;
pub mod faulty;
pub mod http;
pub mod program;
mod registry;
mod runtime;
pub mod scripted;
pub mod wire;

pub use answer::{Answer, Body, Piece};
pub use registry::{FakeRegistry, Seen};
pub use runtime::runtime;
