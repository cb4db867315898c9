//! Storing a manifest: its body, what it refers to and its tags, in one transaction.

use std::collections::HashMap;

use metahub_oci::{Digest, RepositoryName};
use serde_json::Value;

use super::encoding::{digest_from_bytes, digest_to_bytes};
use super::repositories::ensure;
use super::transaction::Transaction;
use super::{ownership, tags};
use crate::StoreError;
use crate::records::{Change, Kind, NewManifest, Origin, PutError, TagRecord, digest_of};

statements! {
    // A list of digests is bound as a JSON array of hexadecimal digits. The joins are in the order
    // in which they are to be done: of a repository only the blobs that are wanted are read.
    MOUNT =
        "INSERT OR IGNORE INTO repo_blobs (repository_id, blob_id, linked_at)
         SELECT $1, b.id, $2 FROM json_each($4)
         CROSS JOIN blobs b ON b.digest = unhex(json_each.value)
         CROSS JOIN repo_blobs l ON l.blob_id = b.id AND l.repository_id IN
             (SELECT id FROM repositories WHERE name IN (SELECT value FROM json_each($3)))";
    SIZES_OF_BLOBS =
        "SELECT b.digest, b.size FROM blobs b JOIN repo_blobs l ON l.blob_id = b.id
         WHERE l.repository_id = $1 AND b.digest IN (SELECT unhex(value) FROM json_each($2))";
    SIZES_OF_MANIFESTS =
        "SELECT m.digest, length(m.body) FROM manifests m
         JOIN repo_manifests h ON h.manifest_id = m.id
         WHERE h.repository_id = $1 AND m.digest IN (SELECT unhex(value) FROM json_each($2))";
    WRITE_BODY =
        "INSERT INTO manifests (digest, created_at, subject, artifact_type, referrer, body)
         VALUES ($1, $2, $3, $4, $5, $6)
         ON CONFLICT (digest) DO UPDATE SET body = excluded.body
             WHERE manifests.body <> excluded.body
         RETURNING id";
    ROW_OF_BODY = "SELECT id FROM manifests WHERE digest = $1";
    WRITE_REFS =
        "INSERT OR IGNORE INTO refs (manifest_id, digest, kind)
         SELECT $1, unhex(value ->> 0), value ->> 1 FROM json_each($2)";
    // A pushed manifest stays pushed, even if an upstream has it too.
    HOLD = concat!(
        "INSERT INTO repo_manifests
             (repository_id, manifest_id, media_type, origin, pushed_at, brought_by)
         VALUES ($1, $2, $3, $4, $5, $6)
         ON CONFLICT (repository_id, manifest_id) DO UPDATE SET
             media_type = excluded.media_type,
             origin = min(origin, excluded.origin),
             pushed_at = excluded.pushed_at,
             brought_by = CASE WHEN brought_by = excluded.brought_by THEN brought_by ELSE ",
        shared!(),
        " END"
    );
    FORGET_SOURCES = "DELETE FROM sources WHERE repository_id = $1 AND manifest_id = $2";
    WRITE_SOURCES =
        "INSERT INTO sources (repository_id, manifest_id, position, image, digest)
         SELECT $1, $2, key, value ->> 0, unhex(value ->> 1) FROM json_each($3)";
    TAKEN =
        "SELECT m.digest FROM tags t JOIN manifests m ON m.id = t.manifest_id
         WHERE t.repository_id = $1 AND t.name = $2 AND t.manifest_id <> $3";
}

impl NewManifest {
    /// Stores it.
    pub(super) async fn publish(self, transaction: &mut Transaction) -> Result<(), PutError> {
        let from_upstream = self.options.origin == Origin::Upstream;
        let repository_id = ensure(transaction, &self.repository, from_upstream).await?;
        self.mount_blobs(transaction, repository_id).await?;
        // What an upstream or a derivation says is kept as it is.
        if self.options.origin == Origin::Pushed {
            // An entry of an index may also be a blob.
            let blobs = self.digests(&[Kind::Config, Kind::Layer, Kind::Child]);
            let blobs = sizes(transaction, repository_id, SIZES_OF_BLOBS, &blobs).await?;
            let manifests = self.digests(&[Kind::Child]);
            let manifests =
                sizes(transaction, repository_id, SIZES_OF_MANIFESTS, &manifests).await?;
            self.check(&blobs, &manifests)?;
        }
        let manifest_id = self.write_body(transaction).await?;
        self.hold(transaction, repository_id, manifest_id).await?;
        self.set_tags(transaction, repository_id, manifest_id).await
    }

    async fn mount_blobs(
        &self,
        transaction: &mut Transaction,
        repository_id: i64,
    ) -> Result<(), StoreError> {
        let wanted = self.mountable();
        if wanted.is_empty() || self.options.mount_from.is_empty() {
            return Ok(());
        }
        let from = self.options.mount_from.iter().map(RepositoryName::as_str);
        let result = sqlx::query(MOUNT)
            .bind(repository_id)
            .bind(transaction.now())
            .bind(from.collect::<Value>().to_string())
            .bind(list(&wanted))
            .execute(&mut transaction.connection)
            .await;
        result.map(drop).map_err(|error| transaction.error(error))
    }

