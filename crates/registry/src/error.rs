//! Errors of pulls and pushes, in words for the client.

use std::sync::Arc;
use std::time::Duration;

use metahub_auth::Right;
use metahub_limits::BudgetError;
use metahub_oci::{
    ConfigError, Digest, DigestError, DocumentError, ErrorCode, Host, NameError, Reference,
    RepositoryName, Tag,
};
use metahub_resolve::{AddError, NothingFits};
use metahub_store::{PutError, StoreError};
use metahub_upstream::{Problem, UpstreamError};

/// `Retry-After` for a client for which the cache has no room.
const COME_AGAIN: Duration = Duration::from_secs(10);
/// `Retry-After` for a temporary failure of an upstream that did not state one.
const ASK_AGAIN: Duration = Duration::from_secs(5);

/// Why a pull or push failed.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// No location has the repository.
    #[error("there is no repository {0} here, and no upstream has it")]
    NameUnknown(RepositoryName),
    /// The repository's locations have no such manifest.
    #[error("{name} has no manifest {reference}{hint}")]
    ManifestUnknown {
        /// The requested repository.
        name: RepositoryName,
        /// The requested tag or digest.
        reference: Reference,
        /// A further sentence, or empty.
        hint: String,
    },
    /// The repository's locations have no such blob.
    #[error("{0} has no blob {1}")]
    BlobUnknown(RepositoryName, Digest),
    /// No such upload is in progress in this repository.
    #[error(
        "no upload {0} is in progress here: it was finished, cancelled, or expired. Start another"
    )]
    UploadUnknown(String),
    /// A chunk does not begin at the upload's offset.
    #[error("the upload has {expected} bytes, so the next chunk begins there, not at {found}")]
    UploadOffset {
        /// Bytes received so far.
        expected: u64,
        /// The chunk's offset.
        found: u64,
    },
    /// The upload cannot continue.
    #[error("the upload cannot go on: {0}")]
    UploadInvalid(String),
    /// Content does not match its digest.
    #[error("the content hashes to {found}, not to {expected}: nothing was stored. Send it again")]
    DigestMismatch {
        /// The stated digest.
        expected: Digest,
        /// The digest of the bytes.
        found: Digest,
    },
    /// Content is shorter or longer than stated.
    #[error("{0}")]
    Size(String),
    /// A pushed manifest refers to content that this repository does not have.
    #[error("{0}")]
    MissingReference(String),
    /// An immutable tag, or something that it needs, would change.
    #[error(transparent)]
    Immutable(#[from] Immutable),
    /// The transfer of content from an upstream was interrupted.
    #[error("{0}")]
    Broken(String),
    /// The cache has no room for the content to fetch.
    #[error("{0}")]
    NoRoom(String),
    /// No entry of an index fits the login's profile.
    #[error("{name}:{reference}: {nothing}")]
    NothingFits {
        /// The repository asked.
        name: RepositoryName,
        /// The tag asked for.
        reference: Reference,
        /// The wanted features, and the entries that exist.
        nothing: NothingFits,
    },
    /// Layers cannot be added to the image.
    #[error("layers of {layer} cannot be added to {name}: {problem}")]
    Layers {
        /// The repository asked.
        name: RepositoryName,
        /// The layer image.
        layer: String,
        /// Why.
        problem: String,
    },
    /// A profile's action on an image failed.
    #[error("the profile's actions cannot be done to {name}: {problem}")]
    Action {
        /// The repository asked.
        name: RepositoryName,
        /// Why.
        problem: String,
    },
    /// The operation is disabled.
    #[error("{0}")]
    Unsupported(&'static str),
    /// A manifest is malformed.
    #[error(transparent)]
    Document(#[from] DocumentError),
    /// An image's configuration is malformed.
    #[error("the configuration {digest} of {image}: {error}")]
    Config {
        /// The image it belongs to.
        image: String,
        /// The configuration's digest.
        digest: Digest,
        /// What is wrong with it.
        error: ConfigError,
    },
    /// A digest is malformed.
    #[error(transparent)]
    Digest(#[from] DigestError),
    /// A name is malformed.
    #[error(transparent)]
    Name(#[from] NameError),
    /// An upstream failed.
    #[error(transparent)]
    Upstream(#[from] UpstreamError),
    /// A pass-through upstream denies the caller.
    #[error(transparent)]
    NotAllowed(#[from] NotAllowed),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// No memory for a large document was available in time.
    #[error(transparent)]
    Documents(#[from] BudgetError),
    /// Too many requests wait for the same work.
    #[error("too many requests wait for the same content; try again in a few seconds")]
    Busy,
    /// A concurrent request for the same content failed, and this one waited for it.
    #[error("{0}")]
    Shared(Arc<RegistryError>),
    /// An error, and what else the client may want to know.
    #[error("{error}{hint}")]
    Hinted {
        /// What went wrong.
        error: Arc<RegistryError>,
        /// What follows the message, from its separator on.
        hint: String,
    },
}

impl RegistryError {
    /// The specification's code for this error.
    #[must_use]
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::NameUnknown(_) => ErrorCode::NameUnknown,
            Self::ManifestUnknown { .. }
            | Self::NothingFits { .. }
            | Self::Layers { .. }
            | Self::Action { .. } => ErrorCode::ManifestUnknown,
            Self::BlobUnknown(..) => ErrorCode::BlobUnknown,
            Self::Immutable(_) => ErrorCode::Denied,
            Self::Broken(_) | Self::NoRoom(_) | Self::Busy => ErrorCode::Unavailable,
            Self::UploadUnknown(_) => ErrorCode::BlobUploadUnknown,
            Self::UploadOffset { .. } => ErrorCode::RangeInvalid,
            Self::UploadInvalid(_) => ErrorCode::BlobUploadInvalid,
            Self::DigestMismatch { .. } | Self::Digest(_) => ErrorCode::DigestInvalid,
            Self::Size(_) => ErrorCode::SizeInvalid,
            Self::MissingReference(_) => ErrorCode::ManifestBlobUnknown,
            Self::Unsupported(_) => ErrorCode::Unsupported,
            Self::Document(_) | Self::Config { .. } => ErrorCode::ManifestInvalid,
            Self::Name(_) => ErrorCode::NameInvalid,
            Self::Upstream(error) => match error.problem() {
                // Not the upstream's 429: clients give up on that, and the limit is not theirs.
                Problem::Denied { .. } => ErrorCode::Denied,
                _ => ErrorCode::Unavailable,
            },
            Self::NotAllowed(error) => match error {
                NotAllowed::Unreadable { .. } => ErrorCode::Unavailable,
                _ => ErrorCode::Denied,
            },
            Self::Store(error) => match error {
                StoreError::NoSpace(_)
                | StoreError::ReadOnly(_)
                | StoreError::Busy
                | StoreError::Superseded
                | StoreError::ContentAbsent { .. }
                | StoreError::Aborted
                | StoreError::WriterEnded => ErrorCode::Unavailable,
                _ => ErrorCode::Unknown,
            },
            Self::Documents(error) => match error {
                BudgetError::Busy { .. } => ErrorCode::Unavailable,
                BudgetError::Failed => ErrorCode::Unknown,
            },
            Self::Shared(error) | Self::Hinted { error, .. } => error.code(),
        }
    }

    /// The error itself, also if several callers waited for the same work.
    #[must_use]
    pub fn root(&self) -> &Self {
        match self {
            Self::Shared(error) | Self::Hinted { error, .. } => error.root(),
            own => own,
        }
    }

    /// How long to wait before a retry, if known.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Upstream(error) if is_offline(error) => None,
            Self::Upstream(error) => {
                let passes = error.is_transient().then_some(ASK_AGAIN);
                error.retry_after().or(passes)
            }
            Self::Documents(BudgetError::Busy { retry_after }) => Some(*retry_after),
            Self::NoRoom(_) | Self::Store(StoreError::NoSpace(_) | StoreError::Busy) => {
                Some(COME_AGAIN)
            }
            Self::Busy => Some(ASK_AGAIN),
            Self::Shared(error) | Self::Hinted { error, .. } => error.retry_after(),
            _ => None,
        }
    }

    /// Whether an upstream's failure caused it, so that another location may still have the
    /// content.
    pub(crate) fn is_upstreams(&self) -> bool {
        match self {
            Self::Upstream(_) | Self::Broken(_) => true,
            Self::Shared(error) | Self::Hinted { error, .. } => error.is_upstreams(),
            _ => false,
        }
    }

    /// Whether an upstream refused the caller's account.
    pub(crate) fn is_not_allowed(&self) -> bool {
        matches!(self.root(), Self::NotAllowed(_))
    }

    pub(crate) fn unknown(name: &RepositoryName, reference: impl Into<Reference>) -> Self {
        Self::ManifestUnknown {
            name: name.clone(),
            reference: reference.into(),
            hint: String::new(),
        }
    }

    pub(crate) fn nothing_fits(name: &RepositoryName, tag: &Tag, nothing: NothingFits) -> Self {
        Self::NothingFits {
            name: name.clone(),
            reference: tag.clone().into(),
            nothing,
        }
    }

    pub(crate) fn layers(name: &RepositoryName, layer: &impl ToString, error: &AddError) -> Self {
        Self::Layers {
            name: name.clone(),
            layer: layer.to_string(),
            problem: error.to_string(),
        }
    }
}

impl From<PutError> for RegistryError {
    fn from(error: PutError) -> Self {
        match error {
            PutError::Missing { .. } => Self::MissingReference(error.to_string()),
            PutError::Size { .. } => Self::Size(error.to_string()),
            PutError::TagExists { .. } => Self::Immutable(Immutable::TagExists(error)),
            PutError::Store(error) => Self::Store(error),
        }
    }
}

/// Whether an upstream was not asked because this registry is offline.
pub(crate) fn is_offline(error: &UpstreamError) -> bool {
    *error.problem() == Problem::Offline
}

/// The text of a lasting error: the content cannot be read now, nor later.
///
/// # Errors The error itself, if it is temporary.
pub(crate) fn unreadable(error: RegistryError) -> Result<String, RegistryError> {
    let lasts = match error.root() {
        RegistryError::Upstream(error) if is_offline(error) => true,
        RegistryError::Upstream(error) => matches!(
            error.problem(),
            Problem::Denied { .. } | Problem::TooLarge { .. } | Problem::DigestMismatch { .. }
        ),
        RegistryError::Broken(_) | RegistryError::Store(_) | RegistryError::NotAllowed(_) => false,
        // Missing room or memory is this registry's own, and says nothing about the image.
        RegistryError::NoRoom(_) | RegistryError::Documents(_) | RegistryError::Busy => false,
        _ => true,
    };
    if lasts {
        Ok(error.to_string())
    } else {
        Err(error)
    }
}

/// Why immutable tags forbid a push or a deletion.
#[derive(Debug, thiserror::Error)]
pub enum Immutable {
    /// The tag itself would be deleted.
    #[error("the tag {name}:{tag} is immutable: it is not deleted")]
    TagStays {
        /// The repository.
        name: RepositoryName,
        /// The tag.
        tag: Tag,
    },
    /// Something that the tag needs would be deleted.
    #[error("the immutable tag {name}:{tag} needs {digest}: it is not deleted")]
    TagNeeds {
        /// The repository.
        name: RepositoryName,
        /// The tag.
        tag: Tag,
        /// What it needs.
        digest: Digest,
    },
    /// A push would move the tag to another manifest.
    #[error(transparent)]
    TagExists(PutError),
    /// An import would move the tag.
    #[error("the tag {name}:{tag} is immutable and names {names}: the bundle names another")]
    NamesAnother {
        /// The repository.
        name: RepositoryName,
        /// The tag.
        tag: Tag,
        /// What it names.
        names: Digest,
    },
}

/// Why content of a pass-through upstream is denied. Reveals nothing about the cache.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAllowed {
    /// The upstream refused the caller.
    #[error("{error} ({})", asked_as(.error.upstream(), .account.as_deref(), *.login))]
    Refused {
        /// In its own words.
        error: UpstreamError,
        /// The caller's account.
        account: Option<Box<str>>,
        /// Whether the account has a login there.
        login: bool,
    },
    /// The account's login there cannot be read.
    #[error(
        "the login of account {account} at {upstream} cannot be read; the log of this registry \
         says why"
    )]
    Unreadable {
        /// Where.
        upstream: Host,
        /// Whose.
        account: Box<str>,
    },
    /// A push or a deletion.
    #[error(
        "{name} is what {upstream} has, read with each account's own login there: nothing is \
         pushed to it here, and only an admin deletes a copy"
    )]
    NotChanged {
        /// The upstream.
        upstream: Host,
        /// The repository.
        name: RepositoryName,
    },
    /// A profile refuses the tag.
    #[error("{name}:{tag} is not given to this login: {message}")]
    Profile {
        /// The repository asked.
        name: RepositoryName,
        /// The tag asked for.
        tag: Tag,
        /// The profile's message.
        message: String,
    },
    /// A right other than the needed one was checked.
    #[error("{name}: the right to {granted} is not the right to {right}")]
    Right {
        /// The needed right.
        right: Right,
        /// The granted right.
        granted: Right,
        /// The repository.
        name: RepositoryName,
    },
    /// A collection or profile names it.
    #[error(
        "{0} is read with each account's own login there, and what a document leads to is the \
         same for everybody: push the image here, or name it at another upstream"
    )]
    Document(Host),
    /// It was reached by another way than its own name.
    #[error("{0} is read with each account's own login there, and only by its own names")]
    NotHere(Host),
}

fn asked_as(upstream: &Host, account: Option<&str>, login: bool) -> String {
    match (account, login) {
        (Some(account), true) => format!(
            "asked with the login of account {account} there; metahub account upstream-login \
             {account} {upstream} gives it another"
        ),
        (Some(account), false) => format!(
            "account {account} has no login there; metahub account upstream-login {account} \
             {upstream} gives it one"
        ),
        (None, _) => "asked without a login, since this upstream is read with each account's own: \
                      log in here as ACCOUNT or ACCOUNT/PROFILE"
            .to_owned(),
    }
}
