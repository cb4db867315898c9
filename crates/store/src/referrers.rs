//! Manifests that name another as their subject (distribution specification, "Listing
//! Referrers").

use futures_util::StreamExt as _;
use metahub_oci::{Digest, JsonMap, RepositoryName};
use serde_json::Value;

use crate::StoreError;
use crate::encoding::digest_to_bytes;
use crate::repository::{Page, limit_and_one};
use crate::store::Store;

impl Store {
    /// Most bytes of descriptors in a page, beyond its first: annotations may be as large as a
    /// manifest, and anybody who may push could fill the memory with a list of them.
    pub const REFERRERS_BYTES: usize = 2 * 1024 * 1024;

    /// The descriptors of the manifests in `repository` whose subject is `subject`, with
    /// `artifactType` and `annotations`, in order of their digests; only those of `artifact_type`
    /// if one is given. `after` is the digest of the last descriptor of the page before. A page has at most
    /// `limit` of them and [`Self::REFERRERS_BYTES`], but one in any case.
    pub async fn referrers(
        &self,
        repository: &RepositoryName,
        subject: &Digest,
        artifact_type: Option<&str>,
        after: Option<&Digest>,
        limit: usize,
    ) -> Result<Page<JsonMap>, StoreError> {
        let mut rows = sqlx::query_as::<_, (Option<String>, String)>(
            "SELECT m.referrer, l.media_type FROM manifests m
             JOIN repo_manifests l ON l.manifest_id = m.id
             WHERE m.subject = $1
               AND l.repository_id = (SELECT id FROM repositories WHERE name = $2)
               AND ($3 IS NULL OR m.artifact_type = $3)
               AND m.digest > $4
             ORDER BY m.digest LIMIT $5",
        )
        .bind(digest_to_bytes(subject))
        .bind(repository.as_str())
        .bind(artifact_type)
        .bind(after.map(digest_to_bytes).unwrap_or_default())
        .bind(limit_and_one(limit))
        .fetch(&self.inner.database.readers);
        let mut descriptors = Vec::new();
        let mut bytes = 0;
        while let Some(row) = rows.next().await {
            let (text, media_type) = row.map_err(|error| self.inner.database.error(error))?;
            let text = text.unwrap_or_default();
            bytes += text.len();
            if !descriptors.is_empty() && bytes > Self::REFERRERS_BYTES {
                return Ok(Page {
                    items: descriptors,
                    more: true,
                });
            }
            let Ok(Value::Object(mut descriptor)) = serde_json::from_str(&text) else {
                let problem = format!("a referrer of {subject} in {repository}");
                return Err(self.inner.database.corrupt(problem));
            };
            // The same bytes may be held under another type here.
            descriptor.insert("mediaType".into(), media_type.into());
            descriptors.push(descriptor);
        }
        Ok(Page::cut(descriptors, limit))
    }
}
