//! Verifies collections against the code of their images: an entry that requires less than its code
//! needs is an error, one that requires more a warning, and unknown needs are reported. Each layer
//! is read once, and the content of each file.

mod compare;
mod images;
mod layers;
mod source;

use metahub_catalog::{Catalog, Collection, Entry, Problem};
use metahub_oci::{Digest, ImageReference, Platform};
use serde::Serialize;

use crate::error::OperationError;
use crate::inspect::LabelVerdict;
use crate::progress::Progress;

use self::compare::{Claim, compare};
use self::images::{FoundImage, Images};
use self::layers::Layers;

pub use self::source::Verification;

/// The comparison of an entry with the code of one of its images.
#[derive(Clone, Debug, Serialize)]
pub struct VerifiedImage {
    /// The collection, `NAME:TAG`.
    pub collection: String,
    /// The image as the entry names it.
    pub image: ImageReference,
    /// The digest of its manifest; `None` if it could not be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<Digest>,
    /// The platform that its configuration names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
    /// The CPU targets that are required.
    pub claims: Vec<String>,
    /// The highest target that its code provably requires.
    pub required: Option<String>,
    /// Whether the entry requires what its code needs.
    pub verdict: LabelVerdict,
    /// The evidence, the first few.
    pub evidence: Vec<String>,
}

/// The result.
#[derive(Debug, Default)]
pub(crate) struct Verified {
    pub(crate) images: Vec<VerifiedImage>,
    pub(crate) problems: Vec<Problem>,
}

impl Verification {
    /// Reads the images of every entry of every collection, in the order of the documents. An
    /// unreadable image is a warning of its entry.
    pub(crate) async fn run(
        self,
        catalog: &Catalog,
        mut progress: impl FnMut(Progress) + Send + Sync,
    ) -> Result<Verified, OperationError> {
        let mut collections: Vec<&Collection> = catalog.collections().collect();
        collections.sort_by_key(|collection| &collection.location);
        let total: usize = collections.iter().map(|c| c.entries.len()).sum();
        let images = Images::open(self).await?;
        let mut layers = Layers::default();
        let mut verified = Verified::default();
        let mut done = 0;
        for collection in collections {
            for entry in &collection.entries {
                progress(Progress {
                    done,
                    total: total as u64,
                    bytes: layers.bytes(),
                });
                let work = Work {
                    catalog,
                    collection,
                    entry,
                };
                work.entry(&images, &mut layers, &mut verified).await;
                done += 1;
            }
        }
        Ok(verified)
    }
}

/// The verification of one entry.
struct Work<'c> {
    catalog: &'c Catalog,
    collection: &'c Collection,
    entry: &'c Entry,
}

impl Work<'_> {
    async fn entry(&self, images: &Images, layers: &mut Layers, verified: &mut Verified) {
        let found = match images.find(&self.entry.image).await {
            Ok(found) => found,
            Err(why) => return self.unread(verified, &why),
        };
        let mut any = false;
        for image in &found {
            if !self.is_for(image) {
                continue;
            }
            any = true;
            let claim = Claim::of(self.entry, image, found.len() > 1);
            let needs = layers.needs(images, image).await;
            let (one, problems) = compare(&claim, &needs, self.catalog.graph());
            let place = &self.entry.location;
            verified.problems.extend(problems.into_iter().map(|p| {
                let make = if p.is_error {
                    Problem::disproof
                } else {
                    Problem::doubt
                };
                make(
                    place,
                    p.code,
                    format!("{}: {}", self.entry.image, p.message),
                    p.help,
                )
            }));
            verified.images.push(VerifiedImage {
                collection: self.collection_name(),
                image: self.entry.image.clone(),
                digest: Some(image.manifest.digest().clone()),
                platform: Some(image.config.platform()),
                claims: claim.names(),
                required: one.required,
                verdict: one.verdict,
                evidence: one.evidence,
            });
        }
        if !any {
            let why = "it has no image for the machines that the entry is for";
            self.unread(verified, why);
        }
    }

    fn collection_name(&self) -> String {
        format!("{}:{}", self.collection.name, self.collection.tag)
    }

    /// Records an unreadable image.
    fn unread(&self, verified: &mut Verified, why: &str) {
        let image = &self.entry.image;
        verified.problems.push(Problem::doubt(
            &self.entry.location,
            "code-unknown",
            format!("what {image} needs is unknown: {why}"),
            None,
        ));
        verified.images.push(VerifiedImage {
            collection: self.collection_name(),
            image: image.clone(),
            digest: None,
            platform: None,
            claims: Claim::written(self.entry).names(),
            required: None,
            verdict: LabelVerdict::Unknown,
            evidence: vec![why.to_owned()],
        });
    }

    /// Whether the entry can serve this image: images of an index for other machines are not its
    /// own.
    fn is_for(&self, image: &FoundImage) -> bool {
        let platform = image.config.platform();
        let written = self.entry.platform.as_ref();
        let named = |written: Option<&String>, own: &str| written.is_none_or(|w| w == own);
        let graph = self.catalog.graph();
        named(written.and_then(|p| p.os.as_ref()), &platform.os)
            && named(
                written.and_then(|p| p.architecture.as_ref()),
                &platform.architecture,
            )
            && self
                .entry
                .requires
                .iter()
                .filter_map(|feature| feature.target())
                .all(|target| graph.runs_architecture(target, &platform.architecture))
    }
}