    /// Writes the body and the references, or finds them. A body that is there and differs was
    /// damaged, and is right again afterwards.
    async fn write_body(&self, transaction: &mut Transaction) -> Result<i64, StoreError> {
        let document = &self.document;
        let digest = digest_to_bytes(document.digest());
        let subject = document.subject();
        let referrer = self.referrer().map(Value::Object);
        let result = sqlx::query_scalar(WRITE_BODY)
            .bind(digest.clone())
            .bind(transaction.now())
            .bind(subject.map(|subject| digest_to_bytes(subject.digest())))
            .bind(document.artifact_type().map(str::to_owned))
            .bind(referrer.map(|descriptor| descriptor.to_string()))
            .bind(document.bytes().to_vec())
            .fetch_optional(&mut transaction.connection)
            .await;
        let id: Option<i64> = result.map_err(|error| transaction.error(error))?;
        let Some(id) = id else {
            let result = sqlx::query_scalar(ROW_OF_BODY)
                .bind(digest)
                .fetch_one(&mut transaction.connection)
                .await;
            return result.map_err(|error| transaction.error(error));
        };
        let references = self.references.iter();
        let references = references.map(|reference| {
            Value::from(vec![
                Value::from(hex(&reference.digest)),
                Value::from(reference.kind.number()),
            ])
        });
        let result = sqlx::query(WRITE_REFS)
            .bind(id)
            .bind(references.collect::<Value>().to_string())
            .execute(&mut transaction.connection)
            .await;
        result.map_err(|error| transaction.error(error))?;
        Ok(id)
    }

    async fn hold(
        &self,
        transaction: &mut Transaction,
        repository_id: i64,
        manifest_id: i64,
    ) -> Result<(), StoreError> {
        let result = sqlx::query(HOLD)
            .bind(repository_id)
            .bind(manifest_id)
            .bind(self.document.media_type().as_str())
            .bind(self.options.origin.number())
            .bind(transaction.now())
            .bind(self.options.brought_by)
            .execute(&mut transaction.connection)
            .await;
        result.map_err(|error| transaction.error(error))?;
        self.write_sources(transaction, repository_id, manifest_id)
            .await?;
        if self.options.origin == Origin::Pushed {
            let account = self.options.account.as_deref();
            ownership::claim(transaction, &self.repository, account).await?;
        }
        let (repository, digest) = (self.repository.clone(), self.document.digest().clone());
        transaction.changed(Change::Pushed(repository.clone()));
        transaction.changed(Change::Manifest(repository, digest));
        Ok(())
    }

    /// Replaces the recorded sources, if new ones are given.
    async fn write_sources(
        &self,
        transaction: &mut Transaction,
        repository_id: i64,
        manifest_id: i64,
    ) -> Result<(), StoreError> {
        if self.options.sources.is_empty() {
            return Ok(());
        }
        let result = sqlx::query(FORGET_SOURCES)
            .bind(repository_id)
            .bind(manifest_id)
            .execute(&mut transaction.connection)
            .await;
        result.map_err(|error| transaction.error(error))?;
        let sources = self.options.sources.iter().map(|image| {
            let digest = digest_of(image).map(|digest| hex(&digest));
            Value::from(vec![Value::from(image.as_str()), Value::from(digest)])
        });
        let result = sqlx::query(WRITE_SOURCES)
            .bind(repository_id)
            .bind(manifest_id)
            .bind(sources.collect::<Value>().to_string())
            .execute(&mut transaction.connection)
            .await;
        result.map(drop).map_err(|error| transaction.error(error))
    }

    async fn set_tags(
        self,
        transaction: &mut Transaction,
        repository_id: i64,
        manifest_id: i64,
    ) -> Result<(), PutError> {
        for tag in &self.options.fixed {
            let result = sqlx::query_scalar(TAKEN)
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
            checked_at: transaction.clock().now(),
            etag: self.options.etag,
        };
        let rows = (repository_id, manifest_id);
        for tag in self.options.tags {
            tags::set(transaction, rows, &self.repository, tag, &record).await?;
        }
        Ok(())
    }
}

/// The sizes in bytes of those of `digests` that `statement` finds in a repository.
async fn sizes(
    transaction: &mut Transaction,
    repository_id: i64,
    statement: &'static str,
    digests: &[&Digest],
) -> Result<HashMap<Digest, u64>, StoreError> {
    let result = sqlx::query_as(statement)
        .bind(repository_id)
        .bind(list(digests))
        .fetch_all(&mut transaction.connection)
        .await;
    let rows: Vec<(Vec<u8>, i64)> = result.map_err(|error| transaction.error(error))?;
    let sizes = rows.iter().filter_map(|(digest, size)| {
        Some((digest_from_bytes(digest)?, u64::try_from(*size).ok()?))
    });
    Ok(sizes.collect())
}

fn hex(digest: &Digest) -> String {
    hex::encode(digest_to_bytes(digest))
}

fn list(digests: &[&Digest]) -> String {
    let digests = digests.iter().map(|digest| hex(digest));
    digests.collect::<Value>().to_string()
}
