//! The rows of derived records that others count and remove.

use super::encoding::digest_from_bytes;
use super::writer::Transaction;
use crate::StoreError;
use crate::records::{Change, DerivedTotal};

/// Reads how much is recorded.
pub(super) const TOTAL: &str = "SELECT records, bytes FROM derived_total";

statements! {
    TOTAL_NOW = TOTAL;
    DELETE_OF = "DELETE FROM derived WHERE repository_id = $1 AND manifest_id = $2 RETURNING key";
}

/// A total as it is read.
pub(super) fn total_of((records, bytes): (i64, i64)) -> DerivedTotal {
    DerivedTotal {
        records: u64::try_from(records).unwrap_or(0),
        bytes: u64::try_from(bytes).unwrap_or(0),
    }
}

/// How much is recorded, as a transaction sees it.
pub(super) async fn total(transaction: &mut Transaction) -> Result<DerivedTotal, StoreError> {
    let result = sqlx::query_as(TOTAL_NOW)
        .fetch_one(&mut transaction.connection)
        .await;
    result
        .map(total_of)
        .map_err(|error| transaction.error(error))
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
