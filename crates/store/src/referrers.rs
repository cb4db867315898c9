//! Manifests that name another as their subject (distribution specification, "Listing
//! Referrers").

use metahub_oci::{Digest, JsonMap, RepositoryName};
use serde_json::Value;

use crate::StoreError;
use crate::encoding::digest_to_bytes;
use crate::repository::{Page, limit_and_one};
use crate::store::Store;

impl Store {
    /// The descriptors of the manifests in `repository` whose subject is `subject`, with
    /// `artifactType` and `annotations`, in order of their digests; only those of `artifact_type`
    /// if one is given. `after` is the digest of the last descriptor of the page before.
    pub async fn referrers(
        &self,
        repository: &RepositoryName,
        subject: &Digest,
        artifact_type: Option<&str>,
        after: Option<&Digest>,
        limit: usize,
    ) -> Result<Page<JsonMap>, StoreError> {
        let rows: Vec<(Option<String>, String)> = sqlx::query_as(
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
        .fetch_all(&self.inner.database.readers)
        .await
        .map_err(|error| self.inner.database.error(error))?;
        let descriptors = rows.into_iter().map(|(text, media_type)| {
            let parsed = serde_json::from_str(text.as_deref().unwrap_or_default());
            let Ok(Value::Object(mut descriptor)) = parsed else {
                let problem = format!("a referrer of {subject} in {repository}");
                return Err(self.inner.database.corrupt(problem));
            };
            // The same bytes may be held under another type here.
            descriptor.insert("mediaType".into(), media_type.into());
            Ok(descriptor)
        });
        Ok(Page::cut(descriptors.collect::<Result<_, _>>()?, limit))
    }
}
