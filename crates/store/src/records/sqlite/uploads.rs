//! Uploads in progress.

use metahub_oci::RepositoryName;

use super::SqliteRecords;
use super::transaction::{Durability, Transaction};
use crate::StoreError;
use crate::records::{Answer, UploadRecords};
use crate::uploads::upload_id::UploadId;

statements! {
    BEGIN = "INSERT INTO uploads (id, repository, created_at) VALUES ($1, $2, $3)";
    REPOSITORY = "SELECT repository FROM uploads WHERE id = $1";
    ALL = "SELECT id FROM uploads ORDER BY id";
    REMOVE = "DELETE FROM uploads WHERE id = $1";
}

impl UploadRecords for SqliteRecords {
    fn begin_upload(&self, id: &UploadId, repository: &RepositoryName) -> Answer<'_, ()> {
        let (id, repository) = (id.clone(), repository.clone());
        self.write(Durability::Relaxed, move |transaction| {
            Box::pin(async move {
                let result = sqlx::query(BEGIN)
                    .bind(id.as_str())
                    .bind(repository.as_str())
                    .bind(transaction.now())
                    .execute(&mut transaction.connection)
                    .await;
                result.map(drop).map_err(|error| transaction.error(error))
            })
        })
    }

    fn upload(&self, id: &UploadId) -> Answer<'_, Option<RepositoryName>> {
        let query = sqlx::query_scalar(REPOSITORY).bind(id.to_string());
        Box::pin(async move {
            let name: Option<String> = self.read(query.fetch_optional(&self.readers)).await?;
            Ok(name.and_then(|name| name.parse().ok()))
        })
    }

    fn uploads(&self) -> Answer<'_, Vec<UploadId>> {
        Box::pin(async move {
            let query = sqlx::query_scalar(ALL);
            let ids: Vec<String> = self.read(query.fetch_all(&self.readers)).await?;
            Ok(ids.iter().filter_map(|id| id.parse().ok()).collect())
        })
    }

    fn end_upload(&self, id: &UploadId) -> Answer<'_, ()> {
        let id = id.clone();
        self.write(Durability::Relaxed, move |transaction| {
            Box::pin(async move { remove(transaction, &id).await })
        })
    }
}

/// Removes an upload's row.
pub(super) async fn remove(transaction: &mut Transaction, id: &UploadId) -> Result<(), StoreError> {
    let result = sqlx::query(REMOVE)
        .bind(id.as_str())
        .execute(&mut transaction.connection)
        .await;
    result.map(drop).map_err(|error| transaction.error(error))
}
