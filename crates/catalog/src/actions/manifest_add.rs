//! `manifest-add`: adds the layers of another image on top of an image.

use metahub_oci::{ImageReference, RepositoryName};
use serde::Serialize;
use serde_json::{Value, json};

use crate::reader::{Fields, Reader};
use crate::{Event, RepositoryPattern};

/// Most layer images of one action.
const MOST_LAYER_IMAGES: usize = 64;

/// Where layers are added.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Position {
    /// Below the image's own layers, so that the image's files win.
    Before,
    /// On top of them, so that the added files win.
    #[default]
    After,
}

/// Adds the layers of other images to the images of the repositories that match.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ManifestAdd {
    /// The images whose layers are added, for example `qnib/layer-awscli`, lowest first.
    pub layers: Vec<ImageReference>,
    /// Where they are added.
    pub position: Position,
    /// Which repositories' images get them; all where nothing is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repository: Option<RepositoryPattern>,
}

impl ManifestAdd {
    /// Its name in documents.
    pub const NAME: &'static str = "manifest-add";
    /// When it happens.
    pub const EVENT: Event = Event::PostManifestGet;
    /// The keys of its `args`.
    pub const ARGS: &'static [&'static str] =
        &["layerRepository", "layers", "position", "repository"];
    /// Those that must be given.
    pub const REQUIRED: &'static [&'static str] = &[];

    /// Whether images of `repository` get the layers.
    #[must_use]
    pub fn is_for(&self, repository: &RepositoryName) -> bool {
        let pattern = self.repository.as_ref();
        pattern.is_none_or(|pattern| pattern.matches(repository))
    }

    pub(super) fn schema() -> Value {
        json!({
            "layerRepository": {
                "description": "The image whose layers are added: `layers` with one item",
                "type": "string",
            },
            "layers": {
                "description": "The images whose layers are added, lowest first",
                "type": "array",
                "minItems": 1,
                "maxItems": MOST_LAYER_IMAGES,
                "items": { "type": "string" },
            },
            "position": {
                "description": "Below the image's own layers, or on top of them",
                "enum": ["before", "after"],
                "default": "after",
            },
            "repository": {
                "description": "An anchored regular expression: the repositories that get them; \
                                all where nothing is said",
                "type": "string",
            },
        })
    }

    pub(super) fn read(reader: &mut Reader<'_>, args: &Fields<'_>) -> Option<Self> {
        const LAYER: &str = "qnib/layer-awscli";
        const LAYERS: &str = "layers: [qnib/layer-awscli]";
        const REPOSITORY: &str = "qnib/featuretest";
        let errors = reader.errors();
        let mut layers: Vec<ImageReference> = Vec::new();
        match (args.get("layerRepository"), args.get("layers")) {
            (Some(_), Some(both)) => reader.error(
                "both-keys",
                both.mark,
                "`layers` and `layerRepository` say the same",
                format!("write `{LAYERS}` alone"),
            ),
            (None, None) => reader.error(
                "missing-key",
                args.mark,
                "`args` says no `layers` to add",
                format!("write `{LAYERS}`"),
            ),
            (Some(one), None) => {
                layers.extend(reader.parsed(one, "layerRepository", "bad-image", LAYER));
            }
            (None, Some(list)) => {
                let items = reader.list(list, "layers", LAYERS).unwrap_or_default();
                if items.is_empty() || items.len() > MOST_LAYER_IMAGES {
                    let message = format!("`layers` lists 1 to {MOST_LAYER_IMAGES} images");
                    reader.error("too-many", list.mark, message, format!("write `{LAYERS}`"));
                }
                let items = items.iter().take(MOST_LAYER_IMAGES);
                layers.extend(
                    items.filter_map(|item| reader.parsed(item, "layers", "bad-image", LAYER)),
                );
            }
        }
        let position = args.get("position").and_then(|node| {
            match reader.text(node, "position", "position: after")? {
                "before" => Some(Position::Before),
                "after" => Some(Position::After),
                other => {
                    let message = format!("`position` is before or after, not '{other}'");
                    let help = "write `position: after`".to_owned();
                    reader.error("wrong-type", node.mark, message, help);
                    None
                }
            }
        });
        let repository = args
            .get("repository")
            .and_then(|node| reader.parsed(node, "repository", "bad-pattern", REPOSITORY));
        (errors == reader.errors()).then_some(Self {
            layers,
            position: position.unwrap_or_default(),
            repository,
        })
    }
}
