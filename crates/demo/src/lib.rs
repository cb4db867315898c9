//! Demo images made in process: tiny static programs for amd64 and arm64 in real OCI images,
//! with no base image, no network and no external tool, and the catalog that goes with them.
//!
//! The same version of this crate makes the same bytes on every machine. Nothing here does I/O:
//! what is made is handed over, and the caller puts it into a registry or a folder.

mod catalog;
mod content;
mod elf;
mod error;
mod image;
mod layer;
mod logins;

pub use catalog::catalog;
pub use content::{AWSCLI, FEATURETEST, GROMACS, images};
pub use elf::{Machine, executable};
pub use error::DemoError;
pub use image::{DemoImage, TARGET_LABEL};
pub use layer::{Entry, Layer};
pub use logins::{DemoLogin, Expected, LOGINS};
