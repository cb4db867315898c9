//! The compatibility artifact of an image, as its upstream told it last. Every image that is
//! chosen for a login is asked for it, and a choice must not depend on whether the upstream is up.

use metahub_oci::{Descriptor, Digest, RepositoryName};
use serde_json::Value;

use crate::StoreError;
use crate::encoding::{digest_to_bytes, now};
use crate::store::Store;
use crate::writer::Durability;

impl Store {
    /// What was told last of the compatibility artifact that refers to `image`: its descriptor, or
    /// that there is none. Nothing if nobody was ever asked.
    ///
    /// # Errors
    /// If the database cannot be read, or its row cannot.
    pub async fn compatibility(
        &self,
        repository: &RepositoryName,
        image: &Digest,
    ) -> Result<Option<Option<Descriptor>>, StoreError> {
        let row: Option<Option<String>> = sqlx::query_scalar(
            "SELECT c.artifact FROM compatibility c
             JOIN manifests m ON m.id = c.manifest_id
             WHERE m.digest = $1
               AND c.repository_id = (SELECT id FROM repositories WHERE name = $2)",
        )
        .bind(digest_to_bytes(image))
        .bind(repository.as_str())
        .fetch_optional(&self.inner.database.readers)
        .await
        .map_err(|error| self.inner.database.error(error))?;
        let Some(Some(text)) = row else {
            return Ok(row.map(|_| None));
        };
        let value = serde_json::from_str::<Value>(&text).ok();
        let artifact = value.and_then(|value| Descriptor::from_json(&value).ok());
        let problem = || format!("the compatibility artifact of {image} in {repository}");
        let artifact = artifact.ok_or_else(|| self.inner.database.corrupt(problem()))?;
        Ok(Some(Some(artifact)))
    }

    /// Notes what was told of the compatibility artifact that refers to `image`, if `repository`
    /// keeps that image; else nothing is noted.
    ///
    /// # Errors
    /// If the database cannot be written.
    pub async fn set_compatibility(
        &self,
        repository: &RepositoryName,
        image: &Digest,
        artifact: Option<&Descriptor>,
    ) -> Result<(), StoreError> {
        let (repository, image) = (repository.clone(), digest_to_bytes(image));
        let artifact = artifact.map(|artifact| Value::Object(artifact.as_json().clone()));
        let artifact = artifact.map(|artifact| artifact.to_string());
        let writer = &self.inner.database.writer;
        writer
            .write(Durability::Relaxed, move |transaction| {
                Box::pin(async move {
                    sqlx::query(
                        "INSERT INTO compatibility
                             (repository_id, manifest_id, artifact, checked_at)
                         SELECT l.repository_id, l.manifest_id, $3, $4 FROM repo_manifests l
                         JOIN manifests m ON m.id = l.manifest_id
                         WHERE m.digest = $1 AND l.repository_id =
                             (SELECT id FROM repositories WHERE name = $2)
                         ON CONFLICT (repository_id, manifest_id) DO UPDATE
                             SET artifact = excluded.artifact, checked_at = excluded.checked_at",
                    )
                    .bind(image)
                    .bind(repository.as_str())
                    .bind(artifact)
                    .bind(now())
                    .execute(&mut transaction.connection)
                    .await
                    .map(drop)
                    .map_err(|error| transaction.error(error))
                })
            })
            .await
    }
}

#[cfg(test)]
mod tests {
    use metahub_oci::{Document, Index, MediaType};

    use super::*;
    use crate::PutManifest;

    #[tokio::test]
    async fn what_was_told_last_is_kept_as_long_as_the_image() {
        let store = Store::temporary().await.unwrap();
        let [here, other]: [RepositoryName; 2] =
            ["quay.io/team/app", "quay.io/team/other"].map(|name| name.parse().unwrap());
        let document = Document::from(Index::new(Vec::new()));
        let image = document.digest();
        let told = async |name: &RepositoryName| store.compatibility(name, image).await.unwrap();
        // What is not kept has no row.
        store.set_compatibility(&here, image, None).await.unwrap();
        assert_eq!(told(&here).await, None);
        let put = || PutManifest::upstream(Vec::new(), "quay.io/team/app:1");
        store.put_manifest(&here, &document, put()).await.unwrap();
        store.put_manifest(&other, &document, put()).await.unwrap();
        assert_eq!(told(&here).await, None);
        store.set_compatibility(&here, image, None).await.unwrap();
        assert_eq!(told(&here).await, Some(None));
        let artifact = Descriptor::new(MediaType::oci_manifest(), Digest::sha256(b"a"), 1);
        let some = Some(&artifact);
        store.set_compatibility(&here, image, some).await.unwrap();
        assert_eq!(told(&here).await, Some(Some(artifact)));
        assert_eq!(told(&other).await, None, "another repository's upstream");
        // Put again, it stays; deleted, it goes.
        store.put_manifest(&here, &document, put()).await.unwrap();
        assert!(told(&here).await.is_some());
        store.delete_manifest(&here, image).await.unwrap();
        store.put_manifest(&here, &document, put()).await.unwrap();
        assert_eq!(told(&here).await, None);
    }
}
