//! `tags-filter`: which tags a login sees in a repository's list of tags.

use std::collections::BTreeSet;

use metahub_oci::Tag;
use serde::Serialize;

use crate::{Event, RepositoryPattern, TextPattern};

/// Shows, hides and adds tags in a list of tags. What is hidden can still be pulled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TagsFilter {
    /// Tags that are shown beside those that are there.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub add: BTreeSet<Tag>,
    /// Tags that are hidden.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drop: Option<TextPattern>,
    /// The tags that are shown; all where nothing is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keep: Option<TextPattern>,
    /// Which repositories' lists are changed; all where nothing is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repository: Option<RepositoryPattern>,
}

impl TagsFilter {
    /// Its name in documents.
    pub const NAME: &'static str = "tags-filter";
    /// When it happens.
    pub const EVENT: Event = Event::PostTagsListGet;
}
