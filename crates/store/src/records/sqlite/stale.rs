//! Derived manifests that cannot be served any more: their source is gone, or no record leads to
//! them.

use std::convert::Infallible;

use sqlx::{Executor, Sqlite};

use super::encoding::{digest_from_bytes, digest_to_bytes};
use super::manifests::delete;
use super::transaction::Transaction;
use crate::StoreError;
use crate::records::{Batch, Cursor, Derived};

/// Rows that are counted at once.
const PAGE: u32 = 200;

/// Whether nothing in its repository refers to the derived manifest `h`, with the body `m`: no tag,
/// no pin, no index, no referrer but those that were made with it.
macro_rules! unreferenced {
    () => {
        "NOT EXISTS (SELECT 1 FROM tags t
                     WHERE t.repository_id = h.repository_id AND t.manifest_id = h.manifest_id)
         AND NOT EXISTS (SELECT 1 FROM pins p
                     WHERE p.repository_id = h.repository_id AND p.manifest_id = h.manifest_id)
         AND NOT EXISTS (SELECT 1 FROM child_refs f
                         CROSS JOIN repo_manifests o ON o.manifest_id = f.manifest_id
                             AND o.repository_id = h.repository_id
                         WHERE f.digest = m.digest)
         AND NOT EXISTS (SELECT 1 FROM manifests s
                         CROSS JOIN original_manifests o ON o.manifest_id = s.id
                             AND o.repository_id = h.repository_id
                         WHERE s.subject = m.digest)"
    };
}
pub(super) use unreferenced;

/// Whether the derived manifest `h`, with the body `m`, is stale at the cut-off `$1`.
macro_rules! stale {
    () => {
        concat!(
            "max(h.pushed_at, h.used_at) <= $1 AND ",
            unreferenced!(),
            " AND NOT EXISTS (SELECT 1 FROM manifests x
                              CROSS JOIN repo_manifests o ON o.manifest_id = x.id
                                  AND o.repository_id = h.repository_id
                              WHERE x.digest = m.subject)
              AND (NOT EXISTS (SELECT 1 FROM derived d WHERE d.repository_id = h.repository_id
                                 AND d.manifest_id = h.manifest_id)
                 OR EXISTS (SELECT 1 FROM sources s WHERE s.repository_id = h.repository_id
                     AND s.manifest_id = h.manifest_id AND s.digest IS NOT NULL
                     AND NOT EXISTS (SELECT 1 FROM manifests x
                         JOIN repo_manifests o ON o.manifest_id = x.id
                         WHERE x.digest = s.digest AND o.repository_id <> h.repository_id)
                     AND NOT EXISTS (SELECT 1 FROM manifests x
                         JOIN original_manifests o ON o.manifest_id = x.id
                         WHERE x.digest = s.digest)))"
        )
    };
}

statements! {
    BATCH = concat!(
        "SELECT h.repository_id, h.manifest_id, r.name, m.digest
         FROM derived_manifests h JOIN repositories r ON r.id = h.repository_id
         JOIN manifests m ON m.id = h.manifest_id
         WHERE (h.repository_id, h.manifest_id) > ($2, $3) AND ",
        stale!(),
        " ORDER BY h.repository_id, h.manifest_id LIMIT $4"
    );
    IS_STALE = concat!(
        "SELECT EXISTS (SELECT 1 FROM derived_manifests h
             JOIN manifests m ON m.id = h.manifest_id
             WHERE h.repository_id = (SELECT id FROM repositories WHERE name = $2)
               AND m.digest = $3 AND ",
        stale!(),
        ")"
    );
}

/// Why a transaction that only counts ends without a trace.
pub(super) enum Undone {
    Counted(u64),
    Failed(StoreError),
}

impl From<StoreError> for Undone {
    fn from(error: StoreError) -> Self {
        Self::Failed(error)
    }
}

/// The rows of repository and manifest, the repository's name and the manifest's digest.
type Row = (i64, i64, String, Vec<u8>);

pub(super) async fn batch<'e>(
    executor: impl Executor<'e, Database = Sqlite>,
    after: Cursor,
    cutoff: i64,
    limit: u32,
) -> Result<Vec<Row>, sqlx::Error> {
    sqlx::query_as(BATCH)
        .bind(cutoff)
        .bind(after.0[0])
        .bind(after.0[1])
        .bind(limit)
        .fetch_all(executor)
        .await
}

/// `None` if a row is none that this program writes.
pub(super) fn parse(rows: Vec<Row>) -> Option<Batch<Derived>> {
    let next = rows.last().map(|row| Cursor([row.0, row.1]));
    let items = rows.into_iter().map(|(_, _, name, digest)| {
        Some(Derived {
            repository: name.parse().ok()?,
            digest: digest_from_bytes(&digest)?,
        })
    });
    let items = items.collect::<Option<_>>()?;
    Some(Batch { items, next })
}

/// Removes those of `candidates` that are stale, as the transaction sees them; how many.
pub(super) async fn remove(
    transaction: &mut Transaction,
    candidates: Vec<Derived>,
    cutoff: i64,
) -> Result<u64, StoreError> {
    let mut removed = 0;
    for Derived { repository, digest } in candidates {
        let result = sqlx::query_scalar(IS_STALE)
            .bind(cutoff)
            .bind(repository.as_str())
            .bind(digest_to_bytes(&digest))
            .fetch_one(&mut transaction.connection)
            .await;
        let is_stale: bool = result.map_err(|error| transaction.error(error))?;
        if is_stale {
            removed += u64::from(delete(transaction, repository, digest).await?);
        }
    }
    Ok(removed)
}

/// Removes all over and over, until there is nothing more to remove; the transaction is then
/// undone.
pub(super) async fn count(
    transaction: &mut Transaction,
    cutoff: i64,
) -> Result<Infallible, Undone> {
    let noted = transaction.noted();
    let mut removed = 0;
    loop {
        let result = batch(&mut transaction.connection, Cursor::default(), cutoff, PAGE).await;
        let rows = result.map_err(|error| transaction.error(error))?;
        let found = parse(rows).ok_or_else(|| transaction.corrupt("a derived manifest"))?;
        let gone = remove(transaction, found.items, cutoff).await?;
        // Nothing changes in the end, so nothing has to be forgotten.
        transaction.forget_noted(noted);
        if gone == 0 {
            return Err(Undone::Counted(removed));
        }
        removed += gone;
    }
}
