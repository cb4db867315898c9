//! The provenance document of a derived manifest or index: the source image, and the actions on it.
//! A function of what the outcome's key is made of, so that every replica writes the same bytes: it
//! contains nothing of a login, and no time.

use metahub_oci::{Digest, Platform};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The artifact type of such a referrer, and the media type of its one layer.
pub const DERIVATION: &str = "application/vnd.metahub.derivation.v1+json";

/// How a manifest or index was derived.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DerivationDocument {
    /// The manifest or index that it was derived from. The referrers API lists its own signatures
    /// and bills of materials in its repository.
    pub source: DerivationSource,
    /// The layer images that were added, in order.
    pub layers: Vec<AddedImage>,
    /// The profile.
    pub profile: AppliedProfile,
    /// The actions, in order.
    pub actions: Vec<AppliedAction>,
    /// Of an index: its manifests that were changed. The others are as in the source.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changed: Vec<ChangedManifest>,
    /// The version of MetaHub.
    pub metahub: String,
}

/// An image that something was derived from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DerivationSource {
    /// The image by its digest, as this registry names it.
    pub reference: String,
    /// Its repository in this registry.
    pub repository: String,
    /// Its digest.
    pub digest: Digest,
}

/// A layer image that was added.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddedImage {
    /// The image as the profile names it.
    pub image: String,
    /// Its manifest by its digest, as this registry names it.
    pub reference: String,
    /// The digest of that manifest.
    pub digest: Digest,
    /// The platform that it was taken for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
    /// How many layers it brought.
    pub layers: usize,
}

/// The part of a profile that was applied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppliedProfile {
    /// Over the actions in their canonical form.
    pub digest: Digest,
    /// The actions that changed something, in order.
    pub actions: Vec<Value>,
}

impl AppliedProfile {
    pub(crate) fn new(actions: Vec<Value>) -> Self {
        // The keys of the objects are in the order in which they are written here.
        let digest = Digest::sha256(Value::from(actions.clone()).to_string().as_bytes());
        Self { digest, actions }
    }
}

/// An action that was applied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppliedAction {
    /// Its name, such as `manifest-add`.
    pub name: String,
    /// Its effect, in words.
    pub did: String,
}

/// A manifest of a derived index that is not the source's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangedManifest {
    /// Its digest.
    pub digest: Digest,
    /// The digest of the manifest that it was derived from.
    pub derived_from: Digest,
    /// Its platform, as far as it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
}
