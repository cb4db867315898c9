//! A manifest to be stored: its body, its tags, and what its repository must hold.

use std::collections::{BTreeSet, HashMap};

use metahub_oci::{Digest, Document, JsonMap, RepositoryName, Tag};

use super::origin::Origin;
use super::references;
use super::references::{Kind, Reference};
use crate::StoreError;

/// How a manifest is to be stored.
#[derive(Clone, Debug)]
pub struct PutManifest {
    /// Tags that name it from now on.
    pub tags: Vec<Tag>,
    /// Those of `tags` that must not be taken from another manifest: immutable tags.
    pub fixed: Vec<Tag>,
    /// How it came here.
    pub origin: Origin,
    /// The account that pushes it, recorded as the owner if this push makes the name local.
    pub account: Option<String>,
    /// The images that it was fetched or derived from. An empty list keeps the recorded ones.
    pub sources: Vec<String>,
    /// What the upstream gave to ask again for the tags with.
    pub etag: Option<String>,
    /// Whether the repository must hold everything that it refers to, as for a push. A subject
    /// and non-distributable layers never need to be there.
    pub require_references: bool,
    /// The client that it was fetched for: a hash of the network address of a client without an
    /// account, which has a bounded share of the cache, or 0.
    pub brought_by: i64,
    /// Repositories whose blobs this one may read if the manifest names them. The caller vouches
    /// for the right to.
    pub mount_from: Vec<RepositoryName>,
}

impl PutManifest {
    /// A push under `tags`: everything that the manifest refers to must be there.
    #[must_use]
    pub fn pushed(tags: Vec<Tag>) -> Self {
        Self {
            tags,
            fixed: Vec::new(),
            origin: Origin::Pushed,
            account: None,
            sources: Vec::new(),
            etag: None,
            require_references: true,
            brought_by: 0,
            mount_from: Vec::new(),
        }
    }

    /// A manifest as its upstream image `source` has it; its blobs may come later.
    #[must_use]
    pub fn upstream(tags: Vec<Tag>, source: impl Into<String>) -> Self {
        Self {
            origin: Origin::Upstream,
            sources: vec![source.into()],
            require_references: false,
            ..Self::pushed(tags)
        }
    }

    /// A manifest that was derived from the images `sources`; its blobs may come later. It is stale
    /// once a source named by digest is in no repository any more.
    #[must_use]
    pub fn derived<S: Into<String>>(sources: impl IntoIterator<Item = S>) -> Self {
        Self {
            origin: Origin::Derived,
            sources: sources.into_iter().map(Into::into).collect(),
            require_references: false,
            ..Self::pushed(Vec::new())
        }
    }
}

