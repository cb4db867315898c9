//! Parses YAML to a tree of nodes with their places and original spelling: the only caller of the
//! YAML library, with every limit set. It never decides what a document means and never turns
//! `2021.10` into a number.

use std::fmt;

use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::options::{AliasLimits, DuplicateKeyPolicy, NonFiniteFloatPolicy};
use serde_saphyr::{Location, Options, Spanned};

/// Most bytes that one file may hold.
pub(crate) const MAX_FILE_BYTES: usize = 4 * 1024 * 1024;
/// Most bytes that one scalar may hold. Bounds what replayed aliases can amount to.
const MAX_SCALAR_BYTES: usize = 16 * 1024;
/// Most documents in one file.
const MAX_DOCUMENTS: usize = 20_000;

/// A place in a text: one-based line and column, both in characters, and for labels the
/// number of bytes that stand there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) line: usize,
    pub(crate) column: usize,
    pub(crate) bytes: usize,
}

impl Mark {
    /// The first character of a text.
    pub(crate) const START: Self = Self {
        line: 1,
        column: 1,
        bytes: 0,
    };

    /// The place of the byte `offset` of a scalar that starts here, as far as it can be told:
    /// where the file writes the scalar differently, the scalar's own place.
    pub(crate) fn within(self, scalar: &str, offset: usize) -> Self {
        match scalar.get(..offset) {
            Some(before) if self.bytes == scalar.len() && !scalar.contains('\n') => Self {
                column: self.column + before.chars().count(),
                bytes: 1,
                ..self
            },
            _ => self,
        }
    }

    fn of(location: &Location) -> Self {
        Self {
            line: count(location.line()).max(1),
            column: count(location.column()).max(1),
            bytes: location.span().byte_len().map_or(0, count),
        }
    }
}

fn count(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// One node of a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Node {
    /// Where it is used: for an alias, where the alias stands.
    pub(crate) mark: Mark,
    pub(crate) value: Value,
}

/// What a node holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    /// Nothing at all, `~` or `null`.
    Null,
    /// A scalar as it was written: `2021.10`, `0x10` and `true` are texts like any other.
    Text(String),
    /// A sequence.
    List(Vec<Node>),
    /// A mapping in the order of the file, with keys that are given twice kept twice.
    Map(Vec<(Node, Node)>),
}

impl Value {
    /// What it is, for messages that say what was found.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Null => "nothing",
            Self::Text(_) => "text",
            Self::List(_) => "a list",
            Self::Map(_) => "a mapping",
        }
    }
}

/// Why a text is not YAML, or is more YAML than anyone should write.
#[derive(Debug)]
pub(crate) struct SyntaxError {
    pub(crate) mark: Mark,
    pub(crate) message: String,
}

/// The documents of a text, and what stopped the reading before its end, if anything did.
/// Documents before the one that holds the error are returned all the same.
pub(crate) fn parse(text: &str) -> (Vec<Node>, Option<SyntaxError>) {
    if text.len() > MAX_FILE_BYTES {
        let message = format!(
            "the file holds {} bytes: at most {MAX_FILE_BYTES} are read",
            text.len()
        );
        let mark = Mark::START;
        return (Vec::new(), Some(SyntaxError { mark, message }));
    }
    match parse_all(text) {
        Ok(nodes) => (nodes, None),
        Err(error) => {
            let whole = whole_documents_before(text, error.mark.line);
            (parse_all(whole).unwrap_or_default(), Some(error))
        }
    }
}

fn parse_all(text: &str) -> Result<Vec<Node>, SyntaxError> {
    let raw: Vec<Spanned<Raw>> = serde_saphyr::from_multiple_with_options(text, options())
        .map_err(|error| syntax_error(&error))?;
    Ok(raw.into_iter().map(|node| settle(text, node)).collect())
}

fn options() -> Options {
    serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_depth: 32,
            flow_nesting_limit: 32,
            max_documents: MAX_DOCUMENTS,
            max_aliases: 1_000,
            max_anchors: 1_000,
            max_merge_keys: 1_000,
            max_recorded_anchor_events: 20_000,
            max_recorded_anchor_bytes: MAX_FILE_BYTES,
            max_total_scalar_bytes: MAX_FILE_BYTES,
        },
        alias_limits: alias_limits(),
        emit_comments: false,
        // Kept, so that every one is reported and not only the first.
        duplicate_keys: DuplicateKeyPolicy::PassThrough,
        strict_booleans: true,
        non_finite_float_policy: NonFiniteFloatPolicy::PassThrough,
        reject_unsupported_tags: true,
        with_snippet: false,
    }
}

fn alias_limits() -> AliasLimits {
    serde_saphyr::alias_limits! {
        max_total_replayed_events: 10_000,
        max_replay_stack_depth: 8,
    }
}

