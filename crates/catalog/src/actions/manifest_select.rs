//! `manifest-select`: chooses the entry of an index that fits the provided features best.

use metahub_hardware::{Feature, Target};
use serde::Serialize;
use serde_json::{Value, json};

use crate::counting::that_count;
use crate::reader::{Fields, Reader};
use crate::{Event, collection, features};

/// The policy for a platform of which no entry fits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum NoneFits {
    /// The platform is left out; if all are, the pull fails and lists what exists.
    #[default]
    Fail,
    /// The entry that every machine of its architecture runs is chosen, if there is one.
    Generic,
}

/// Chooses, for each platform, the best of the entries that fit what the login provides. All
/// its arguments may be left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ManifestSelect {
    /// CPU targets whose images are chosen if none of the machine's own ancestry fits, best first;
    /// in addition to the profile's own `fallback`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub fallback: Vec<Target>,
    /// Entries that weigh less are not taken.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub minimum_weight: Option<i64>,
    /// The policy if nothing fits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub none_fits: Option<NoneFits>,
    /// Features that replace the provided ones of their keys in the choice. The client is warned if
    /// the chosen image does not fit what is provided.
    #[serde(rename = "override", skip_serializing_if = "Vec::is_empty")]
    pub overriding: Vec<Feature>,
}

impl ManifestSelect {
    /// Its name in documents.
    pub const NAME: &'static str = "manifest-select";
    /// When it happens.
    pub const EVENT: Event = Event::PostManifestListGet;
    /// The keys of its `args`, all optional.
    pub const ARGS: &'static [&'static str] =
        &["fallback", "minimum_weight", "none_fits", "override"];
    /// Those that must be given.
    pub const REQUIRED: &'static [&'static str] = &[];

    pub(super) fn schema() -> Value {
        json!({
            "fallback": {
                "description": "CPU targets whose images run as well, best first",
                "type": "array",
                "items": { "type": "string" },
            },
            "minimum_weight": {
                "description": "Images that weigh less are not taken",
                "type": "integer",
            },
            "none_fits": {
                "description": "What to do when nothing fits: fail, or take the image that runs on \
                                every machine of its architecture",
                "enum": ["fail", "generic"],
                "default": "fail",
            },
            "override": {
                "description": "Features to choose by in place of what is provided, with a warning",
                "$ref": "#/$defs/features",
            },
        })
    }

    pub(super) fn read(reader: &mut Reader<'_>, args: &Fields<'_>) -> Option<Self> {
        let errors = reader.errors();
        let fallback = args.get("fallback").map(|n| features::fallback(reader, n));
        let minimum_weight = args
            .get("minimum_weight")
            .and_then(|n| collection::whole_number(reader, n, "minimum_weight"));
        let none_fits = args.get("none_fits").and_then(|node| {
            let text = reader.text(node, "none_fits", "none_fits: generic")?;
            match text {
                "fail" => Some(NoneFits::Fail),
                "generic" => Some(NoneFits::Generic),
                other => {
                    let message = format!("`none_fits` is fail or generic, not '{other}'");
                    let help = "write `none_fits: generic`".to_owned();
                    reader.error("wrong-type", node.mark, message, help);
                    None
                }
            }
        });
        let overriding = args
            .get("override")
            .and_then(|n| features::read_provided(reader, n, "override"));
        (errors == reader.errors()).then(|| Self {
            fallback: fallback.unwrap_or_default(),
            minimum_weight,
            none_fits,
            overriding: overriding.unwrap_or_default(),
        })
    }
}

/// The options of all `manifest-select` actions of a login together: where several state one,
/// the last counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// Entries that weigh less are not taken.
    pub minimum_weight: Option<i64>,
    /// What is done when nothing fits.
    pub none_fits: NoneFits,
    /// Features that replace the provided ones of their keys in the choice.
    pub overriding: Vec<Feature>,
}

impl Selection {
    pub(crate) fn add(&mut self, action: &ManifestSelect) {
        self.minimum_weight = action.minimum_weight.or(self.minimum_weight);
        self.none_fits = action.none_fits.unwrap_or(self.none_fits);
        if !action.overriding.is_empty() {
            self.overriding = that_count(&action.overriding);
        }
    }
}
