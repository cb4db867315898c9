//! `tags-filter`: which tags a login sees when it lists a repository's tags.

use std::collections::BTreeSet;

use metahub_oci::Tag;
use serde::Serialize;
use serde_json::{Value, json};

use super::values;
use crate::reader::{Fields, Reader};
use crate::{Event, RepositoryPattern, TextPattern};

/// Shows, hides and adds tags in a list of tags. Hidden tags can still be pulled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TagsFilter {
    /// Tags that are added to the list.
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
    /// The keys of its `args`.
    pub const ARGS: &'static [&'static str] = &["add", "drop", "keep", "repository"];
    /// Those that must be given.
    pub const REQUIRED: &'static [&'static str] = &[];

    pub(super) fn schema() -> Value {
        json!({
            "add": values::list_schema("Tags that are shown beside those that are there"),
            "drop": values::pattern_schema("the tags that are hidden"),
            "keep": values::pattern_schema("the tags that are shown; all where nothing is said"),
            "repository": values::pattern_schema("the repositories whose lists are changed; all \
                                                  where nothing is said"),
        })
    }

    pub(super) fn read(reader: &mut Reader<'_>, args: &Fields<'_>) -> Option<Self> {
        const ADD: &str = "add: [stable]";
        let errors = reader.errors();
        let add: BTreeSet<Tag> = args
            .get("add")
            .map(|node| values::items(reader, node, "add", ADD))
            .unwrap_or_default()
            .iter()
            .filter_map(|item| reader.parsed(item, "add", "bad-tag", ADD))
            .collect();
        let drop = args
            .get("drop")
            .and_then(|node| reader.parsed(node, "drop", "bad-pattern", "drop: .*-debug"));
        let keep = args
            .get("keep")
            .and_then(|node| reader.parsed(node, "keep", "bad-pattern", "keep: v[0-9]+"));
        let repository = args.get("repository").and_then(|node| {
            reader.parsed(node, "repository", "bad-pattern", "repository: lab/.*")
        });
        if !args.is_misspelled()
            && errors == reader.errors()
            && add.is_empty()
            && drop.is_none()
            && keep.is_none()
        {
            let message = "`args` says nothing to do: it needs `keep`, `drop` or `add`";
            let help = "write `drop: .*-debug`, or one of `keep` and `add`".to_owned();
            reader.error("missing-key", args.mark, message, help);
        }
        (errors == reader.errors()).then_some(Self {
            add,
            drop,
            keep,
            repository,
        })
    }
}
