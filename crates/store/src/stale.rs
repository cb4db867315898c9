//! The part of garbage collection that removes derived manifests which nobody can be served any
//! more: what they were made from is gone, or their record fell out of its bound. What they were
//! made from only whoever derived them can read, and tells. A derived manifest stays while anything
//! refers to it: a tag, an index, a referrer.
//!
//! Works in pages: memory does not grow with the number of manifests.

use std::collections::HashMap;

use metahub_oci::{Digest, RepositoryName};
use sqlx::{Executor, Sqlite};

use crate::StoreError;
use crate::gc::Gc;
use crate::records::Kind;
use crate::records::Origin;
use crate::records::sqlite::encoding::{digest_from_bytes, digest_to_bytes};
use crate::records::sqlite::manifests;
use crate::records::sqlite::writer::{Durability, Transaction};

/// Rows that are looked at, and removed, at once.
const PAGE: i64 = 200;
/// Sources of which it is remembered whether they are held, at most.
const MOST_KNOWN: usize = 4096;

/// A manifest that was computed, with what is known of how.
#[derive(Clone, Debug)]
pub struct DerivedManifest {
    /// The repository that holds it.
    pub repository: RepositoryName,
    /// The manifest or index.
    pub digest: Digest,
    /// The images that it was made from, as whoever derived it wrote them down.
    pub source: Option<String>,
}

/// Tells the manifests that a derived one was made from. Once one of them is held nowhere, the
/// derived one can go. None: it stays as long as its record does.
pub type MadeFrom = fn(&DerivedManifest) -> Vec<Digest>;

/// A derived manifest to which nothing but a record refers.
struct Candidate {
    repository_id: i64,
    manifest_id: i64,
    derived: DerivedManifest,
    /// Whether a record leads to it.
    recorded: bool,
}

/// Where a page begins: after this repository and manifest.
type After = (i64, i64);

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
    /// Removes derived manifests that nobody can be served any more; how many.
    pub(crate) async fn derived(&self, made_from: MadeFrom) -> Result<u64, StoreError> {
        if self.dry_run {
            return self.count_derived(made_from).await;
        }
        let mut removed = 0;
        // What an index refers to can go once the index went: over and over, until nothing does.
        loop {
            let before = removed;
            let mut after = Some(After::default());
            while let Some(from) = after {
                let (gone, next) = self.derived_page(from, made_from).await?;
                removed += gone;
                after = next;
            }
            if removed == before {
                return Ok(removed);
            }
        }
    }

    /// Looks at one page, and removes what can go of it; how many, and where the next page begins.
    async fn derived_page(
        &self,
        after: After,
        made_from: MadeFrom,
    ) -> Result<(u64, Option<After>), StoreError> {
        let database = &self.store.inner.database;
        let cutoff = self.cutoff_millis;
        let rows = page(&database.readers, after, cutoff)
            .await
            .map_err(|error| self.error(error))?;
        let Some(next) = rows.last().map(|row| (row.0, row.1)) else {
            return Ok((0, None));
        };
        let mut candidates = Vec::with_capacity(rows.len());
        for row in rows {
            let candidate = candidate(row).ok_or_else(|| database.corrupt("a derived manifest"))?;
            // Most are in use: they are passed over without asking the writer.
            let sources = made_from(&candidate.derived);
            if candidate.recorded && self.all_held(&sources, candidate.repository_id).await? {
                continue;
            }
            candidates.push(candidate);
        }
        if candidates.is_empty() {
            return Ok((0, Some(next)));
        }
        // Nobody is in the middle of storing what refers to what goes.
        let _alone = self.store.inner.deriving.write().await;
        let removed = database
            .writer
            .write(Durability::Full, move |transaction| {
                Box::pin(remove(transaction, candidates, cutoff, made_from))
            })
            .await?;
        Ok((removed, Some(next)))
    }

    async fn all_held(&self, sources: &[Digest], repository_id: i64) -> Result<bool, StoreError> {
        for digest in sources {
            let known = self
                .held
                .lock()
                .get(&(repository_id, digest.clone()))
                .copied();
            let held = match known {
                Some(held) => held,
                None => {
                    let readers = &self.store.inner.database.readers;
                    let held = is_held(readers, digest, repository_id)
                        .await
                        .map_err(|error| self.error(error))?;
                    let mut known = self.held.lock();
                    if known.len() >= MOST_KNOWN {
                        known.clear();
                    }
                    known.insert((repository_id, digest.clone()), held);
                    held
                }
            };
            if !held {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// How many would go: they are removed in one transaction, which is then undone.
    async fn count_derived(&self, made_from: MadeFrom) -> Result<u64, StoreError> {
        let cutoff = self.cutoff_millis;
        let writer = &self.store.inner.database.writer;
        let counted = writer.write(Durability::Full, move |transaction| {
            Box::pin(async move {
                let (mut removed, mut before, mut after) = (0, 0, After::default());
                let noted = transaction.noted();
                loop {
                    let result = page(&mut transaction.connection, after, cutoff).await;
                    let rows = result.map_err(|error| transaction.error(error))?;
                    let Some(next) = rows.last().map(|row| (row.0, row.1)) else {
                        if removed == before {
                            return Err::<(), _>(Undone::Counted(removed));
                        }
                        (before, after) = (removed, After::default());
                        continue;
                    };
                    after = next;
                    let candidates = rows.into_iter().filter_map(candidate).collect();
                    removed += remove(transaction, candidates, cutoff, made_from).await?;
                    // Nothing changes in the end, so nothing has to be forgotten.
                    transaction.forget_noted(noted);
                }
            })
        });
        match counted.await {
            Err(Undone::Failed(error)) => Err(error),
            Err(Undone::Counted(removed)) => Ok(removed),
            Ok(()) => Ok(0),
        }
    }
}

/// What was found held or not, by repository and digest.
pub(crate) type Held = HashMap<(i64, Digest), bool>;

/// A row of a page: repository, manifest, the repository's name, the manifest's digest and source,
/// and whether a record leads to it.
type Row = (i64, i64, String, Vec<u8>, Option<String>, bool);

/// Derived manifests that are old enough and that no tag, index or referrer refers to.
async fn page<'e>(
    executor: impl Executor<'e, Database = Sqlite>,
    after: After,
    cutoff: i64,
) -> Result<Vec<Row>, sqlx::Error> {
    sqlx::query_as(
        "SELECT h.repository_id, h.manifest_id, r.name, m.digest, h.source,
                EXISTS (SELECT 1 FROM derived d
                        WHERE d.repository_id = h.repository_id AND d.manifest_id = h.manifest_id)
         FROM repo_manifests h JOIN repositories r ON r.id = h.repository_id
         JOIN manifests m ON m.id = h.manifest_id
         WHERE (h.repository_id, h.manifest_id) > ($1, $2) AND h.origin = $3
           AND max(h.pushed_at, h.used_at) <= $4
           AND NOT EXISTS (SELECT 1 FROM tags t
                           WHERE t.repository_id = h.repository_id
                             AND t.manifest_id = h.manifest_id)
           AND NOT EXISTS (SELECT 1 FROM refs f
                           JOIN repo_manifests o ON o.manifest_id = f.manifest_id
                           WHERE f.digest = m.digest AND f.kind IN ($5, $6)
                             AND o.repository_id = h.repository_id)
         ORDER BY h.repository_id, h.manifest_id LIMIT $7",
    )
    .bind(after.0)
    .bind(after.1)
    .bind(Origin::Derived.number())
    .bind(cutoff)
    .bind(Kind::Child.number())
    .bind(Kind::Subject.number())
    .bind(PAGE)
    .fetch_all(executor)
    .await
}

fn candidate(row: Row) -> Option<Candidate> {
    let (repository_id, manifest_id, name, digest, source, recorded) = row;
    Some(Candidate {
        repository_id,
        manifest_id,
        derived: DerivedManifest {
            repository: name.parse().ok()?,
            digest: digest_from_bytes(&digest)?,
            source,
        },
        recorded,
    })
}

/// Whether a source is held somewhere. A copy of it that was itself derived here keeps nothing
/// alive.
async fn is_held<'e>(
    executor: impl Executor<'e, Database = Sqlite>,
    digest: &Digest,
    repository_id: i64,
) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar(
        "SELECT EXISTS (
             SELECT 1 FROM manifests m JOIN repo_manifests h ON h.manifest_id = m.id
             WHERE m.digest = $1 AND (h.origin <> $2 OR h.repository_id <> $3))",
    )
    .bind(digest_to_bytes(digest))
    .bind(Origin::Derived.number())
    .bind(repository_id)
    .fetch_one(executor)
    .await
}

