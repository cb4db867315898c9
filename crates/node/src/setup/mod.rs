//! `setup`: configures clients so that they ask this node's helper, or send this node's login, at a
//! MetaHub. One file per client. Existing configuration is merged, files are replaced whole or not
//! at all, and the program is installed before any file names it and removed after.

mod apply;
mod apptainer;
mod containerd;
mod cred_helpers;
mod docker;
mod lock;
mod named;
mod plan;
mod podman;
mod policy_file;
mod program;
mod slurm;

pub use apply::run;
pub use containerd::renew as renew_containerd;
pub use named::{Named, parser, told_apart};
pub use plan::{Client, Request, Scope, SetupError};

#[cfg(test)]
mod tests;
