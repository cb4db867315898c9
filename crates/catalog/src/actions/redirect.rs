//! `redirect`: answers a tag from another repository, or with another tag.

use metahub_oci::{ImageReference, RepositoryName, Tag};
use serde::Serialize;
use serde_json::{Value, json};

use super::values;
use crate::reader::{Fields, Reader};
use crate::yaml::Node;
use crate::{Event, RepositoryPattern, TextPattern};

/// Answers a request by tag from somewhere else. The client keeps the requested name.
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

const TO: &str = "to: lab/new";

impl Redirect {
    /// Its name in documents.
    pub const NAME: &'static str = "redirect";
    /// When it happens.
    pub const EVENT: Event = Event::PreManifestGet;
    /// The keys of its `args`.
    pub const ARGS: &'static [&'static str] = &["repository", "tag", "to", "to_tag"];
    /// Those that must be given.
    pub const REQUIRED: &'static [&'static str] = &[];

    pub(super) fn schema() -> Value {
        json!({
            "repository": values::pattern_schema("the repositories that are redirected; all \
                                                  where nothing is said"),
            "tag": values::pattern_schema("the tags that are redirected; all where nothing is \
                                           said"),
            "to": {
                "description": "[HOST/]NAME[:TAG] that is read instead, as clients name it here",
                "type": "string",
            },
            "to_tag": values::scalar_schema("The tag that is read instead"),
        })
    }

    pub(super) fn read(reader: &mut Reader<'_>, args: &Fields<'_>) -> Option<Self> {
        let errors = reader.errors();
        let repository = args.get("repository").and_then(|node| {
            reader.parsed(node, "repository", "bad-pattern", "repository: lab/old")
        });
        let tag = args
            .get("tag")
            .and_then(|node| reader.parsed(node, "tag", "bad-pattern", "tag: v1.*"));
        let to_tag = args.get("to_tag").and_then(|node| {
            Some((
                node,
                reader.parsed(node, "to_tag", "bad-tag", "to_tag: v2")?,
            ))
        });
        let to = args.get("to").and_then(|node| target(reader, node));
        let (to, with) = to.map_or((None, None), |(name, tag)| (Some(name), tag));
        let to_tag = match (with, to_tag) {
            (Some(_), Some((node, _))) => {
                reader.error(
                    "both-keys",
                    node.mark,
                    "`to` names a tag, and `to_tag` another",
                    "remove one of the two".to_owned(),
                );
                None
            }
            (with, to_tag) => with.or(to_tag.map(|(_, tag)| tag)),
        };
        if !args.is_misspelled() && errors == reader.errors() && to.is_none() && to_tag.is_none() {
            let message = "`args` says nothing to redirect to: it needs `to` or `to_tag`";
            let help = format!("write `{TO}`, or `to_tag: v2`");
            reader.error("missing-key", args.mark, message, help);
        }
        (errors == reader.errors()).then_some(Self {
            repository,
            tag,
            to,
            to_tag,
        })
    }
}

/// A repository as clients name it here, and the tag behind it. A host is the first part of its
/// name, its port behind a `_`.
fn target(reader: &mut Reader<'_>, node: &Node) -> Option<(RepositoryName, Option<Tag>)> {
    let image: ImageReference = reader.parsed(node, "to", "bad-image", TO)?;
    if image.digest().is_some() {
        reader.error(
            "bad-image",
            node.mark,
            "`to` names a digest, and a request by tag is answered by a tag: what is there may \
             change and must be chosen for the login",
            format!("write `{TO}` or `{TO}:TAG`"),
        );
        return None;
    }
    let name = match image.host() {
        None => Ok(image.name().clone()),
        Some(host) => {
            let host = host.as_str().replace(':', "_");
            format!("{host}/{}", image.name()).parse()
        }
    };
    match name {
        Ok(name) => Some((name, image.tag().cloned())),
        Err(error) => {
            let help = format!("write it as in `{TO}`");
            reader.error("bad-image", node.mark, format!("`to`: {error}"), help);
            None
        }
    }
}
