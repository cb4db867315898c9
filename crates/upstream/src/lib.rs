//! Reading other registries: routes names to them, authenticates, and gets their manifests, blobs,
//! tags and referrers, verified.
//!
//! Nothing is stored here: what is read goes to the caller. Credentials go only to the host that
//! they are configured for, whatever a challenge or a redirect says. No error, log line or debug
//! print holds a secret, a token or a signed URL.
//!
//! The files are the nouns: `manifest`, `blob`, `tags` and `referrers` are what a registry holds;
//! `route` finds the registry; `ask` is one request with its retries; `auth`, `client` and
//! `address` guard it.

mod address;
mod answer;
mod ask;
mod auth;
mod blob;
mod breaker;
mod chain;
mod client;
mod config;
mod credentials;
mod docker_config;
mod duration;
mod error;
mod exclusive_names;
mod helper;
mod identity;
mod lifetime;
mod logins;
mod manifest;
mod names;
mod pace;
mod paging;
mod parts;
mod pass_through;
mod pause;
mod pieces;
mod pinned;
mod read_check;
mod referrers;
mod refresh;
mod retry;
mod room;
mod route;
mod secret;
mod tags;
mod token;
mod upstream;
mod verified;
mod well_known;

pub use address::ProxiedPrivate;
pub use blob::{BlobBody, BlobStream};
pub use config::{AnyHost, ConfigError, Prefix, Timeouts, UpstreamConfig, UpstreamsConfig};
pub use credentials::{Credentials, CredentialsConfig};
pub use error::{Problem, UpstreamError, Waiting};
pub use lifetime::{Gone, Lifetime, TagLifetimes};
pub use logins::{Login, LoginError, Logins};
pub use manifest::{Fetched, Freshness};
pub use metahub_client::Head;
pub use names::named_host;
pub use pass_through::{PassThrough, PassThroughError};
pub use referrers::Referring;
pub use retry::RetryPolicy;
pub use route::{NamespaceError, Route, Upstreams};
pub use secret::Secret;
pub use tags::Listed;
pub use upstream::Upstream;
pub use verified::{VerifyError, verified};
pub use well_known::REGISTRIES;
