//! `expect:` of a test: the expected result. Each expectation knows its place in the document, so
//! that a failure can name it.

use metahub_oci::ImageReference;
use serde_json::{Value, json};

use super::parts::{pairs, texts};
use crate::Location;
use crate::reader::Reader;
use crate::yaml::{self, Mark, Node};

pub(crate) const EXPECT_KEYS: &[&str] = &[
    "fails",
    "denied",
    "redirect",
    "tags",
    "image",
    "features",
    "platform",
    "layers",
    "env",
    "entrypoint",
    "cmd",
    "working_dir",
    "user",
    "labels",
    "annotations",
];

/// The expectations of a test.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expect {
    /// The expectations, in the order of [`Expected`].
    pub all: Vec<(Expected, Location)>,
}

/// One expectation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expected {
    /// The pull is refused, with a message that contains this.
    Fails(String),
    /// A `deny` of the profile refuses the pull, with a message that contains this.
    Denied(String),
    /// The image that answers the pull: the target of a `redirect` of the profile, else the pulled
    /// one.
    Redirect(ImageReference),
    /// The tags that the repository's list shows, in any order.
    Tags(Vec<String>),
    /// The chosen image, by its name in the test or the collection.
    Image(String),
    /// The requirements of the chosen image, in any order.
    Features(Vec<String>),
    /// The platform that was served, `OS/ARCHITECTURE`.
    Platform(String),
    /// The images whose layers were added, in order.
    Layers(Vec<ImageReference>),
    /// A variable of the environment; none if it must not be set.
    Env(String, Option<String>),
    /// The entrypoint; empty for none.
    Entrypoint(Vec<String>),
    /// The command; empty for none.
    Cmd(Vec<String>),
    /// The working directory; empty for none.
    WorkingDir(String),
    /// The user; empty for none.
    User(String),
    /// A label of the configuration; none if it must not be there.
    Label(String, Option<String>),
    /// An annotation of the manifest; none if it must not be there.
    Annotation(String, Option<String>),
}

impl Expected {
    /// Whether a pull that is refused can be no other than expected: it says that, or is about
    /// something else than the pull.
    #[must_use]
    pub fn is_met_without_an_image(&self) -> bool {
        matches!(self, Self::Fails(_) | Self::Denied(_) | Self::Tags(_))
    }
}

impl Expect {
    pub(super) fn read(reader: &mut Reader<'_>, node: &Node) -> Option<Self> {
        let fields = reader.fields(node, "`expect`", EXPECT_KEYS)?;
        let mut expect = Self::default();
        for key in EXPECT_KEYS {
            // `entrypoint: ~` says that there is none, so that it is no key without a value.
            if let (Some(mark), None) = (fields.key(key), fields.get(key)) {
                let message = format!("`{key}` has no value");
                let help = format!("write what is expected, as in `{}`", example(key));
                reader.error("no-value", mark, message, help);
            }
            if let Some(node) = fields.get(key) {
                expect.read_one(reader, key, node);
            }
        }
        if EXPECT_KEYS.iter().all(|key| fields.key(key).is_none()) {
            let message = "`expect` says nothing that is expected";
            let help = "write what is expected, as in `expect: {env: {SIMD: AVX2}}`".to_owned();
            reader.error("missing-key", fields.mark, message, help);
        }
        expect.check_refusal(reader, fields.key("fails"), fields.key("denied"));
        Some(expect)
    }

    /// Refuses expectations of an image beside those of a refusal.
    fn check_refusal(&self, reader: &mut Reader<'_>, fails: Option<Mark>, denied: Option<Mark>) {
        let (key, mark) = match (fails, denied) {
            (Some(mark), _) => ("fails", mark),
            (None, Some(mark)) => ("denied", mark),
            (None, None) => return,
        };
        let of_an_image =
            |(expected, _): &(Expected, Location)| !expected.is_met_without_an_image();
        if self.all.iter().any(of_an_image) {
            let message = match key {
                "fails" => "a pull that `fails` gives nothing of which more could be expected",
                _ => "a pull that is `denied` gives nothing of which more could be expected",
            };
            let help = format!("remove `{key}`, or everything beside it but `tags`");
            reader.error("conflict", mark, message, help);
        } else if fails.is_some() && denied.is_some() {
            let message = "`fails` and `denied` both say how the pull is refused";
            let help = "remove `fails`: what is denied fails".to_owned();
            reader.error("conflict", mark, message, help);
        }
    }

