//! `given:` of a test: the images that can be pulled. They are made from the document's words, with
//! empty layers; nothing is fetched.

use metahub_hardware::Feature;
use metahub_oci::{ImageReference, Platform};
use serde_json::{Value, json};

use super::parts::{named_texts, pairs, texts};
use crate::features;
use crate::reader::Reader;
use crate::yaml::Node;

/// Most layers of a given image: those of real images are fewer.
const MOST_LAYERS: usize = 256;

pub(crate) const GIVEN_KEYS: &[&str] = &["image", "manifests", "images", "tags"];
pub(crate) const IMAGE_KEYS: &[&str] = &[
    "image",
    "platform",
    "features",
    "env",
    "entrypoint",
    "cmd",
    "working_dir",
    "user",
    "labels",
    "annotations",
    "layers",
    "docker",
];

/// The images that exist in a test.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Given {
    /// The source of the pulled tag.
    pub source: GivenSource,
    /// Images by their names: layer images, and entries of a collection. A needed image that is not
    /// given is a plain one.
    pub images: Vec<(ImageReference, GivenImage)>,
    /// Further tags of the repository.
    pub tags: Vec<String>,
}

/// What the pulled tag names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum GivenSource {
    /// The collection of that name, where the documents have one, else a plain image.
    #[default]
    Usual,
    /// A single image.
    Image(Box<GivenImage>),
    /// An index of images.
    Manifests(Vec<GivenImage>),
}

/// A given image.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GivenImage {
    /// Its name in expectations.
    pub name: Option<String>,
    /// Its platform; `linux/amd64`, or that of its CPU target, where none is written.
    pub platform: Option<Platform>,
    /// What it requires of a machine.
    pub features: Vec<Feature>,
    /// Its environment.
    pub env: Vec<(String, String)>,
    /// Its entrypoint.
    pub entrypoint: Option<Vec<String>>,
    /// Its command.
    pub cmd: Option<Vec<String>>,
    /// Its working directory.
    pub working_dir: Option<String>,
    /// Its user.
    pub user: Option<String>,
    /// Labels of its configuration.
    pub labels: Vec<(String, String)>,
    /// Annotations of its manifest.
    pub annotations: Vec<(String, String)>,
    /// How many layers it has.
    pub layers: usize,
    /// Whether its media types are Docker's.
    pub docker: bool,
}

impl Given {
    pub(super) fn read(reader: &mut Reader<'_>, node: &Node) -> Self {
        let mut given = Self::default();
        let Some(fields) = reader.fields(node, "`given`", GIVEN_KEYS) else {
            return given;
        };
        let (image, manifests) = (fields.get("image"), fields.get("manifests"));
        if let (Some(_), Some(_), Some(mark)) = (image, manifests, fields.key("manifests")) {
            let message = "`given` has either `image` or `manifests`, not both";
            reader.error(
                "conflict",
                mark,
                message,
                "remove one of the two".to_owned(),
            );
        }
        if let Some(image) = image.and_then(|node| GivenImage::read(reader, node)) {
            given.source = GivenSource::Image(Box::new(image));
        } else if let Some(node) = manifests {
            const EXAMPLE: &str = "manifests: [{image: zen3, features: [arch:zen3]}]";
            let items = reader.list(node, "manifests", EXAMPLE).unwrap_or_default();
            let items = items
                .iter()
                .filter_map(|item| GivenImage::read(reader, item));
            given.source = GivenSource::Manifests(items.collect());
        }
        if let Some(node) = fields.get("images") {
            given.images = read_images(reader, node);
        }
        if let Some(node) = fields.get("tags") {
            given.tags = texts(reader, node, "tags", "tags: [v1, v1-debug]").unwrap_or_default();
        }
        given
    }

    pub(super) fn schema() -> Value {
        let image = || json!({ "$ref": "#/$defs/given_image" });
        json!({
            "description": "What there is to pull; by default the collection of that name, else a \
                            plain image",
            "type": "object",
            "additionalProperties": false,
            "properties": {
                "image": image(),
                "manifests": {
                    "description": "The images of an index",
                    "type": "array",
                    "items": image(),
                },
                "images": {
                    "description": "Other images by name, such as those whose layers are added",
                    "type": "object",
                    "additionalProperties": image(),
                },
                "tags": {
                    "description": "Further tags of the repository",
                    "type": "array",
                    "items": { "type": ["string", "number", "boolean"] },
                },
            },
        })
    }
}

