//! The two kinds of documents of the API, and how each is named.

use std::str::FromStr;

use metahub_catalog::ProfileName;
use metahub_oci::{ImageReference, Reference};
use serde::{Deserialize, Serialize};

use super::error::CurationError;

/// The prefix of these documents' names in problems.
pub const DOCUMENTS_PATH: &str = "api:";

/// The kind of a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DocumentKind {
    /// One profile.
    Profile,
    /// One collection.
    Collection,
}

impl DocumentKind {
    /// `profile` or `collection`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Profile => "profile",
            Self::Collection => "collection",
        }
    }

    /// `profiles` or `collections`, as paths have it.
    #[must_use]
    pub fn plural(self) -> &'static str {
        match self {
            Self::Profile => "profiles",
            Self::Collection => "collections",
        }
    }

    /// The full name for `text`: with its namespace, version or tag.
    ///
    /// # Errors
    /// A text that is no name of such a document; the message is for people.
    pub fn name(self, text: &str) -> Result<String, CurationError> {
        let wrong = |error: &dyn std::fmt::Display| CurationError::Name(error.to_string());
        match self {
            Self::Profile => {
                let name = ProfileName::from_str(text).map_err(|error| wrong(&error))?;
                Ok(name.to_string())
            }
            Self::Collection => {
                let image = ImageReference::from_str(text).map_err(|error| wrong(&error))?;
                match (image.host(), image.reference()) {
                    (None, Reference::Tag(tag)) => Ok(format!("{}:{tag}", image.name())),
                    _ => Err(CurationError::Name(format!(
                        "'{text}' is not a collection's name: expected NAME:TAG, such as \
                         lab/app:v1"
                    ))),
                }
            }
        }
    }
}

/// The file name that problems with a document of the API have.
pub(super) fn problem_file(kind: &str, name: &str) -> String {
    format!("{DOCUMENTS_PATH}{kind}s/{name}")
}
