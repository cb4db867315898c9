//! Error codes of the distribution specification, `spec.md#error-codes`, and the few that
//! registries commonly add.

use serde::{Deserialize, Serialize};

/// The `code` of an error in the specification's error body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ErrorCode {
    /// The blob is not known in this repository.
    BlobUnknown,
    /// The upload cannot be completed as asked.
    BlobUploadInvalid,
    /// No such upload is in progress.
    BlobUploadUnknown,
    /// The digest is malformed or does not match the content.
    DigestInvalid,
    /// A manifest refers to content that is not here.
    ManifestBlobUnknown,
    /// The manifest is malformed.
    ManifestInvalid,
    /// The manifest is not known in this repository.
    ManifestUnknown,
    /// The repository name is malformed.
    NameInvalid,
    /// The repository is not known.
    NameUnknown,
    /// The length given does not match the content.
    SizeInvalid,
    /// Authentication is required or failed.
    Unauthorized,
    /// The caller is known and may not do this.
    Denied,
    /// The operation is not supported or switched off.
    Unsupported,
    /// Too many requests; the client should slow down.
    #[serde(rename = "TOOMANYREQUESTS")]
    TooManyRequests,
    /// The tag is malformed.
    TagInvalid,
    /// The byte range cannot be satisfied.
    RangeInvalid,
    /// The `n` of a paged request is not a sensible number.
    PaginationNumberInvalid,
    /// Something this request needs, such as an upstream, is not available now.
    Unavailable,
    /// A document of a catalog has errors.
    DocumentInvalid,
    /// The present state is not the one that the request expects.
    PreconditionFailed,
    /// Another condition prevents it.
    Conflict,
    /// A failure of the registry itself.
    Unknown,
}

impl ErrorCode {
    /// The HTTP status that the specification pairs with this code.
    #[must_use]
    pub const fn status(self) -> u16 {
        match self {
            Self::BlobUnknown
            | Self::BlobUploadUnknown
            | Self::ManifestUnknown
            | Self::ManifestBlobUnknown
            | Self::NameUnknown => 404,
            Self::BlobUploadInvalid
            | Self::DigestInvalid
            | Self::ManifestInvalid
            | Self::NameInvalid
            | Self::SizeInvalid
            | Self::TagInvalid
            | Self::PaginationNumberInvalid => 400,
            Self::RangeInvalid => 416,
            Self::DocumentInvalid => 422,
            Self::PreconditionFailed => 412,
            Self::Conflict => 409,
            Self::Unauthorized => 401,
            Self::Denied => 403,
            Self::Unsupported => 405,
            Self::TooManyRequests => 429,
            Self::Unavailable => 503,
            Self::Unknown => 500,
        }
    }
}
