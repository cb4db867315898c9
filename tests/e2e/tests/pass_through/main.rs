//! An upstream that is read for each account as that account: what one may read there is closed to
//! who may not, though it is cached here.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test")]

mod closed;
mod others;
mod proofs;
mod real;
mod world;
