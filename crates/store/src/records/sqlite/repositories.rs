//! Repositories: their rows, and their pages.

use metahub_oci::{Digest, RepositoryName};

use super::encoding::digest_to_bytes;
use super::transaction::Transaction;
use super::{SqliteRecords, limit_and_one};
use crate::StoreError;
use crate::records::{Answer, Change, Page, RepositoryRecords, host_of};

statements! {
    FIND = "SELECT id, host IS NULL FROM repositories WHERE name = $1";
    ADD = "INSERT INTO repositories (name, created_at) VALUES ($1, $2) RETURNING id";
    SET_HOST = "UPDATE repositories SET host = $2 WHERE id = $1";
    PAGE =
        "SELECT name FROM repositories r
         WHERE name > $1
           AND EXISTS (SELECT 1 FROM repo_manifests m WHERE m.repository_id = r.id)
         ORDER BY name LIMIT $2";
    EXISTS = "SELECT EXISTS (SELECT 1 FROM repositories WHERE name = $1)";
    UNLINK =
        "DELETE FROM repo_blobs
         WHERE repository_id = (SELECT id FROM repositories WHERE name = $1)
           AND blob_id = (SELECT id FROM blobs WHERE digest = $2)";
}

impl RepositoryRecords for SqliteRecords {
    fn repositories(&self, after: Option<&str>, limit: usize) -> Answer<'_, Page<RepositoryName>> {
        let query = sqlx::query_scalar(PAGE)
            .bind(after.unwrap_or("").to_owned())
            .bind(limit_and_one(limit));
        Box::pin(async move {
            let rows: Vec<String> = self.read(query.fetch_all(&self.readers)).await?;
            let names = rows.iter().map(|name| {
                name.parse()
                    .map_err(|_| self.corrupt(format!("repository '{name}'")))
            });
            Ok(Page::cut(names.collect::<Result<_, _>>()?, limit))
        })
    }

    fn has_repository(&self, repository: &RepositoryName) -> Answer<'_, bool> {
        let query = sqlx::query_scalar(EXISTS).bind(repository.to_string());
        self.read(query.fetch_one(&self.readers))
    }
}

/// The row of a repository, inserted if missing. With `from_upstream` it becomes one that mirrors
/// the host in its name.
pub(super) async fn ensure(
    transaction: &mut Transaction,
    name: &RepositoryName,
    from_upstream: bool,
) -> Result<i64, StoreError> {
    let (id, is_without_host) = match find_row(transaction, name).await? {
        Some(found) => found,
        None => {
            let result = sqlx::query_scalar(ADD)
                .bind(name.as_str())
                .bind(transaction.now())
                .fetch_one(&mut transaction.connection)
                .await;
            (result.map_err(|error| transaction.error(error))?, true)
        }
    };
    if from_upstream
        && is_without_host
        && let Some(host) = host_of(name)
    {
        let result = sqlx::query(SET_HOST)
            .bind(id)
            .bind(host)
            .execute(&mut transaction.connection)
            .await;
        result.map_err(|error| transaction.error(error))?;
    }
    Ok(id)
}

/// The row of a repository, and whether it never had content of an upstream.
async fn find_row(
    transaction: &mut Transaction,
    name: &RepositoryName,
) -> Result<Option<(i64, bool)>, StoreError> {
    let result = sqlx::query_as(FIND)
        .bind(name.as_str())
        .fetch_optional(&mut transaction.connection)
        .await;
    result.map_err(|error| transaction.error(error))
}

/// The row of a repository.
pub(super) async fn find(
    transaction: &mut Transaction,
    name: &RepositoryName,
) -> Result<Option<i64>, StoreError> {
    let found = find_row(transaction, name).await?;
    Ok(found.map(|(id, _)| id))
}

/// Takes a blob out of a repository. Returns whether it was there.
pub(super) async fn unlink(
    transaction: &mut Transaction,
    repository: RepositoryName,
    digest: Digest,
) -> Result<bool, StoreError> {
    let result = sqlx::query(UNLINK)
        .bind(repository.as_str())
        .bind(digest_to_bytes(&digest))
        .execute(&mut transaction.connection)
        .await;
    let deleted = result.map_err(|error| transaction.error(error))?;
    transaction.changed(Change::Blob(repository, digest));
    Ok(deleted.rows_affected() > 0)
}
