//! `deny`: a tag is not given to a login, with a message that says why.

use serde::Serialize;

use crate::{Event, RepositoryPattern, TextPattern};

/// Refuses requests by tag. Guidance, not access control: a request by digest runs no action.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Deny {
    /// What the client is told.
    pub message: String,
    /// Which repositories are refused; all where nothing is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repository: Option<RepositoryPattern>,
    /// Which tags are refused; all where nothing is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tag: Option<TextPattern>,
}

impl Deny {
    /// Its name in documents.
    pub const NAME: &'static str = "deny";
    /// When it happens.
    pub const EVENT: Event = Event::PreManifestGet;
}
