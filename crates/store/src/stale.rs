//! The part of garbage collection that removes derived manifests which can never be asked for by
//! tag again: what they were made from is gone. What that was only whoever derived them can read,
//! and tells. A derived manifest stays while anything refers to it: a tag, an index, a referrer.

use std::collections::HashMap;

use metahub_oci::{Digest, RepositoryName};
use serde_json::Value;

use crate::encoding::{digest_from_bytes, digest_to_bytes};
use crate::gc::Gc;
use crate::manifest::{self, Origin};
use crate::writer::{Durability, Transaction};
use crate::{StoreError, references::Kind};

/// Rows that are looked at, or removed, at once.
const BATCH: usize = 200;

/// A manifest that was computed, with what is known of how.
#[derive(Clone, Debug)]
pub struct DerivedManifest {
    /// The repository that holds it.
    pub repository: RepositoryName,
    /// The manifest or index.
    pub digest: Digest,
    /// The images that it was made from, as whoever derived it wrote them down.
    pub source: Option<String>,
    /// The records that lead to it, as whoever derived it wrote them down.
    pub records: Vec<Value>,
}

/// Tells the manifests that a derived one was made from. Once one of them is held nowhere, the
/// derived one can go. None: it stays.
pub type MadeFrom = dyn Fn(&DerivedManifest) -> Vec<Digest> + Send + Sync;

/// A derived manifest one of whose sources was gone when it was looked at.
#[derive(Clone, Debug)]
struct Stale {
    repository_id: i64,
    manifest_id: i64,
    repository: RepositoryName,
    digest: Digest,
    made_from: Vec<Digest>,
}

/// Why a transaction that only counts ends without a trace.
enum Undone {
    Counted(u64),
    Failed(StoreError),
}

impl From<StoreError> for Undone {
    fn from(error: StoreError) -> Self {
        Self::Failed(error)
    }
}