    fn read_one(&mut self, reader: &mut Reader<'_>, key: &'static str, node: &Node) {
        let location = reader.location(node.mark);
        match key {
            "env" | "labels" | "annotations" => self.read_named(reader, key, node),
            "features" | "layers" | "entrypoint" | "cmd" | "tags" => {
                let Some(list) = texts(reader, node, key, example(key)) else {
                    return;
                };
                let expected = match key {
                    "features" => Expected::Features(list),
                    "tags" => Expected::Tags(list),
                    "entrypoint" => Expected::Entrypoint(list),
                    "cmd" => Expected::Cmd(list),
                    _ => match references(reader, node, &list) {
                        Some(images) => Expected::Layers(images),
                        None => return,
                    },
                };
                self.all.push((expected, location));
            }
            "redirect" => {
                let image = reader.parsed(node, key, "bad-image", example(key));
                let redirect = image.map(Expected::Redirect);
                self.all
                    .extend(redirect.map(|expected| (expected, location)));
            }
            _ => {
                let Some(text) = reader.text(node, key, example(key)) else {
                    return;
                };
                let text = text.to_owned();
                let expected = match key {
                    "fails" => Expected::Fails(text),
                    "denied" => Expected::Denied(text),
                    "image" => Expected::Image(text),
                    "platform" => Expected::Platform(text),
                    "working_dir" => Expected::WorkingDir(text),
                    _ => Expected::User(text),
                };
                self.all.push((expected, location));
            }
        }
    }

    fn read_named(&mut self, reader: &mut Reader<'_>, key: &'static str, node: &Node) {
        let pairs = pairs(reader, node, key, example(key)).unwrap_or_default();
        for (name, node) in pairs {
            let name = name.to_owned();
            let value = match &node.value {
                yaml::Value::Null => None,
                _ => match reader.text(node, key, example(key)) {
                    Some(text) => Some(text.to_owned()),
                    None => continue,
                },
            };
            let expected = match key {
                "env" => Expected::Env(name, value),
                "labels" => Expected::Label(name, value),
                _ => Expected::Annotation(name, value),
            };
            self.all.push((expected, reader.location(node.mark)));
        }
    }

    pub(super) fn schema() -> Value {
        let texts = || json!({ "type": "array", "items": { "type": "string" } });
        let named = |what: &str| {
            let scalar = json!({ "type": ["string", "number", "boolean", "null"] });
            json!({ "description": what, "type": "object", "additionalProperties": scalar })
        };
        json!({
            "description": "What must come",
            "type": "object",
            "additionalProperties": false,
            "minProperties": 1,
            "properties": {
                "fails": {
                    "description": "The pull is refused, with a message that contains this",
                    "type": "string",
                },
                "denied": {
                    "description": "A `deny` of the profile refuses the pull, with a message that \
                                    contains this",
                    "type": "string",
                },
                "redirect": {
                    "description": "What the pull is answered with, NAME:TAG: what a `redirect` of \
                                    the profile leads to, else what is pulled",
                    "type": "string",
                },
                "tags": {
                    "description": "The tags that the repository's list shows, in any order",
                    "type": "array",
                    "items": { "type": "string" },
                },
                "image": { "type": "string", "description": "The image that is chosen" },
                "features": {
                    "description": "What the chosen image requires, in any order",
                    "type": "array",
                    "items": { "type": "string" },
                },
                "platform": { "type": "string", "description": "OS/ARCHITECTURE" },
                "layers": {
                    "description": "The images whose layers were added, in order",
                    "type": "array",
                    "items": { "type": "string" },
                },
                "env": named("Variables; without a value those that must not be set"),
                "entrypoint": texts(),
                "cmd": texts(),
                "working_dir": { "type": "string" },
                "user": { "type": ["string", "number"] },
                "labels": named("Labels of the configuration"),
                "annotations": named("Annotations of the manifest"),
            },
        })
    }
}

fn references(
    reader: &mut Reader<'_>,
    node: &Node,
    texts: &[String],
) -> Option<Vec<ImageReference>> {
    let mut images = Vec::with_capacity(texts.len());
    for text in texts {
        match text.parse() {
            Ok(image) => images.push(image),
            Err(error) => {
                let help = format!("write it as in `{}`", example("layers"));
                reader.error("bad-image", node.mark, format!("`layers`: {error}"), help);
                return None;
            }
        }
    }
    Some(images)
}

/// How an expectation is written.
fn example(key: &str) -> &'static str {
    match key {
        "fails" => "fails: no image fits",
        "denied" => "denied: use lab/new instead",
        "redirect" => "redirect: \"lab/new:v2\"",
        "tags" => "tags: [v1, v2]",
        "image" => "image: lab/app:zen3",
        "features" => "features: [arch:zen3]",
        "platform" => "platform: linux/amd64",
        "layers" => "layers: [site/tools]",
        "env" => "env: {SIMD: AVX2, DEBUG: null}",
        "entrypoint" => "entrypoint: [/usr/bin/launch, --]",
        "cmd" => "cmd: [/bin/app]",
        "working_dir" => "working_dir: /work",
        "user" => "user: \"1000\"",
        "labels" => "labels: {site: here}",
        _ => "annotations: {org.example.site: here}",
    }
}
