//! `annotate`: annotations on an image's manifest.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::Event;

/// Sets annotations of an image's manifest. Docker's manifests have none and stay as they are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Annotate {
    /// Names and values.
    pub annotations: BTreeMap<String, String>,
}

impl Annotate {
    /// Its name in documents.
    pub const NAME: &'static str = "annotate";
    /// When it happens.
    pub const EVENT: Event = Event::PostManifestGet;
}
