//! Pass-through upstreams: those that are read under each account's own identity. Which upstreams
//! may be, and for how long one of their answers counts for an account.
//!
//! What such an upstream holds, and whether it is cached, must not be revealed to anybody who
//! cannot read it there. So a name must lead to it alone: where several upstreams are asked in
//! turn, the answer would reveal what the first one has. Only rules; nothing is requested here.

use std::time::Duration;

use metahub_oci::Host;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::duration::duration;

/// The settings of a pass-through upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PassThrough {
    /// How long an account that could read a repository there may read what is cached from it,
    /// before the upstream is asked again.
    #[serde(deserialize_with = "duration")]
    #[schemars(with = "String")]
    pub remember: Duration,
}

impl Default for PassThrough {
    fn default() -> Self {
        Self {
            remember: Duration::from_mins(5),
        }
    }
}

/// Why an upstream cannot be a pass-through upstream.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PassThroughError {
    /// It is a default one.
    #[error(
        "upstream {0}: pass_through and default: true exclude each other, since names without a \
         host would tell what others may read there; reach it by its host, or by prefixes"
    )]
    Default(Host),
    /// Another upstream has its host.
    #[error(
        "upstream {0}: pass_through needs the host for one upstream alone, and {1} is the same; \
         take one of the two out"
    )]
    Host(Host, Host),
    /// Another upstream has its prefix.
    #[error(
        "upstream {0}: pass_through needs its prefixes for itself, and '{2}' is also one of \
         {1}; give one of the two another prefix"
    )]
    Prefix(Host, Host, String),
}
