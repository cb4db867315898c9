//! Storing a manifest: its body, what it refers to and its tags become visible in one commit.

use std::collections::{BTreeSet, HashMap};
use std::time::SystemTime;

use metahub_oci::{Digest, Document, RepositoryName, Tag};
use serde_json::Value;
use sqlx::{QueryBuilder, Sqlite};

use crate::StoreError;
use crate::cache::Change;
use crate::encoding::{digest_from_bytes, digest_to_bytes, now};
use crate::manifest::Origin;
use crate::references::{self, Kind, Reference};
use crate::store::Store;
use crate::tag::{self, TagRecord};
use crate::writer::{Durability, Transaction};
use crate::{ownership, repository};

/// Values of one statement; SQLite takes 32,766 parameters at most.
const CHUNK: usize = 500;

/// How a manifest is to be stored.
#[derive(Clone, Debug)]
pub struct PutManifest {
    /// Tags that name it from now on.
    pub tags: Vec<Tag>,
    /// Those of `tags` that must not be taken from another manifest: immutable tags.
    pub fixed: Vec<Tag>,
    /// How it came here.
    pub origin: Origin,
    /// The account that pushes it: its name stands beside a name that this push makes local.
    pub account: Option<String>,
    /// The image that it was read from, if it came from elsewhere.
    pub source: Option<String>,
    /// What the upstream gave to ask again for the tags with.
    pub etag: Option<String>,
    /// Whether the repository must hold everything that it refers to, as for a push. A subject
    /// and non-distributable layers never need to be there.
    pub require_references: bool,
    /// Who had it fetched: a hash of the network address of a client without an account, which has
    /// a bounded share of the cache, or 0.
    pub brought_by: i64,
    /// Repositories whose blobs this one may read if the manifest names them. The caller vouches
    /// for the right to.
    pub mount_from: Vec<RepositoryName>,
}

impl PutManifest {
    /// A push under `tags`: everything that the manifest refers to must be there.
    #[must_use]
    pub fn pushed(tags: Vec<Tag>) -> Self {
        Self {
            tags,
            fixed: Vec::new(),
            origin: Origin::Pushed,
            account: None,
            source: None,
            etag: None,
            require_references: true,
            brought_by: 0,
            mount_from: Vec::new(),
        }
    }

    /// A manifest as its upstream image `source` has it; its blobs may come later.
    #[must_use]
    pub fn upstream(tags: Vec<Tag>, source: impl Into<String>) -> Self {
        Self {
            origin: Origin::Upstream,
            source: Some(source.into()),
            require_references: false,
            ..Self::pushed(tags)
        }
    }

    /// A manifest that was computed from `source`; its blobs may come later.
    #[must_use]
    pub fn derived(source: impl Into<String>) -> Self {
        Self {
            origin: Origin::Derived,
            source: Some(source.into()),
            require_references: false,
            ..Self::pushed(Vec::new())
        }
    }
}

