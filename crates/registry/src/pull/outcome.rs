//! The outcome of a choice, and where it is stored.

use std::sync::Arc;

use metahub_oci::Digest;
use metahub_store::{StoreError, StoredManifest};

use crate::access::stored::StoredRepository;
use crate::demand::got::Got;
use crate::pull::explanation::Explanation;

/// The version of the rules by which outcomes are made; a new one derives anew.
pub(crate) const OUTCOME_VERSION: u32 = 4;

/// Which form of an answer a client takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Form {
    /// An index, or the one image that is left of it.
    Any,
    /// An index wherever the source is one.
    Index,
}

/// Where something that can be served is stored.
#[derive(Clone, Debug)]
pub(crate) struct Held {
    pub(crate) repository: StoredRepository,
    pub(crate) digest: Digest,
}

impl Held {
    /// What is stored there, if it still is.
    pub(crate) async fn manifest(&self) -> Result<Option<Arc<StoredManifest>>, StoreError> {
        self.repository.manifest(&self.digest).await
    }
}

/// What a login gets of a source.
#[derive(Debug)]
pub(crate) struct Chosen {
    pub(crate) held: Held,
    /// What the login's machine gets, where that is counted.
    pub(crate) got: Option<Got>,
    /// What the client should be told of the choice.
    pub(crate) warnings: Vec<String>,
}

/// What a login gets of a source, with how it came about.
#[derive(Debug)]
pub(crate) struct Explained {
    pub(crate) stored: Arc<StoredManifest>,
    pub(crate) held: Held,
    pub(crate) explanation: Explanation,
}
