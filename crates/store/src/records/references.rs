//! The references of a manifest: the blobs and manifests that it needs, and its subject.

use std::collections::BTreeSet;

use metahub_oci::{Descriptor, Digest, Document};

/// How a manifest refers to content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// An image manifest's configuration.
    Config,
    /// An image manifest's layer.
    Layer,
    /// An index's entry.
    Child,
    /// What an artifact is about. It need not exist.
    Subject,
}

/// A reference of a manifest.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Reference {
    pub(crate) kind: Kind,
    pub(crate) digest: Digest,
    /// The size in bytes that the descriptor says.
    pub(crate) size: u64,
    /// Whether the content is kept elsewhere by design: non-distributable layers.
    pub(crate) foreign: bool,
}

/// All references of a document, each once.
pub(crate) fn of(document: &Document) -> BTreeSet<Reference> {
    let reference = |kind, descriptor: &Descriptor| Reference {
        kind,
        digest: descriptor.digest().clone(),
        size: descriptor.size(),
        foreign: kind == Kind::Layer && descriptor.media_type().is_foreign_layer(),
    };
    let mut references: BTreeSet<_> = match document {
        Document::Index(index) => index
            .manifests()
            .iter()
            .map(|child| reference(Kind::Child, child))
            .collect(),
        Document::Manifest(manifest) => manifest
            .config()
            .map(|config| reference(Kind::Config, config))
            .into_iter()
            .chain(
                manifest
                    .layers()
                    .iter()
                    .map(|layer| reference(Kind::Layer, layer)),
            )
            .collect(),
    };
    references.extend(
        document
            .subject()
            .map(|subject| reference(Kind::Subject, subject)),
    );
    references
}