/// Why a manifest was not stored. Nothing of it stays.
#[derive(Debug, thiserror::Error)]
pub enum PutError {
    /// The repository does not hold what the manifest refers to.
    #[error(
        "the manifest refers to content that the repository does not hold: {}; push that first",
        list(.blobs, .manifests)
    )]
    Missing {
        /// Configurations and layers.
        blobs: Vec<Digest>,
        /// Entries of an index.
        manifests: Vec<Digest>,
    },
    /// A descriptor says another size than the content has that it names.
    #[error(
        "the manifest says that {digest} has {stated} bytes, and it has {found}: build the \
         manifest again and push that"
    )]
    Size {
        /// The content.
        digest: Digest,
        /// What the manifest says.
        stated: u64,
        /// What it has.
        found: u64,
    },
    /// A tag that must not change names something else.
    #[error("the tag {tag} is immutable and names {digest}: push under another tag")]
    TagExists {
        /// The tag.
        tag: Tag,
        /// What it names.
        digest: Digest,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

fn list(blobs: &[Digest], manifests: &[Digest]) -> String {
    let blobs = blobs.iter().map(|digest| format!("blob {digest}"));
    let manifests = manifests.iter().map(|digest| format!("manifest {digest}"));
    blobs.chain(manifests).collect::<Vec<_>>().join(", ")
}

/// A manifest on its way into the records.
#[derive(Clone, Debug)]
pub(crate) struct NewManifest {
    pub(crate) repository: RepositoryName,
    pub(crate) document: Document,
    /// What it refers to.
    pub(crate) references: BTreeSet<Reference>,
    pub(crate) options: PutManifest,
}

impl NewManifest {
    /// `document`, to be stored in `repository`.
    pub(crate) fn new(
        repository: &RepositoryName,
        document: &Document,
        options: PutManifest,
    ) -> Self {
        Self {
            repository: repository.clone(),
            document: document.clone(),
            references: references::of(document),
            options,
        }
    }

    /// What it refers to as one of `kinds`.
    pub(crate) fn digests(&self, kinds: &[Kind]) -> Vec<&Digest> {
        let references = self.references.iter();
        references
            .filter(|reference| kinds.contains(&reference.kind))
            .map(|reference| &reference.digest)
            .collect()
    }

    /// The blobs that it brings from the repositories of [`PutManifest::mount_from`].
    pub(crate) fn mountable(&self) -> Vec<&Digest> {
        let references = self.references.iter();
        references
            .filter(|reference| matches!(reference.kind, Kind::Config | Kind::Layer))
            .filter(|reference| !reference.foreign)
            .map(|reference| &reference.digest)
            .collect()
    }

    /// Checks the repository's content that the manifest refers to, `blobs` and `manifests` with
    /// their sizes: sizes must be as the manifest states, and nothing may be missing where that is
    /// required.
    pub(crate) fn check(
        &self,
        blobs: &HashMap<Digest, u64>,
        manifests: &HashMap<Digest, u64>,
    ) -> Result<(), PutError> {
        let mut missing = (Vec::new(), Vec::new());
        let mut wrong = None;
        for Reference {
            kind,
            digest,
            size,
            foreign,
        } in &self.references
        {
            let found = match kind {
                Kind::Config | Kind::Layer => blobs.get(digest),
                // An entry of an index may also be a blob: the specification leaves its type open.
                Kind::Child => manifests.get(digest).or_else(|| blobs.get(digest)),
                // It need not be there, and what refers to it says nothing of its content.
                Kind::Subject => continue,
            };
            match (found, kind) {
                (Some(found), _) if found != size => {
                    wrong.get_or_insert(PutError::Size {
                        digest: digest.clone(),
                        stated: *size,
                        found: *found,
                    });
                }
                (Some(_), _) => {}
                (None, Kind::Child) => missing.1.push(digest.clone()),
                (None, Kind::Config | Kind::Layer) if *foreign => {}
                (None, _) => missing.0.push(digest.clone()),
            }
        }
        let (blobs, manifests) = missing;
        let complete = blobs.is_empty() && manifests.is_empty();
        if self.options.require_references && !complete {
            return Err(PutError::Missing { blobs, manifests });
        }
        wrong.map_or(Ok(()), Err)
    }

    /// The descriptor by which the referrers API lists it, if it has a subject: with its artifact
    /// type and its annotations (distribution specification, "Listing Referrers").
    pub(crate) fn referrer(&self) -> Option<JsonMap> {
        let document = &self.document;
        document.subject()?;
        let mut descriptor = document.descriptor().as_json().clone();
        if let Some(artifact_type) = document.artifact_type() {
            descriptor.insert("artifactType".into(), artifact_type.into());
        }
        if let Some(annotations) = document.annotations() {
            descriptor.insert("annotations".into(), annotations.clone().into());
        }
        Some(descriptor)
    }
}

/// The upstream's host for a repository with content from an upstream: the first part of its name.
pub(crate) fn host_of(repository: &RepositoryName) -> Option<&str> {
    let (host, _) = repository.as_str().split_once('/')?;
    Some(host)
}

/// What an image is named by, if that is a digest.
pub(crate) fn digest_of(image: &str) -> Option<Digest> {
    let (_, digest) = image.rsplit_once('@')?;
    digest.parse().ok()
}