fn read_images(reader: &mut Reader<'_>, node: &Node) -> Vec<(ImageReference, GivenImage)> {
    const EXAMPLE: &str = "images: {site/tools: {layers: 2}}";
    let pairs = pairs(reader, node, "images", EXAMPLE).unwrap_or_default();
    pairs
        .into_iter()
        .filter_map(|(name, node)| {
            let reference = match name.parse() {
                Ok(reference) => Some(reference),
                Err(error) => {
                    let help = format!("write it as in `{EXAMPLE}`");
                    reader.error("bad-image", node.mark, format!("`images`: {error}"), help);
                    None
                }
            };
            let image = GivenImage::read(reader, node);
            Some((reference?, image?))
        })
        .collect()
}

impl GivenImage {
    fn read(reader: &mut Reader<'_>, node: &Node) -> Option<Self> {
        let fields = reader.fields(node, "a given image", IMAGE_KEYS)?;
        let mut image = Self {
            layers: 1,
            ..Self::default()
        };
        let mut text = |key: &str| {
            let node = fields.get(key)?;
            let found = reader.text(node, key, &format!("{key}: lab"))?;
            Some(found.to_owned())
        };
        image.name = text("image");
        image.working_dir = text("working_dir");
        image.user = text("user");
        let mut list = |key: &str| {
            let node = fields.get(key)?;
            texts(reader, node, key, &format!("{key}: [/bin/app, --fast]"))
        };
        image.entrypoint = list("entrypoint");
        image.cmd = list("cmd");
        let mut map = |key: &str| {
            let node = fields.get(key)?;
            Some(named_texts(
                reader,
                node,
                key,
                &format!("{key}: {{NAME: value}}"),
            ))
        };
        image.env = map("env").unwrap_or_default();
        image.labels = map("labels").unwrap_or_default();
        image.annotations = map("annotations").unwrap_or_default();
        image.platform = fields.get("platform").and_then(|node| {
            reader.parsed(node, "platform", "bad-platform", "platform: linux/arm64")
        });
        if let Some(node) = fields.get("features") {
            image.features = features::read(reader, node)?;
        }
        if let Some(node) = fields.get("layers") {
            image.layers = layers(reader, node)?;
        }
        if let Some(node) = fields.get("docker") {
            image.docker = reader.parsed(node, "docker", "wrong-type", "docker: true")?;
        }
        Some(image)
    }

    pub(crate) fn schema() -> Value {
        let texts = || json!({ "type": "array", "items": { "type": "string" } });
        let named = || {
            let scalar = json!({ "type": ["string", "number", "boolean"] });
            json!({ "type": "object", "additionalProperties": scalar })
        };
        json!({
            "description": "An image made for a test",
            "type": "object",
            "additionalProperties": false,
            "properties": {
                "image": { "type": "string", "description": "What expectations call it" },
                "platform": { "type": "string", "description": "OS/ARCHITECTURE[/VARIANT]" },
                "features": { "$ref": "#/$defs/features" },
                "env": named(),
                "entrypoint": texts(),
                "cmd": texts(),
                "working_dir": { "type": "string" },
                "user": { "type": ["string", "number"] },
                "labels": named(),
                "annotations": named(),
                "layers": {
                    "description": "How many layers it has",
                    "type": "integer",
                    "minimum": 0,
                    "maximum": MOST_LAYERS,
                    "default": 1,
                },
                "docker": {
                    "description": "Whether its media types are Docker's",
                    "type": "boolean",
                    "default": false,
                },
            },
        })
    }
}

fn layers(reader: &mut Reader<'_>, node: &Node) -> Option<usize> {
    let text = reader.text(node, "layers", "layers: 2")?;
    let found = text.parse().ok().filter(|number| *number <= MOST_LAYERS);
    if found.is_none() {
        let message = format!("`layers` is a number from 0 to {MOST_LAYERS}, not '{text}'");
        reader.error(
            "bad-number",
            node.mark,
            message,
            "write `layers: 2`".to_owned(),
        );
    }
    found
}
