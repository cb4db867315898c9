//! `manifest-select`: of an index, the entry that fits the provided features best.

use serde::Serialize;
use serde_json::{Value, json};

use crate::Event;

/// Chooses, for each platform, the best of the entries that fit what the login provides. It
/// needs no arguments.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ManifestSelect {}

impl ManifestSelect {
    /// Its name in documents.
    pub const NAME: &'static str = "manifest-select";
    /// When it happens.
    pub const EVENT: Event = Event::PostManifestListGet;
    /// The keys of its `args`.
    pub const ARGS: &'static [&'static str] = &[];

    pub(super) fn schema() -> Value {
        json!({})
    }
}
