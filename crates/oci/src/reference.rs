//! `<reference>` of the distribution API: a tag or a digest.

use std::fmt;
use std::str::FromStr;

use crate::{Digest, DigestError, Tag, TagError};

/// Why a text is neither tag nor digest.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReferenceError {
    /// It has a colon, so a digest was meant.
    #[error(transparent)]
    Digest(#[from] DigestError),
    /// It has none, so a tag was meant.
    #[error(transparent)]
    Tag(#[from] TagError),
}

/// How a manifest is named in a request.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reference {
    /// By tag: its target may change and may depend on the login.
    Tag(Tag),
    /// By digest: the bytes always hash to it.
    Digest(Digest),
}

impl FromStr for Reference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        if text.contains(':') {
            Ok(Self::Digest(text.parse()?))
        } else {
            Ok(Self::Tag(text.parse()?))
        }
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tag(tag) => tag.fmt(f),
            Self::Digest(digest) => digest.fmt(f),
        }
    }
}

impl From<Tag> for Reference {
    fn from(tag: Tag) -> Self {
        Self::Tag(tag)
    }
}

impl From<Digest> for Reference {
    fn from(digest: Digest) -> Self {
        Self::Digest(digest)
    }
}
