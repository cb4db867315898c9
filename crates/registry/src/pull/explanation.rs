//! Why a login gets what it gets: recorded with derived content, printed by `--explain`.

use metahub_oci::{Digest, Index, MediaType, Platform};
use metahub_resolve::{Step, Verdicts};
use serde::{Deserialize, Serialize};

use crate::pull::derivation_document::DerivationDocument;

/// What a child, an addition or a step takes, in bytes, roughly.
const OTHER: usize = 512;

/// Where a tag's content came from before any event ran.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SourceKind {
    /// A collection of the catalog.
    Collection,
    /// A repository pushed here.
    Local,
    /// An upstream registry.
    Upstream,
}

/// One manifest that the served content leads to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Child {
    /// Its platform, as far as it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
    /// The digest that is served.
    pub digest: Digest,
    /// The digest of the manifest it was derived from, if it was derived.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub derived_from: Option<Digest>,
    /// What the chosen entry requires, `key:value`.
    #[serde(default)]
    pub requires: Vec<String>,
}

/// Layers that were put on top of one child.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddedLayers {
    /// The layer image as the profile names it.
    pub image: String,
    /// The layer image's manifest for the child's platform.
    pub manifest: Digest,
    /// How many layers it brought.
    pub layers: usize,
    /// The child's platform.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
}

/// How a tag's content came about, entry by entry.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Explanation {
    /// Where the content came from.
    pub source: SourceKind,
    /// The source's own digest.
    pub source_digest: Digest,
    /// The verdict on every entry of the source. Empty when the source is served unchanged.
    pub entries: Verdicts,
    /// The children of the served content, in its order.
    pub children: Vec<Child>,
    /// Layers added on top.
    #[serde(default)]
    pub added: Vec<AddedLayers>,
    /// The results of the profile's actions, in order; for an index, those on all of its images.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub actions: Vec<Step>,
    /// Warnings for the client about the choice.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

impl Explanation {
    /// Bytes of memory that it takes, roughly.
    pub(crate) fn size(&self) -> usize {
        let others = self.children.len() + self.added.len() + self.actions.len();
        let warnings: usize = self.warnings.iter().map(String::len).sum();
        self.entries.size() + others * OTHER + warnings
    }
}

/// What a login gets for an image.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Resolution {
    /// The image as it was asked for.
    pub image: String,
    /// The login's selectors, empty for none.
    pub profile: String,
    /// Over the login's profile in its canonical form.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile_digest: Option<Digest>,
    /// The features that the login provides, `key:value`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub provides: Vec<String>,
    /// How the content under `digest` was derived, if it was derived here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub derivation: Option<DerivationDocument>,
    /// The same for `manifest`, where that is another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manifest_derivation: Option<DerivationDocument>,
    /// The property of the request by which the profile was chosen besides the login, such as
    /// `network 10.2.0.0/16`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile_by: Option<String>,
    /// The digest that a request by tag is answered with.
    pub digest: Digest,
    /// The media type of that content.
    pub media_type: MediaType,
    /// The platform that was resolved for.
    pub platform: Platform,
    /// The manifest that a client of that platform pulls.
    pub manifest: Digest,
    /// What that manifest's entry requires, such as `arch:zen3`.
    pub requires: Vec<String>,
    /// Why this one, in one sentence.
    pub why: String,
    /// The full explanation.
    pub explanation: Explanation,
    /// Something the user should know, such as an upstream that could not be asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warning: Option<String>,
    /// Remarks on parts of the login without effect: a feature that another one replaced, an
    /// unknown value, a key that was probably misspelled.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub remarks: Vec<String>,
}

/// The unchanged children of an index.
pub(crate) fn children_of(index: &Index) -> Vec<Child> {
    index
        .manifests()
        .iter()
        .filter(|entry| !entry.is_attestation())
        .map(|entry| Child {
            platform: entry.platform(),
            digest: entry.digest().clone(),
            derived_from: None,
            requires: entry.platform().map(|p| p.features).unwrap_or_default(),
        })
        .collect()
}
