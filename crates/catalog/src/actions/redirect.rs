//! `redirect`: a tag is answered from another repository, or by another tag.

use metahub_oci::{RepositoryName, Tag};
use serde::Serialize;

use crate::{Event, RepositoryPattern, TextPattern};

/// Answers a request by tag from somewhere else. The client keeps the name that it asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Redirect {
    /// Which repositories are redirected; all where nothing is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repository: Option<RepositoryPattern>,
    /// Which tags are redirected; all where nothing is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tag: Option<TextPattern>,
    /// The repository that is read instead, as clients name it here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<RepositoryName>,
    /// The tag that is read instead.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to_tag: Option<Tag>,
}

impl Redirect {
    /// Its name in documents.
    pub const NAME: &'static str = "redirect";
    /// When it happens.
    pub const EVENT: Event = Event::PreManifestGet;
}
