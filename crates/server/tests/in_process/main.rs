//! A whole server in this process, before a fake upstream where one is needed: who is told what.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test"
)]

mod access;
mod nodes;
mod pass_through;
mod rights;
mod site;