/// Why a manifest was not stored. Nothing of it stays.
#[derive(Debug, thiserror::Error)]
pub enum PutError {
    /// The repository does not hold what the manifest refers to.
    #[error(
        "the manifest refers to content that the repository does not hold: {}; push that first",
        list(.blobs, .manifests)
    )]
    Missing {
        /// Configurations and layers.
        blobs: Vec<Digest>,
        /// Entries of an index.
        manifests: Vec<Digest>,
    },
    /// A descriptor says another size than the content has that it names.
    #[error(
        "the manifest says that {digest} has {stated} bytes, and it has {found}: build the \
         manifest again and push that"
    )]
    Size {
        /// The content.
        digest: Digest,
        /// What the manifest says.
        stated: u64,
        /// What it has.
        found: u64,
    },
    /// A tag that must not change names something else.
    #[error("the tag {tag} is immutable and names {digest}: push under another tag")]
    TagExists {
        /// The tag.
        tag: Tag,
        /// What it names.
        digest: Digest,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

fn list(blobs: &[Digest], manifests: &[Digest]) -> String {
    let blobs = blobs.iter().map(|digest| format!("blob {digest}"));
    let manifests = manifests.iter().map(|digest| format!("manifest {digest}"));
    blobs.chain(manifests).collect::<Vec<_>>().join(", ")
}

/// A manifest on its way into the database.
struct Put {
    repository: RepositoryName,
    document: Document,
    references: BTreeSet<Reference>,
    options: PutManifest,
}

impl Store {
    /// Stores a manifest or index in `repository`, durably.
    pub async fn put_manifest(
        &self,
        repository: &RepositoryName,
        document: &Document,
        options: PutManifest,
    ) -> Result<(), PutError> {
        let put = Put {
            repository: repository.clone(),
            document: document.clone(),
            references: references::of(document),
            options,
        };
        self.inner
            .database
            .writer
            .write(Durability::Full, move |transaction| {
                Box::pin(put.run(transaction))
            })
            .await
    }
}

impl Put {
    async fn run(self, transaction: &mut Transaction) -> Result<(), PutError> {
        let repository_id = repository::ensure(transaction, &self.repository).await?;
        self.mount_blobs(transaction, repository_id).await?;
        // What an upstream or a derivation says is kept as it is.
        if self.options.origin == Origin::Pushed {
            self.check_references(transaction, repository_id).await?;
        }
        let manifest_id = self.write_body(transaction).await?;
        self.hold(transaction, repository_id, manifest_id).await?;
        self.set_tags(transaction, repository_id, manifest_id).await
    }

    fn blobs(&self) -> Vec<&Digest> {
        let references = self.references.iter();
        references
            .filter(|reference| matches!(reference.kind, Kind::Config | Kind::Layer))
            .filter(|reference| !reference.foreign)
            .map(|reference| &reference.digest)
            .collect()
    }

    async fn mount_blobs(
        &self,
        transaction: &mut Transaction,
        repository_id: i64,
    ) -> Result<(), StoreError> {
        for from in &self.options.mount_from {
            for chunk in self.blobs().chunks(CHUNK) {
                let mut query = QueryBuilder::<Sqlite>::new(
                    "INSERT OR IGNORE INTO repo_blobs (repository_id, blob_id, linked_at) SELECT ",
                );
                query.push_bind(repository_id).push(", l.blob_id, ");
                query.push_bind(now());
                query.push(
                    " FROM repo_blobs l JOIN blobs b ON b.id = l.blob_id
                     WHERE l.repository_id = (SELECT id FROM repositories WHERE name = ",
                );
                query.push_bind(from.as_str()).push(") AND b.digest IN ");
                push_digests(&mut query, chunk);
                let result = query.build().execute(&mut transaction.connection).await;
                result.map_err(|error| transaction.error(error))?;
            }
        }
        Ok(())
    }

    /// What the repository holds of what the manifest refers to must have the sizes that the
    /// manifest says, and be all of it where that is required.
    async fn check_references(
        &self,
        transaction: &mut Transaction,
        repository_id: i64,
    ) -> Result<(), PutError> {
        const BLOBS: &str = "SELECT b.digest, b.size FROM blobs b
            JOIN repo_blobs l ON l.blob_id = b.id WHERE l.repository_id = ";
        const MANIFESTS: &str = "SELECT b.digest, length(b.body) FROM manifests b
            JOIN repo_manifests l ON l.manifest_id = b.id WHERE l.repository_id = ";
        // An entry of an index may also be a blob: the specification leaves its type open.
        let blobs = self.digests(&[Kind::Config, Kind::Layer, Kind::Child]);
        let blobs = sizes(transaction, repository_id, BLOBS, &blobs).await?;
        let manifests = self.digests(&[Kind::Child]);
        let manifests = sizes(transaction, repository_id, MANIFESTS, &manifests).await?;
        let mut missing = (Vec::new(), Vec::new());
        let mut wrong = None;
        for Reference {
            kind,
            digest,
            size,
            foreign,
        } in &self.references
        {
            let found = match kind {
                Kind::Config | Kind::Layer => blobs.get(digest),
                Kind::Child => manifests.get(digest).or_else(|| blobs.get(digest)),
                // It need not be there, and what refers to it says nothing of its content.
                Kind::Subject => continue,
            };
            match (found, kind) {
                (Some(found), _) if found != size => {
                    wrong.get_or_insert(PutError::Size {
                        digest: digest.clone(),
                        stated: *size,
                        found: *found,
                    });
                }
                (Some(_), _) => {}
                (None, Kind::Child) => missing.1.push(digest.clone()),
                (None, Kind::Config | Kind::Layer) if *foreign => {}
                (None, _) => missing.0.push(digest.clone()),
            }
        }
        let (blobs, manifests) = missing;
        let complete = blobs.is_empty() && manifests.is_empty();
        if self.options.require_references && !complete {
            return Err(PutError::Missing { blobs, manifests });
        }
        wrong.map_or(Ok(()), Err)
    }

    fn digests(&self, kinds: &[Kind]) -> Vec<&Digest> {
        let references = self.references.iter();
        references
            .filter(|reference| kinds.contains(&reference.kind))
            .map(|reference| &reference.digest)
            .collect()
    }

    /// Writes the body and the references, or finds them. A body that is there and differs was
    /// damaged, and is right again afterwards.
    async fn write_body(&self, transaction: &mut Transaction) -> Result<i64, StoreError> {
        let digest = digest_to_bytes(self.document.digest());
        let subject = self.document.subject();
        let result = sqlx::query_scalar(
            "INSERT INTO manifests (digest, created_at, subject, artifact_type, referrer, body)
             VALUES ($1, $2, $3, $4, $5, $6)
             ON CONFLICT (digest) DO UPDATE SET body = excluded.body
                 WHERE manifests.body <> excluded.body
             RETURNING id",
        )
        .bind(digest.clone())
        .bind(now())
        .bind(subject.map(|subject| digest_to_bytes(subject.digest())))
        .bind(self.document.artifact_type().map(str::to_owned))
        .bind(subject.map(|_| referrer(&self.document)))
        .bind(self.document.bytes().to_vec())
        .fetch_optional(&mut transaction.connection)
        .await;
        let id: Option<i64> = result.map_err(|error| transaction.error(error))?;
        let Some(id) = id else {
            let result = sqlx::query_scalar("SELECT id FROM manifests WHERE digest = $1")
                .bind(digest)
                .fetch_one(&mut transaction.connection)
                .await;
            return result.map_err(|error| transaction.error(error));
        };
        let references: Vec<&Reference> = self.references.iter().collect();
        for chunk in references.chunks(CHUNK) {
            let mut query = QueryBuilder::<Sqlite>::new(
                "INSERT OR IGNORE INTO refs (manifest_id, digest, kind) ",
            );
            query.push_values(chunk, |mut row, reference| {
                row.push_bind(id)
                    .push_bind(digest_to_bytes(&reference.digest))
                    .push_bind(reference.kind.number());
            });
            let result = query.build().execute(&mut transaction.connection).await;
            result.map_err(|error| transaction.error(error))?;
        }
        Ok(id)
    }

    async fn hold(
        &self,
        transaction: &mut Transaction,
        repository_id: i64,
        manifest_id: i64,
    ) -> Result<(), StoreError> {
        // What was pushed stays pushed, even if an upstream has it too.
        let result = sqlx::query(
            "INSERT INTO repo_manifests
                 (repository_id, manifest_id, media_type, origin, source, pushed_at, brought_by)
             VALUES ($1, $2, $3, $4, $5, $6, $7)
             ON CONFLICT (repository_id, manifest_id) DO UPDATE SET
                 media_type = excluded.media_type,
                 origin = min(origin, excluded.origin),
                 source = coalesce(excluded.source, source),
                 pushed_at = excluded.pushed_at,
                 brought_by = CASE WHEN brought_by = excluded.brought_by THEN brought_by ELSE 0 END",
        )
        .bind(repository_id)
        .bind(manifest_id)
        .bind(self.document.media_type().as_str())
        .bind(self.options.origin.number())
        .bind(self.options.source.as_deref())
        .bind(now())
        .bind(self.options.brought_by)
        .execute(&mut transaction.connection)
        .await;
        result.map_err(|error| transaction.error(error))?;
        if self.options.origin == Origin::Pushed {
            ownership::claim(
                transaction,
                &self.repository,
                self.options.account.as_deref(),
            )
            .await?;
        }
        let (repository, digest) = (self.repository.clone(), self.document.digest().clone());
        transaction.changed(Change::Pushed(repository.clone()));
        transaction.changed(Change::Manifest(repository, digest));
        Ok(())
    }

    async fn set_tags(
        self,
        transaction: &mut Transaction,
        repository_id: i64,
        manifest_id: i64,
    ) -> Result<(), PutError> {
        for tag in &self.options.fixed {
            let result = sqlx::query_scalar(
                "SELECT m.digest FROM tags t JOIN manifests m ON m.id = t.manifest_id
                 WHERE t.repository_id = $1 AND t.name = $2 AND t.manifest_id <> $3",
            )
            .bind(repository_id)
            .bind(tag.as_str())
            .bind(manifest_id)
            .fetch_optional(&mut transaction.connection)
            .await;
            let other: Option<Vec<u8>> = result.map_err(|error| transaction.error(error))?;
            if let Some(digest) = other {
                let digest = digest_from_bytes(&digest)
                    .ok_or_else(|| transaction.corrupt(format!("the digest behind tag {tag}")))?;
                let tag = tag.clone();
                return Err(PutError::TagExists { tag, digest });
            }
        }
        let record = TagRecord {
            digest: self.document.digest().clone(),
            origin: self.options.origin,
            checked_at: SystemTime::now(),
            etag: self.options.etag,
        };
        let ids = (repository_id, manifest_id);
        for tag in self.options.tags {
            tag::set(transaction, ids, &self.repository, tag, &record).await?;
        }
        Ok(())
    }
}

/// The sizes in bytes of those of `digests` that `select`, completed by the repository, gives.
async fn sizes(
    transaction: &mut Transaction,
    repository_id: i64,
    select: &'static str,
    digests: &[&Digest],
) -> Result<HashMap<Digest, u64>, StoreError> {
    let mut found = HashMap::new();
    for chunk in digests.chunks(CHUNK) {
        let mut query = QueryBuilder::<Sqlite>::new(select);
        query.push_bind(repository_id).push(" AND b.digest IN ");
        push_digests(&mut query, chunk);
        let query = query.build_query_as();
        let result = query.fetch_all(&mut transaction.connection).await;
        let rows: Vec<(Vec<u8>, i64)> = result.map_err(|error| transaction.error(error))?;
        found.extend(rows.iter().filter_map(|(digest, size)| {
            Some((digest_from_bytes(digest)?, u64::try_from(*size).ok()?))
        }));
    }
    Ok(found)
}

fn push_digests(query: &mut QueryBuilder<Sqlite>, digests: &[&Digest]) {
    query.push("(");
    let mut list = query.separated(", ");
    for digest in digests {
        list.push_bind(digest_to_bytes(digest));
    }
    query.push(")");
}

/// The descriptor by which the referrers API lists a document: with its artifact type and its
/// annotations (distribution specification, "Listing Referrers").
fn referrer(document: &Document) -> String {
    let mut descriptor = document.descriptor().as_json().clone();
    if let Some(artifact_type) = document.artifact_type() {
        descriptor.insert("artifactType".into(), artifact_type.into());
    }
    if let Some(annotations) = document.annotations() {
        descriptor.insert("annotations".into(), annotations.clone().into());
    }
    Value::Object(descriptor).to_string()
}