impl Gc<'_> {
    /// Removes derived manifests whose sources are gone; how many.
    pub(crate) async fn derived(&self, made_from: &MadeFrom) -> Result<u64, StoreError> {
        let mut stale = self.stale(made_from).await?;
        let mut removed = 0;
        // What an index refers to can go once the index went: over and over, until nothing does.
        loop {
            let (before, mut rest) = (removed, Vec::new());
            for batch in stale.chunks(if self.dry_run { usize::MAX } else { BATCH }) {
                let (gone, stay) = self.remove_stale(batch.to_vec()).await?;
                removed += gone;
                rest.extend(stay);
            }
            if self.dry_run || removed == before {
                return Ok(removed);
            }
            stale = rest;
        }
    }

    /// Removes those that nothing refers to; how many, and the others.
    async fn remove_stale(&self, batch: Vec<Stale>) -> Result<(u64, Vec<Stale>), StoreError> {
        let cutoff = self.cutoff_millis;
        let writer = &self.store.inner.database.writer;
        if self.dry_run {
            // In one transaction, which is then undone.
            let counted = writer.write(Durability::Full, move |transaction| {
                Box::pin(async move {
                    let mut removed = 0;
                    let mut stale = batch;
                    loop {
                        let (gone, stay) = remove(transaction, stale, cutoff).await?;
                        removed += gone;
                        if gone == 0 {
                            return Err::<(), _>(Undone::Counted(removed));
                        }
                        stale = stay;
                    }
                })
            });
            return match counted.await {
                Err(Undone::Failed(error)) => Err(error),
                Err(Undone::Counted(removed)) => Ok((removed, Vec::new())),
                Ok(()) => Ok((0, Vec::new())),
            };
        }
        writer
            .write(Durability::Full, move |transaction| {
                Box::pin(remove(transaction, batch, cutoff))
            })
            .await
    }

    /// The derived manifests that are old enough and miss a source.
    async fn stale(&self, made_from: &MadeFrom) -> Result<Vec<Stale>, StoreError> {
        let mut held = HashMap::new();
        let mut stale = Vec::new();
        let mut after = (0, 0);
        loop {
            let found = self.derived_after(after).await?;
            let Some((last, _)) = found.last() else {
                return Ok(stale);
            };
            after = *last;
            for ((repository_id, manifest_id), derived) in found {
                let sources = made_from(&derived);
                if self.all_held(&sources, repository_id, &mut held).await? {
                    continue;
                }
                stale.push(Stale {
                    repository_id,
                    manifest_id,
                    repository: derived.repository,
                    digest: derived.digest,
                    made_from: sources,
                });
            }
        }
    }

    async fn derived_after(
        &self,
        after: (i64, i64),
    ) -> Result<Vec<((i64, i64), DerivedManifest)>, StoreError> {
        type Row = (i64, i64, String, Vec<u8>, Option<String>, Option<String>);
        let rows: Vec<Row> = sqlx::query_as(
            "SELECT h.repository_id, h.manifest_id, r.name, m.digest, h.source,
                    (SELECT json_group_array(json(d.record)) FROM derived d
                     WHERE d.repository_id = h.repository_id AND d.manifest_id = h.manifest_id)
             FROM repo_manifests h JOIN repositories r ON r.id = h.repository_id
             JOIN manifests m ON m.id = h.manifest_id
             WHERE (h.repository_id, h.manifest_id) > ($1, $2) AND h.origin = $3
               AND h.pushed_at <= $4
             ORDER BY h.repository_id, h.manifest_id LIMIT $5",
        )
        .bind(after.0)
        .bind(after.1)
        .bind(Origin::Derived.number())
        .bind(self.cutoff_millis)
        .bind(i64::try_from(BATCH).unwrap_or(i64::MAX))
        .fetch_all(&self.store.inner.database.readers)
        .await
        .map_err(|error| self.error(error))?;
        let database = &self.store.inner.database;
        rows.into_iter()
            .map(
                |(repository_id, manifest_id, name, digest, source, records)| {
                    let corrupt = || database.corrupt(format!("derived manifest {manifest_id}"));
                    let records = records.unwrap_or_else(|| "[]".to_owned());
                    let derived = DerivedManifest {
                        repository: name.parse().map_err(|_| corrupt())?,
                        digest: digest_from_bytes(&digest).ok_or_else(corrupt)?,
                        source,
                        records: serde_json::from_str(&records).map_err(|_| corrupt())?,
                    };
                    Ok(((repository_id, manifest_id), derived))
                },
            )
            .collect()
    }

    /// Whether each of `sources` is held somewhere.
    async fn all_held(
        &self,
        sources: &[Digest],
        repository_id: i64,
        known: &mut HashMap<(i64, Digest), bool>,
    ) -> Result<bool, StoreError> {
        for digest in sources {
            let key = (repository_id, digest.clone());
            let held = match known.get(&key) {
                Some(held) => *held,
                None => {
                    let held = sqlx::query_scalar(HELD)
                        .bind(digest_to_bytes(digest))
                        .bind(Origin::Derived.number())
                        .bind(repository_id)
                        .fetch_one(&self.store.inner.database.readers)
                        .await
                        .map_err(|error| self.error(error))?;
                    known.insert(key, held);
                    held
                }
            };
            if !held {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// A copy of a source that was itself derived here keeps nothing alive.
const HELD: &str = "SELECT EXISTS (
    SELECT 1 FROM manifests m JOIN repo_manifests h ON h.manifest_id = m.id
    WHERE m.digest = $1 AND (h.origin <> $2 OR h.repository_id <> $3))";

/// Removes those of `batch` that are still stale and that nothing refers to.
async fn remove(
    transaction: &mut Transaction,
    batch: Vec<Stale>,
    cutoff: i64,
) -> Result<(u64, Vec<Stale>), StoreError> {
    let (mut removed, mut stay) = (0, Vec::new());
    for stale in batch {
        if !is_needed(transaction, &stale, cutoff).await?
            && manifest::delete(transaction, stale.repository.clone(), stale.digest.clone()).await?
        {
            removed += 1;
        } else {
            stay.push(stale);
        }
    }
    Ok((removed, stay))
}

async fn is_needed(
    transaction: &mut Transaction,
    stale: &Stale,
    cutoff: i64,
) -> Result<bool, StoreError> {
    let result = sqlx::query_scalar(
        "SELECT EXISTS (SELECT 1 FROM repo_manifests h
             WHERE h.repository_id = $1 AND h.manifest_id = $2 AND h.origin = $3
               AND h.pushed_at <= $4
               AND NOT EXISTS (SELECT 1 FROM tags t
                               WHERE t.repository_id = $1 AND t.manifest_id = $2)
               AND NOT EXISTS (SELECT 1 FROM refs f
                               JOIN repo_manifests o ON o.manifest_id = f.manifest_id
                               WHERE f.digest = $5 AND f.kind IN ($6, $7)
                                 AND o.repository_id = $1))",
    )
    .bind(stale.repository_id)
    .bind(stale.manifest_id)
    .bind(Origin::Derived.number())
    .bind(cutoff)
    .bind(digest_to_bytes(&stale.digest))
    .bind(Kind::Child.number())
    .bind(Kind::Subject.number())
    .fetch_one(&mut transaction.connection)
    .await;
    let free: bool = result.map_err(|error| transaction.error(error))?;
    if !free {
        return Ok(true);
    }
    for source in &stale.made_from {
        let result = sqlx::query_scalar(HELD)
            .bind(digest_to_bytes(source))
            .bind(Origin::Derived.number())
            .bind(stale.repository_id)
            .fetch_one(&mut transaction.connection)
            .await;
        let held: bool = result.map_err(|error| transaction.error(error))?;
        if !held {
            return Ok(false);
        }
    }
    // It was pushed again meanwhile.
    Ok(true)
}
