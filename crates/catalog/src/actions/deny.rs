//! `deny`: refuses a tag to a login, with a message that says why.

use serde::Serialize;
use serde_json::{Value, json};

use super::values;
use crate::reader::{Fields, Reader};
use crate::{Event, RepositoryPattern, TextPattern};

/// Most bytes of a message.
const MOST_MESSAGE_BYTES: usize = 1024;

/// Refuses requests by tag. Guidance, not access control: a request by digest runs no action.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Deny {
    /// The message for the client.
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
    /// The keys of its `args`.
    pub const ARGS: &'static [&'static str] = &["message", "repository", "tag"];
    /// Those that must be there.
    pub const REQUIRED: &'static [&'static str] = &["message"];

    pub(super) fn schema() -> Value {
        json!({
            "message": {
                "description": "What the client is told",
                "type": "string",
                "minLength": 1,
                "maxLength": MOST_MESSAGE_BYTES,
            },
            "repository": values::pattern_schema("the repositories that are refused; all where \
                                                  nothing is said"),
            "tag": values::pattern_schema("the tags that are refused; all where nothing is said"),
        })
    }

    pub(super) fn read(reader: &mut Reader<'_>, args: &Fields<'_>) -> Option<Self> {
        const MESSAGE: &str = "message: not on this cluster";
        let errors = reader.errors();
        let message = args
            .required(reader, "message", "not on this cluster")
            .and_then(|node| values::checked(reader, node, "message", MESSAGE, message));
        let repository = args.get("repository").and_then(|node| {
            reader.parsed(node, "repository", "bad-pattern", "repository: closed/.*")
        });
        let tag = args
            .get("tag")
            .and_then(|node| reader.parsed(node, "tag", "bad-pattern", "tag: .*-debug"));
        (errors == reader.errors()).then_some(Self {
            message: message?,
            repository,
            tag,
        })
    }
}

/// A message goes to terminals: it has no control characters but line breaks.
fn message(text: &str) -> Result<String, String> {
    let text = text.trim();
    if text.is_empty() {
        return Err("the message is empty".to_owned());
    }
    if text.len() > MOST_MESSAGE_BYTES {
        return Err(format!(
            "a message of {} bytes is too long: at most {MOST_MESSAGE_BYTES}",
            text.len()
        ));
    }
    if text.chars().any(|c| c.is_control() && c != '\n') {
        return Err("the message has control characters".to_owned());
    }
    Ok(text.to_owned())
}
