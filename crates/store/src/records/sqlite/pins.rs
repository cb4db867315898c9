//! Pins.

use metahub_oci::{Digest, RepositoryName};

use super::encoding::{digest_from_bytes, time_from_millis};
use super::transaction::{Durability, Transaction};
use super::{SqliteRecords, manifest_rows};
use crate::StoreError;
use crate::records::{Answer, Pin, PinRecords, Pinning};

statements! {
    ADD =
        "INSERT INTO pins (repository_id, manifest_id, pinned_at)
         SELECT $1, $2, $3 WHERE (SELECT count(*) FROM pins) < $4";
    IS_PINNED = "SELECT EXISTS (SELECT 1 FROM pins WHERE repository_id = $1 AND manifest_id = $2)";
    REMOVE = "DELETE FROM pins WHERE repository_id = $1 AND manifest_id = $2";
    ALL =
        "SELECT r.name, m.digest, p.pinned_at FROM pins p
         JOIN repositories r ON r.id = p.repository_id
         JOIN manifests m ON m.id = p.manifest_id
         ORDER BY r.name, m.digest";
}

impl PinRecords for SqliteRecords {
    fn pin(&self, repository: &RepositoryName, digest: &Digest, most: u64) -> Answer<'_, Pinning> {
        let (repository, digest) = (repository.clone(), digest.clone());
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        self.write(Durability::Full, move |transaction| {
            Box::pin(add(transaction, repository, digest, most))
        })
    }

    fn unpin(&self, repository: &RepositoryName, digest: &Digest) -> Answer<'_, bool> {
        let (repository, digest) = (repository.clone(), digest.clone());
        self.write(Durability::Full, move |transaction| {
            Box::pin(async move {
                let rows = manifest_rows::find(transaction, &repository, &digest).await?;
                let Some((repository_id, manifest_id)) = rows else {
                    return Ok(false);
                };
                let result = sqlx::query(REMOVE)
                    .bind(repository_id)
                    .bind(manifest_id)
                    .execute(&mut transaction.connection)
                    .await;
                let removed = result.map_err(|error| transaction.error(error))?;
                Ok::<_, StoreError>(removed.rows_affected() > 0)
            })
        })
    }

    fn pins(&self) -> Answer<'_, Vec<Pin>> {
        Box::pin(async move {
            let query = sqlx::query_as(ALL);
            let rows: Vec<(String, Vec<u8>, i64)> =
                self.read(query.fetch_all(&self.readers)).await?;
            let pin = |(name, digest, pinned_at): (String, Vec<u8>, i64)| {
                let corrupt = || self.corrupt(format!("a pin in '{name}'"));
                Ok(Pin {
                    digest: digest_from_bytes(&digest).ok_or_else(corrupt)?,
                    repository: name.parse().map_err(|_| corrupt())?,
                    pinned_at: time_from_millis(pinned_at),
                })
            };
            rows.into_iter().map(pin).collect()
        })
    }
}

async fn add(
    transaction: &mut Transaction,
    repository: RepositoryName,
    digest: Digest,
    most: i64,
) -> Result<Pinning, StoreError> {
    let rows = manifest_rows::find(transaction, &repository, &digest).await?;
    let Some((repository_id, manifest_id)) = rows else {
        return Ok(Pinning::Absent);
    };
    let result = sqlx::query_scalar(IS_PINNED)
        .bind(repository_id)
        .bind(manifest_id)
        .fetch_one(&mut transaction.connection)
        .await;
    if result.map_err(|error| transaction.error(error))? {
        return Ok(Pinning::Done);
    }
    let result = sqlx::query(ADD)
        .bind(repository_id)
        .bind(manifest_id)
        .bind(transaction.now())
        .bind(most)
        .execute(&mut transaction.connection)
        .await;
    let added = result.map_err(|error| transaction.error(error))?;
    Ok(if added.rows_affected() > 0 {
        Pinning::Done
    } else {
        Pinning::Full
    })
}
