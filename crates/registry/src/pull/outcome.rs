//! The outcome of a choice, and where it is stored.

use std::sync::Arc;

use metahub_oci::Digest;
use metahub_store::{StoreError, StoredManifest};

use crate::access::stored::StoredRepository;
use crate::demand::got::Got;
use crate::pull::explanation::Explanation;

/// The version of the rules by which outcomes are made; a new one derives anew.
pub(crate) const OUTCOME_VERSION: u32 = 4;

/// The form of an answer that a client accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Form {
    /// An index, or the one image that is left of it.
    Any,
    /// An index wherever the source is one.
    Index,
}

/// The location of stored content that can be served.
#[derive(Clone, Debug)]
pub(crate) struct Held {
    pub(crate) repository: StoredRepository,
    pub(crate) digest: Digest,
}

impl Held {
    /// The stored manifest, if it still exists.
    pub(crate) async fn manifest(&self) -> Result<Option<Arc<StoredManifest>>, StoreError> {
        self.repository.manifest(&self.digest).await
    }
}

/// The content that a login gets from a source.
#[derive(Debug)]
pub(crate) struct Chosen {
    pub(crate) held: Held,
    /// What the login's machine gets, if that is counted.
    pub(crate) got: Option<Got>,
    /// Warnings for the client about the choice.
    pub(crate) warnings: Vec<String>,
}

/// The content that a login gets from a source, with its explanation.
#[derive(Debug)]
pub(crate) struct Explained {
    pub(crate) stored: Arc<StoredManifest>,
    pub(crate) held: Held,
    pub(crate) explanation: Explanation,
}
