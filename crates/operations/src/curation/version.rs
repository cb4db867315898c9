//! Versions of documents as the API shows them, and their entity tags.

use jiff::Timestamp;
use metahub_catalog::Problem;
use metahub_oci::Digest;
use metahub_store::DocumentVersion;
use serde::{Deserialize, Serialize};

/// The precondition of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expects {
    /// `If-None-Match: *`: the document does not exist.
    Nothing,
    /// `If-Match: *`: the document exists.
    Anything,
    /// `If-Match: ETAG`: one of these, without quotes.
    Tags(Vec<String>),
}

/// A version of a document, as the API shows it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct VersionInfo {
    /// 1 for the first, and one more with each change.
    pub version: u64,
    /// The entity tag of its text; `None` if this version is a deletion.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub etag: Option<String>,
    /// The account that made it.
    pub account: String,
    /// When, in RFC 3339.
    pub changed_at: String,
    /// Whether this version is a deletion.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub deleted: bool,
}

/// The result of storing a document.
#[derive(Clone, Debug, Serialize)]
pub struct Changed {
    /// The document's whole name.
    pub name: String,
    /// Its version from now on.
    #[serde(flatten)]
    pub version: VersionInfo,
    /// Its warnings.
    pub warnings: Vec<Problem>,
    /// Whether it is new.
    #[serde(skip)]
    pub created: bool,
}

/// A document in a list.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Listed {
    /// Its whole name.
    pub name: String,
    /// `api`, or the file and place that define it.
    pub source: String,
    /// The version that the API has.
    #[serde(flatten)]
    pub version: Option<VersionInfo>,
    /// What defines the name and takes precedence over the API's document.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shadowed: Option<String>,
    /// Whether the API's document is not used since it has errors; the log says which.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub left_out: bool,
}

/// A document with its text.
#[derive(Clone, Debug)]
pub struct Shown {
    /// The text as it was written.
    pub text: String,
    /// Its entity tag, without quotes.
    pub etag: String,
}

/// The entity tag of a version's text: unique, even if the name is deleted for good and used again.
pub(super) fn etag(version: &DocumentVersion) -> Option<String> {
    let digest = Digest::sha256(version.text.as_ref()?.as_bytes());
    let short = digest.hex().get(..16).unwrap_or_default();
    Some(format!("{}-{short}", version.version))
}

/// A version as the API shows it.
pub(super) fn info(version: &DocumentVersion) -> VersionInfo {
    let changed_at = Timestamp::try_from(version.changed_at).unwrap_or_default();
    VersionInfo {
        version: version.version,
        etag: etag(version),
        account: version.account.clone(),
        changed_at: changed_at.to_string(),
        deleted: version.text.is_none(),
    }
}
