//! `tests:` of a document: what a curator gives (a login, an image) and expects (the image that is
//! chosen, and how it is changed). Parsing a case checks its form; the crate `operations` runs it.
//! A server parses cases and does nothing with them.

mod expect;
mod given;
mod parts;

pub use expect::{Expect, Expected};
pub use given::{Given, GivenImage, GivenSource};

#[cfg(test)]
pub(crate) use expect::EXPECT_KEYS;
#[cfg(test)]
pub(crate) use given::{GIVEN_KEYS, IMAGE_KEYS};

use metahub_oci::{ImageReference, Platform};
use serde_json::{Value, json};

use crate::Location;
use crate::profile::Profile;
use crate::reader::{Fields, Reader};
use crate::yaml::Node;

/// Most cases of one document.
const MOST_CASES: usize = 1000;

pub(crate) const CASE_KEYS: &[&str] = &["name", "login", "pull", "platform", "given", "expect"];

/// One case of `tests:`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TestCase {
    /// What it shows, for people.
    pub name: Option<String>,
    /// Who pulls; where none is written, the one profile of the document.
    pub login: String,
    /// What is pulled.
    pub pull: ImageReference,
    /// The platform of the client, where it matters.
    pub platform: Option<Platform>,
    /// What there is to pull.
    pub given: Given,
    /// What must come.
    pub expect: Expect,
    /// Where it was read.
    pub location: Location,
}

impl TestCase {
    /// Reads `tests:`; `profiles` are those of the same document.
    pub(crate) fn read_all<'p>(
        reader: &mut Reader<'_>,
        node: &Node,
        mut profiles: impl Iterator<Item = &'p Profile>,
    ) -> Vec<Self> {
        const EXAMPLE: &str = "tests: [{pull: \"lab/app:v1\", expect: {env: {SIMD: AVX2}}}]";
        let only = match (profiles.next(), profiles.next()) {
            (Some(only), None) => Some(only.name.selector()),
            _ => None,
        };
        let items = reader.list(node, "tests", EXAMPLE).unwrap_or_default();
        if items.len() > MOST_CASES {
            let message = format!("a document has at most {MOST_CASES} tests");
            let help = "put the others into another document, below `---`".to_owned();
            reader.error("too-many", node.mark, message, help);
        }
        let items = items.iter().take(MOST_CASES);
        items
            .filter_map(|item| Self::read(reader, item, only.as_deref()))
            .collect()
    }

    fn read(reader: &mut Reader<'_>, node: &Node, only: Option<&str>) -> Option<Self> {
        let errors = reader.errors();
        let fields = reader.fields(node, "a test", CASE_KEYS)?;
        let name = fields
            .get("name")
            .and_then(|node| reader.text(node, "name", "name: zen3 gets its own build"));
        let login = Self::read_login(reader, &fields, only);
        let pull = fields
            .required(reader, "pull", "lab/app:v1")
            .and_then(|node| reader.parsed(node, "pull", "bad-image", "pull: lab/app:v1"));
        let platform = fields.get("platform").and_then(|node| {
            reader.parsed(node, "platform", "bad-platform", "platform: linux/arm64")
        });
        let given = fields
            .get("given")
            .map(|node| Given::read(reader, node))
            .unwrap_or_default();
        let expect = fields
            .required(reader, "expect", "{env: {SIMD: AVX2}}")
            .and_then(|node| Expect::read(reader, node));
        let case = Self {
            name: name.map(str::to_owned),
            login: login?,
            pull: pull?,
            platform,
            given,
            expect: expect?,
            location: reader.location(fields.mark),
        };
        (errors == reader.errors()).then_some(case)
    }

    fn read_login(
        reader: &mut Reader<'_>,
        fields: &Fields<'_>,
        only: Option<&str>,
    ) -> Option<String> {
        if let Some(node) = fields.get("login") {
            let text = reader.text(node, "login", "login: zen3+cuda=12.4")?;
            return Some(text.to_owned());
        }
        if only.is_none() {
            reader.error(
                "missing-key",
                fields.mark,
                "a test needs the key `login`, since its document does not have exactly one profile",
                "write `login: zen3`".to_owned(),
            );
        }
        only.map(str::to_owned)
    }

    pub(crate) fn schema() -> Value {
        json!({
            "description": "One case for `metahub profile test`",
            "type": "object",
            "additionalProperties": false,
            "required": ["pull", "expect"],
            "properties": {
                "name": { "type": "string", "description": "What it shows" },
                "login": {
                    "description": "Who pulls; by default the one profile of the document",
                    "type": "string",
                },
                "pull": { "type": "string", "description": "NAME[:TAG]" },
                "platform": {
                    "description": "The platform of the client, OS/ARCHITECTURE",
                    "type": "string",
                },
                "given": Given::schema(),
                "expect": Expect::schema(),
            },
        })
    }
}
