//! Documents that were pushed through the API, with their former versions. Their contents are not
//! parsed here.

use std::time::SystemTime;

use super::shared::Answer;

/// A version of a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DocumentVersion {
    /// `profile` or `collection`.
    pub kind: String,
    /// What it is called.
    pub name: String,
    /// 1 for the first, and one more with each change.
    pub version: u64,
    /// The document as it was written; `None` if this version says that it was deleted.
    pub text: Option<String>,
    /// The author of this version.
    pub account: String,
    /// When.
    pub changed_at: SystemTime,
}

/// The precondition of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precondition {
    /// There is none of that name.
    Absent,
    /// There is one.
    Present,
    /// This version is its last.
    Version(u64),
}

impl Precondition {
    /// Whether `last`, the last version of a document, meets it.
    pub(crate) fn holds(self, last: Option<&DocumentVersion>) -> bool {
        let current = last.filter(|last| last.text.is_some());
        match self {
            Self::Absent => current.is_none(),
            Self::Present => current.is_some(),
            Self::Version(version) => current.is_some_and(|current| current.version == version),
        }
    }
}

/// A change of one document.
#[derive(Clone, Debug)]
pub struct DocumentChange {
    /// `profile` or `collection`.
    pub kind: &'static str,
    /// What it is called.
    pub name: String,
    /// Its new text; `None` to delete it.
    pub text: Option<String>,
    /// The author of the change.
    pub account: String,
    /// The precondition.
    pub precondition: Precondition,
}

/// Bounds of the documents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DocumentBounds {
    /// Most documents.
    pub documents: u64,
    /// Most bytes of all documents together.
    pub bytes: u64,
    /// Most versions of one document; older ones are removed.
    pub versions: u64,
    /// Most names of deleted documents; those deleted longest ago are removed, with all their
    /// versions.
    pub deleted: u64,
}

/// The result of a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DocumentOutcome {
    /// It was made: this is the new version.
    Changed(DocumentVersion),
    /// It was not, since the precondition does not hold: this is the document.
    Otherwise(Option<DocumentVersion>),
    /// It was not, since there would be too many documents, or too many bytes of them.
    Full,
}

/// Documents that came through the API.
pub(crate) trait DocumentRecords: Send + Sync {
    /// All documents, by kind and name.
    fn documents(&self) -> Answer<'_, Vec<DocumentVersion>>;

    /// A version of a document; without a number its last.
    fn document(
        &self,
        kind: &str,
        name: &str,
        version: Option<u64>,
    ) -> Answer<'_, Option<DocumentVersion>>;

    /// The versions of a document that are kept, newest first, without their texts but with `""`
    /// for one that has a text.
    fn document_history(&self, kind: &str, name: &str) -> Answer<'_, Vec<DocumentVersion>>;

    /// Changes a document, durably.
    fn change_document(
        &self,
        change: DocumentChange,
        bounds: DocumentBounds,
    ) -> Answer<'_, DocumentOutcome>;
}
