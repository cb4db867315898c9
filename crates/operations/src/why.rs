//! Explains an image that MetaHub serves: its source, the actions on it, the profile, and why it
//! was chosen. Built from the answer of [`Resolve`](crate::Resolve).

use metahub_oci::{Digest, Platform};
use metahub_registry::{AddedImage, AppliedAction, DerivationDocument, Resolution, SourceKind};
use metahub_resolve::Verdicts;
use serde::Serialize;
use serde_json::Value;

/// The explanation of an image.
#[derive(Clone, Debug, Serialize)]
pub struct Story {
    /// The requested image.
    pub image: String,
    /// The digest that is served: of the index, or of the one image that is left of it.
    pub digest: Digest,
    /// The manifest that a client of the platform pulls.
    pub manifest: Digest,
    /// Whether that manifest was derived here. Otherwise it is unchanged.
    pub derived: bool,
    /// Its source.
    pub source: StorySource,
    /// The layer images that were added.
    pub layers: Vec<AddedImage>,
    /// The profile that it was derived for.
    pub profile: StoryProfile,
    /// The actions, in order.
    pub actions: Vec<AppliedAction>,
    /// Which of the source's images was chosen, and why.
    pub chosen: StoryChoice,
    /// The version of MetaHub that derived it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metahub: Option<String>,
}

/// The source of an image.
#[derive(Clone, Debug, Serialize)]
pub struct StorySource {
    /// A collection, a local repository, or an upstream. Unknown for a request by digest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<SourceKind>,
    /// The image or index by its digest.
    pub reference: String,
    /// Its digest.
    pub digest: Digest,
    /// The manifest that was changed, by its digest: of an index one of its entries.
    pub manifest: String,
}

/// The profile that an image was derived for.
#[derive(Clone, Debug, Serialize)]
pub struct StoryProfile {
    /// The login's selectors; empty for none, and for a request by digest.
    pub login: String,
    /// The channel by which it was chosen besides the login.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// Over the login's whole profile, in its canonical form.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<Digest>,
    /// The features that the login provides.
    pub provides: Vec<String>,
    /// The actions that changed something, in their canonical form.
    pub actions: Vec<Value>,
}

/// The choice.
#[derive(Clone, Debug, Serialize)]
pub struct StoryChoice {
    /// One sentence.
    pub why: String,
    /// The requested platform.
    pub platform: Platform,
    /// What the chosen image requires.
    pub requires: Vec<String>,
    /// The verdict on every entry of the source; empty without a choice, and for a request by
    /// digest, since a choice is a login's.
    pub entries: Verdicts,
    /// Remarks for the user.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub remarks: Vec<String>,
}

impl From<Resolution> for Story {
    fn from(resolution: Resolution) -> Self {
        let Resolution { explanation, .. } = resolution;
        let (of_served, of_manifest) = (resolution.derivation, resolution.manifest_derivation);
        let name = match resolution.image.rsplit_once(['@', ':']) {
            Some((name, _)) => name.trim_end_matches("@sha256").to_owned(),
            None => resolution.image.clone(),
        };
        let asked_by_digest = resolution.image.contains('@');
        // Of an image that is served itself both are one.
        let changed = of_manifest.or_else(|| {
            let itself = resolution.manifest == resolution.digest;
            of_served.clone().filter(|_| itself)
        });
        let source = of_served.as_ref().map(|document| &document.source);
        let source_digest =
            source.map_or_else(|| explanation.source_digest.clone(), |s| s.digest.clone());
        let reference = source.map_or_else(
            || format!("{name}@{source_digest}"),
            |s| s.reference.clone(),
        );
        let manifest = match &changed {
            Some(document) => document.source.reference.clone(),
            None => format!("{name}@{}", resolution.manifest),
        };
        let document = changed.or(of_served);
        let version = document.as_ref().map(|document| document.metahub.clone());
        let mut remarks = resolution.remarks;
        remarks.extend(resolution.warning);
        let why = match (asked_by_digest, &document) {
            (true, Some(_)) => "derived here: a digest is the same for every login".to_owned(),
            (true, None) => "as its publisher made it: nothing was derived".to_owned(),
            (false, _) => resolution.why,
        };
        Self {
            image: resolution.image,
            digest: resolution.digest,
            manifest: resolution.manifest,
            derived: document.is_some(),
            source: StorySource {
                kind: (!asked_by_digest).then_some(explanation.source),
                reference,
                digest: source_digest,
                manifest,
            },
            profile: StoryProfile {
                login: resolution.profile,
                by: resolution.profile_by,
                digest: resolution.profile_digest.filter(|_| !asked_by_digest),
                provides: resolution.provides,
                actions: document
                    .as_ref()
                    .map(|document| document.profile.actions.clone())
                    .unwrap_or_default(),
            },
            chosen: StoryChoice {
                why,
                platform: resolution.platform,
                requires: resolution.requires,
                entries: explanation.entries,
                remarks,
            },
            metahub: version,
            layers: layers(document.as_ref()),
            actions: document
                .map(|document| document.actions)
                .unwrap_or_default(),
        }
    }
}

fn layers(document: Option<&DerivationDocument>) -> Vec<AddedImage> {
    document.map_or_else(Vec::new, |document| document.layers.clone())
}
