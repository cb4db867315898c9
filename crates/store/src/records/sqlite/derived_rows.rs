//! The rows of derived records that others count and remove.

use super::encoding::digest_from_bytes;
use super::transaction::Transaction;
use crate::StoreError;
use crate::records::{Change, DerivedTotal};

statements! {
    TOTAL = "SELECT records, bytes FROM derived_total";
    DELETE_OF = "DELETE FROM derived WHERE repository_id = $1 AND manifest_id = $2 RETURNING key";
}

/// How much is recorded.
pub(super) async fn total<'e>(
    executor: impl sqlx::SqliteExecutor<'e>,
) -> Result<DerivedTotal, sqlx::Error> {
    let (records, bytes): (i64, i64) = sqlx::query_as(TOTAL).fetch_one(executor).await?;
    Ok(DerivedTotal {
        records: u64::try_from(records).unwrap_or(0),
        bytes: u64::try_from(bytes).unwrap_or(0),
    })
}

/// Removes the records that lead to a manifest that leaves its repository.
pub(super) async fn delete_of(
    transaction: &mut Transaction,
    repository_id: i64,
    manifest_id: i64,
) -> Result<(), StoreError> {
    let result = sqlx::query_scalar(DELETE_OF)
        .bind(repository_id)
        .bind(manifest_id)
        .fetch_all(&mut transaction.connection)
        .await;
    let keys: Vec<Vec<u8>> = result.map_err(|error| transaction.error(error))?;
    for key in keys {
        if let Some(key) = digest_from_bytes(&key) {
            transaction.changed(Change::Derived(key));
        }
    }
    Ok(())
}
