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

/// What a client is told for which the cache has no room, in `Retry-After`.
const COME_AGAIN: Duration = Duration::from_secs(10);
/// When to ask again after a failure of an upstream that may pass and did not say when.
const ASK_AGAIN: Duration = Duration::from_secs(5);

/// Why the registry does not answer with content.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// No place has the repository.
    #[error("there is no repository {0} here, and no upstream has it")]
    NameUnknown(RepositoryName),
    /// The repository's places have no such manifest.
    #[error("{name} has no manifest {reference}{hint}")]
    ManifestUnknown {
        /// The repository asked.
        name: RepositoryName,
        /// The tag or digest asked for.
        reference: Reference,
        /// More words, or none.
        hint: String,
    },
    /// The repository's places have no such blob.
    #[error("{0} has no blob {1}")]
    BlobUnknown(RepositoryName, Digest),
    /// No such upload is in progress in this repository.
    #[error(
        "no upload {0} is in progress here: it was finished, cancelled, or expired. Start another"
    )]
    UploadUnknown(String),
    /// A chunk begins upstream_locations_of than the upload stands.
    #[error("the upload has {expected} bytes, so the next chunk begins there, not at {found}")]
    UploadOffset {
        /// Bytes received so far.
        expected: u64,
        /// Where the chunk says it begins.
        found: u64,
    },
    /// The upload cannot go on.
    #[error("the upload cannot go on: {0}")]
    UploadInvalid(String),
    /// Content does not hash to what it was said to.
    #[error("the content hashes to {found}, not to {expected}: nothing was stored. Send it again")]
    DigestMismatch {
        /// What the client said.
        expected: Digest,
        /// What the bytes hash to.
        found: Digest,
    },
    /// Content is shorter or longer than was said.
    #[error("{0}")]
    Size(String),
    /// A pushed manifest refers to what this repository does not have.
    #[error("{0}")]
    MissingReference(String),
    /// A tag that must not change, or something that it needs, would.
    #[error(transparent)]
    Immutable(#[from] Immutable),
    /// Content broke off on its way from an upstream.
    #[error("{0}")]
    Broken(String),
    /// The cache has no room for what is to be fetched.
    #[error("{0}")]
    NoRoom(String),
    /// Nothing of an index fits the login's profile.
    #[error("{name}:{reference}: {nothing}")]
    NothingFits {
        /// The repository asked.
        name: RepositoryName,
        /// The tag asked for.
        reference: Reference,
        /// What was wanted and what exists.
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
    /// What a profile does to an image cannot be done.
    #[error("the profile's actions cannot be done to {name}: {problem}")]
    Action {
        /// The repository asked.
        name: RepositoryName,
        /// Why.
        problem: String,
    },
    /// The operation is switched off.
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
    /// An upstream that is read under each account's own identity is closed to the caller.
    #[error(transparent)]
    NotAllowed(#[from] NotAllowed),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// There was no memory for a large document in time.
    #[error(transparent)]
    Documents(#[from] BudgetError),
    /// Too many requests wait for the same work.
    #[error("too many requests wait for the same content; try again in a few seconds")]
    Busy,
    /// Another request for the same thing failed, and this one waited on it.
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
                // Not 429, though that is what the upstream says: clients take that for the last
                // word, and it is not theirs to wait for.
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

    /// How long to wait before asking again, where something says so.
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

    /// Whether an upstream's trouble is behind it, so that another place may still have what this
    /// one could not give.
    pub(crate) fn is_upstreams(&self) -> bool {
        match self {
            Self::Upstream(_) | Self::Broken(_) => true,
            Self::Shared(error) | Self::Hinted { error, .. } => error.is_upstreams(),
            _ => false,
        }
    }

    /// Whether an upstream refused the account for which it was asked.
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

/// Whether an upstream was not asked, because this registry is configured to stay offline.
pub(crate) fn is_offline(error: &UpstreamError) -> bool {
    *error.problem() == Problem::Offline
}

/// What an error says that lasts: what it is about cannot be read now, nor later.
///
/// # Errors
/// The error itself, if it may well pass.
pub(crate) fn unreadable(error: RegistryError) -> Result<String, RegistryError> {
    let lasts = match error.root() {
        RegistryError::Upstream(error) if is_offline(error) => true,
        RegistryError::Upstream(error) => matches!(
            error.problem(),
            Problem::Denied { .. } | Problem::TooLarge { .. } | Problem::DigestMismatch { .. }
        ),
        RegistryError::Broken(_) | RegistryError::Store(_) | RegistryError::NotAllowed(_) => false,
        // No room and no memory are this registry's own lack, and say nothing of the image.
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
    /// A push would give the tag to another manifest.
    #[error(transparent)]
    TagExists(PutError),
    /// A bundle would.
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

/// Why something of an upstream that is read under each account's own identity is not to be had,
/// or not in this way. Says nothing of what is cached.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAllowed {
    /// The upstream refused the caller.
    #[error("{error} ({})", asked_as(.error.upstream(), .account.as_deref(), *.login))]
    Refused {
        /// In its own words.
        error: UpstreamError,
        /// The account that it was asked for.
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
        /// What the profile says of it.
        message: String,
    },
    /// Another right was checked than the one that is needed.
    #[error("{name}: the right to {granted} is not the right to {right}")]
    Right {
        /// What is needed.
        right: Right,
        /// What was granted.
        granted: Right,
        /// The repository.
        name: RepositoryName,
    },
    /// A collection or profile leads there.
    #[error(
        "{0} is read with each account's own login there, and what a document leads to is the \
         same for everybody: push the image here, or name it at another upstream"
    )]
    Document(Host),
    /// Something else leads there than a name that was asked for.
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
