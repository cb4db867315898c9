//! Local names.

use metahub_oci::RepositoryName;

use super::encoding::time_from_millis;
use super::transaction::{Durability, Transaction};
use super::{SqliteRecords, limit_and_one};
use crate::StoreError;
use crate::records::{Answer, Change, LocalName, OwnershipRecords, Page, Release};

statements! {
    IS_LOCAL = "SELECT EXISTS (SELECT 1 FROM local_names WHERE name = $1)";
    PAGE =
        "SELECT n.name, n.account, n.claimed_at,
             (SELECT count(*) FROM pushed_manifests h
              WHERE h.repository_id = (SELECT id FROM repositories WHERE name = n.name))
         FROM local_names n WHERE n.name > $1 ORDER BY n.name LIMIT $2";
    COUNT_PUSHED =
        "SELECT count(*) FROM pushed_manifests
         WHERE repository_id = (SELECT id FROM repositories WHERE name = $1)";
    RELEASE = "DELETE FROM local_names WHERE name = $1";
    CLAIM = "INSERT OR IGNORE INTO local_names (name, account, claimed_at) VALUES ($1, $2, $3)";
}

impl OwnershipRecords for SqliteRecords {
    fn is_local(&self, repository: &RepositoryName) -> Answer<'_, bool> {
        let query = sqlx::query_scalar(IS_LOCAL).bind(repository.to_string());
        self.read(query.fetch_one(&self.readers))
    }

    fn local_names(
        &self,
        after: Option<&RepositoryName>,
        limit: usize,
    ) -> Answer<'_, Page<LocalName>> {
        let query = sqlx::query_as(PAGE)
            .bind(after.map_or("", RepositoryName::as_str).to_owned())
            .bind(limit_and_one(limit));
        Box::pin(async move {
            let rows: Vec<(String, Option<String>, i64, i64)> =
                self.read(query.fetch_all(&self.readers)).await?;
            let items = rows.into_iter();
            let items = items.map(|(name, account, claimed_at, manifests)| {
                let problem = format!("the local name '{name}'");
                Ok(LocalName {
                    name: name.parse().map_err(|_| self.corrupt(problem))?,
                    account,
                    claimed_at: time_from_millis(claimed_at),
                    manifests: u64::try_from(manifests).unwrap_or(0),
                })
            });
            Ok(Page::cut(items.collect::<Result<_, StoreError>>()?, limit))
        })
    }

    fn release_name(&self, repository: &RepositoryName) -> Answer<'_, Release> {
        let repository = repository.clone();
        self.write(Durability::Full, move |transaction| {
            Box::pin(release(transaction, repository))
        })
    }
}

async fn release(
    transaction: &mut Transaction,
    repository: RepositoryName,
) -> Result<Release, StoreError> {
    let held: Result<i64, _> = sqlx::query_scalar(COUNT_PUSHED)
        .bind(repository.as_str())
        .fetch_one(&mut transaction.connection)
        .await;
    let held = held.map_err(|error| transaction.error(error))?;
    if held > 0 {
        return Ok(Release::Holds(u64::try_from(held).unwrap_or(0)));
    }
    let deleted = sqlx::query(RELEASE)
        .bind(repository.as_str())
        .execute(&mut transaction.connection)
        .await
        .map_err(|error| transaction.error(error))?;
    if deleted.rows_affected() == 0 {
        return Ok(Release::NotLocal);
    }
    transaction.changed(Change::Pushed(repository));
    Ok(Release::Done)
}

/// Makes `repository` a local name, if it is none yet.
pub(super) async fn claim(
    transaction: &mut Transaction,
    repository: &RepositoryName,
    account: Option<&str>,
) -> Result<(), StoreError> {
    sqlx::query(CLAIM)
        .bind(repository.as_str())
        .bind(account)
        .bind(transaction.now())
        .execute(&mut transaction.connection)
        .await
        .map(drop)
        .map_err(|error| transaction.error(error))
}