/// Removes those of `candidates` that can go, as the transaction sees them; how many.
async fn remove(
    transaction: &mut Transaction,
    candidates: Vec<Candidate>,
    cutoff: i64,
    made_from: MadeFrom,
) -> Result<u64, StoreError> {
    let mut removed = 0;
    for candidate in candidates {
        if !can_go(transaction, &candidate, cutoff, made_from).await? {
            continue;
        }
        let DerivedManifest {
            repository, digest, ..
        } = candidate.derived;
        removed += u64::from(manifests::delete(transaction, repository, digest).await?);
    }
    Ok(removed)
}

async fn can_go(
    transaction: &mut Transaction,
    candidate: &Candidate,
    cutoff: i64,
    made_from: MadeFrom,
) -> Result<bool, StoreError> {
    let result = sqlx::query_as(
        "SELECT EXISTS (SELECT 1 FROM derived d
                        WHERE d.repository_id = $1 AND d.manifest_id = $2),
                EXISTS (SELECT 1 FROM repo_manifests h
             WHERE h.repository_id = $1 AND h.manifest_id = $2 AND h.origin = $3
               AND max(h.pushed_at, h.used_at) <= $4
               AND NOT EXISTS (SELECT 1 FROM tags t
                               WHERE t.repository_id = $1 AND t.manifest_id = $2)
               AND NOT EXISTS (SELECT 1 FROM refs f
                               JOIN repo_manifests o ON o.manifest_id = f.manifest_id
                               WHERE f.digest = $5 AND f.kind IN ($6, $7)
                                 AND o.repository_id = $1))",
    )
    .bind(candidate.repository_id)
    .bind(candidate.manifest_id)
    .bind(Origin::Derived.number())
    .bind(cutoff)
    .bind(digest_to_bytes(&candidate.derived.digest))
    .bind(Kind::Child.number())
    .bind(Kind::Subject.number())
    .fetch_one(&mut transaction.connection)
    .await;
    let (recorded, free): (bool, bool) = result.map_err(|error| transaction.error(error))?;
    if !free || !recorded {
        return Ok(free);
    }
    for source in made_from(&candidate.derived) {
        let held = is_held(
            &mut transaction.connection,
            &source,
            candidate.repository_id,
        )
        .await;
        if !held.map_err(|error| transaction.error(error))? {
            return Ok(true);
        }
    }
    // It was pushed again meanwhile.
    Ok(false)
}