fn syntax_error(error: &serde_saphyr::Error) -> SyntaxError {
    let mut message = error.to_string();
    let mark = error.location().as_ref().map_or(Mark::START, Mark::of);
    // The place is shown once, with the problem.
    if let Some(at) = message.rfind(&format!(" at line {}, column", mark.line)) {
        message.truncate(at);
    }
    SyntaxError { mark, message }
}

/// What to do about a syntax error, where its line shows what was meant.
pub(crate) fn help(text: &str, error: &SyntaxError) -> Option<String> {
    let line = text.lines().nth(error.mark.line.checked_sub(1)?)?;
    let indent = line.len() - line.trim_start().len();
    let tabbed = line.get(..indent).is_some_and(|blank| blank.contains('\t'));
    let says = |words: &str| error.message.contains(words);
    let help = if tabbed {
        "indent with blanks: YAML takes no tabs"
    } else if says("did not find expected '-'") {
        "indent this line two blanks more to make it part of the entry above, or start it with \
         a dash"
    } else if says("mapping values are not allowed") {
        "put the value in quotes if the colon is part of it, or check the indentation"
    } else if says("unexpected character") {
        "put the value in quotes"
    } else if says("unknown anchor") {
        "put the value in quotes if it begins with '*'"
    } else if says("unsupported tag") {
        "YAML's own tags mean nothing here: remove it, or put the value in quotes if it begins \
         with '!'"
    } else if says("flow mapping") || says("flow sequence") {
        "inside brackets and braces, put values in quotes that hold brackets, braces or commas; \
         and close every bracket"
    } else if says("budget") || says("limit") {
        "split the file, and write lists out in place of aliases"
    } else {
        return None;
    };
    Some(help.to_owned())
}

/// The part of `text` up to the last `---` before `line`, which is one-based.
fn whole_documents_before(text: &str, line: usize) -> &str {
    let mut offset = 0;
    let mut end = 0;
    for content in text.split_inclusive('\n').take(line.saturating_sub(1)) {
        if content.starts_with("---") {
            end = offset;
        }
        offset += content.len();
    }
    text.get(..end).unwrap_or_default()
}

/// What the library makes of a node, before scalars are set back to what was written.
enum Raw {
    /// Something that YAML reads as text: escapes and folding are done.
    Text(String),
    /// Something that YAML reads as a number or a boolean.
    Typed,
    Null,
    List(Vec<Spanned<Raw>>),
    Map(Vec<(Spanned<Raw>, Spanned<Raw>)>),
}

fn settle(text: &str, node: Spanned<Raw>) -> Node {
    let value = match node.value {
        Raw::Null => Value::Null,
        Raw::Text(mut found) => {
            // The line break that ends a block scalar is the writer's layout.
            if found.ends_with('\n') {
                found.pop();
            }
            Value::Text(found)
        }
        Raw::Typed => Value::Text(written(text, &node.defined).to_owned()),
        Raw::List(items) => Value::List(items.into_iter().map(|item| settle(text, item)).collect()),
        Raw::Map(pairs) => Value::Map(
            pairs
                .into_iter()
                .map(|(key, value)| (settle(text, key), settle(text, value)))
                .collect(),
        ),
    };
    Node {
        mark: Mark::of(&node.referenced),
        value,
    }
}

/// The text of a plain scalar as it stands in the file.
fn written<'t>(text: &'t str, location: &Location) -> &'t str {
    let span = location.span();
    let range = span.byte_offset().zip(span.byte_len());
    range
        .map(|(offset, length)| (count(offset), count(length)))
        .and_then(|(offset, length)| text.get(offset..offset.checked_add(length)?))
        .unwrap_or_default()
        .trim()
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RawVisitor)
    }
}

struct RawVisitor;

impl<'de> Visitor<'de> for RawVisitor {
    type Value = Raw;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("text, a list or a mapping")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Raw, E> {
        if text.len() > MAX_SCALAR_BYTES {
            return Err(E::custom(format!(
                "a text of {} bytes is too long: at most {MAX_SCALAR_BYTES} are read",
                text.len()
            )));
        }
        Ok(Raw::Text(text.to_owned()))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Raw, E> {
        Ok(Raw::Typed)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Raw, E> {
        Ok(Raw::Typed)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Raw, E> {
        Ok(Raw::Typed)
    }

    fn visit_i128<E>(self, _: i128) -> Result<Raw, E> {
        Ok(Raw::Typed)
    }

    fn visit_u128<E>(self, _: u128) -> Result<Raw, E> {
        Ok(Raw::Typed)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Raw, E> {
        Ok(Raw::Typed)
    }

    fn visit_unit<E>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_none<E>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Raw, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = access.next_element()? {
            items.push(item);
        }
        Ok(Raw::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Raw, A::Error> {
        let mut pairs = Vec::new();
        while let Some(pair) = access.next_entry()? {
            pairs.push(pair);
        }
        Ok(Raw::Map(pairs))
    }
}

#[cfg(test)]
mod tests;
