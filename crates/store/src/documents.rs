//! Documents that were pushed through the API, with their former versions.

use crate::StoreError;
use crate::records::{DocumentBounds, DocumentChange, DocumentOutcome, DocumentVersion};
use crate::store::Store;

impl Store {
    /// All documents, by kind and name.
    pub async fn documents(&self) -> Result<Vec<DocumentVersion>, StoreError> {
        self.inner.records.documents().await
    }

    /// A version of a document; without a number its last, which may be a deletion.
    pub async fn document(
        &self,
        kind: &str,
        name: &str,
        version: Option<u64>,
    ) -> Result<Option<DocumentVersion>, StoreError> {
        self.inner.records.document(kind, name, version).await
    }

    /// The stored versions of a document, newest first, with `""` for their texts.
    pub async fn document_history(
        &self,
        kind: &str,
        name: &str,
    ) -> Result<Vec<DocumentVersion>, StoreError> {
        self.inner.records.document_history(kind, name).await
    }

    /// Changes a document, durably, if its precondition is met and there is room.
    pub async fn change_document(
        &self,
        change: DocumentChange,
        bounds: DocumentBounds,
    ) -> Result<DocumentOutcome, StoreError> {
        self.inner.records.change_document(change, bounds).await
    }
}
