//! Speaking to registries as a client: challenges, tokens, requests whose answers are bounded in
//! bytes and time. Blocking and small, for programs that must be so. Credentials go to the
//! registry that they were given for, and nowhere else. It keeps nothing.

mod challenge;
mod error;
mod registry;

pub use challenge::Challenge;
pub use error::{CertificateFault, ClientError};
pub use registry::{Connect, Login, Registry, is_digest};
