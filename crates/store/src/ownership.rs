//! Which names are local: somebody pushed a manifest to them. A name is local from its first push
//! until an admin releases it, whatever is deleted meanwhile, because an upstream's repository of
//! the same name belongs to somebody else.

use std::time::SystemTime;

use metahub_oci::RepositoryName;

use crate::StoreError;
use crate::records::Change;
use crate::records::Origin;
use crate::records::Page;
use crate::records::sqlite::encoding::{now, time_from_millis};
use crate::records::sqlite::writer::{Durability, Transaction};
use crate::store::Store;

/// A local name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalName {
    /// The name.
    pub name: RepositoryName,
    /// The account that pushed to it first, where that is known.
    pub account: Option<String>,
    /// When that was.
    pub claimed_at: SystemTime,
    /// How many pushed manifests it holds.
    pub manifests: u64,
}

/// What became of the release of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Release {
    /// The name is no longer local.
    Done,
    /// The name is not local.
    NotLocal,
    /// It still holds so many pushed manifests, and stays local.
    Holds(u64),
}

impl Store {
    /// Whether somebody pushed a manifest to `repository` and nobody released the name since:
    /// then no upstream's repository of that name may be mixed into it.
    pub async fn was_pushed(&self, repository: &RepositoryName) -> Result<bool, StoreError> {
        let cache = &self.inner.caches.pushed;
        if let Some(known) = cache.get(repository) {
            return Ok(known);
        }
        let ticket = cache.ticket(repository);
        let pushed: bool =
            sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM local_names WHERE name = $1)")
                .bind(repository.as_str())
                .fetch_one(&self.inner.database.readers)
                .await
                .map_err(|error| self.inner.database.error(error))?;
        cache.fill(ticket, repository.clone(), pushed);
        Ok(pushed)
    }

    /// The local names after `after`, in lexical order, at most `limit`.
    pub async fn local_names(
        &self,
        after: Option<&RepositoryName>,
        limit: usize,
    ) -> Result<Page<LocalName>, StoreError> {
        let rows: Vec<(String, Option<String>, i64, i64)> = sqlx::query_as(
            "SELECT n.name, n.account, n.claimed_at,
                 (SELECT count(*) FROM repo_manifests h JOIN repositories r
                      ON r.id = h.repository_id
                  WHERE r.name = n.name AND h.origin = $3)
             FROM local_names n WHERE n.name > $1 ORDER BY n.name LIMIT $2",
        )
        .bind(after.map_or("", RepositoryName::as_str))
        .bind(i64::try_from(limit.saturating_add(1)).unwrap_or(i64::MAX))
        .bind(Origin::Pushed.number())
        .fetch_all(&self.inner.database.readers)
        .await
        .map_err(|error| self.inner.database.error(error))?;
        let more = rows.len() > limit;
        let items = rows.into_iter().take(limit);
        let items = items.map(|(name, account, claimed_at, manifests)| {
            let problem = format!("the local name '{name}'");
            Ok(LocalName {
                name: name
                    .parse()
                    .map_err(|_| self.inner.database.corrupt(problem))?,
                account,
                claimed_at: time_from_millis(claimed_at),
                manifests: u64::try_from(manifests).unwrap_or(0),
            })
        });
        Ok(Page {
            items: items.collect::<Result<_, StoreError>>()?,
            more,
        })
    }

    /// Lets `repository` be found at upstreams again. A name that holds pushed manifests stays
    /// local: they are deleted first.
    pub async fn release_name(&self, repository: &RepositoryName) -> Result<Release, StoreError> {
        let repository = repository.clone();
        let writer = &self.inner.database.writer;
        writer
            .write(Durability::Full, move |transaction| {
                Box::pin(async move { release(transaction, &repository).await })
            })
            .await
    }
}

async fn release(
    transaction: &mut Transaction,
    repository: &RepositoryName,
) -> Result<Release, StoreError> {
    let held: Result<i64, _> = sqlx::query_scalar(
        "SELECT count(*) FROM repo_manifests
         WHERE repository_id = (SELECT id FROM repositories WHERE name = $1) AND origin = $2",
    )
    .bind(repository.as_str())
    .bind(Origin::Pushed.number())
    .fetch_one(&mut transaction.connection)
    .await;
    let held = held.map_err(|error| transaction.error(error))?;
    if held > 0 {
        return Ok(Release::Holds(u64::try_from(held).unwrap_or(0)));
    }
    let deleted = sqlx::query("DELETE FROM local_names WHERE name = $1")
        .bind(repository.as_str())
        .execute(&mut transaction.connection)
        .await
        .map_err(|error| transaction.error(error))?;
    if deleted.rows_affected() == 0 {
        return Ok(Release::NotLocal);
    }
    transaction.changed(Change::Pushed(repository.clone()));
    Ok(Release::Done)
}

/// Makes `repository` a local name, if it is none yet.
pub(crate) async fn claim(
    transaction: &mut Transaction,
    repository: &RepositoryName,
    account: Option<&str>,
) -> Result<(), StoreError> {
    sqlx::query("INSERT OR IGNORE INTO local_names (name, account, claimed_at) VALUES ($1, $2, $3)")
        .bind(repository.as_str())
        .bind(account)
        .bind(now())
        .execute(&mut transaction.connection)
        .await
        .map(drop)
        .map_err(|error| transaction.error(error))
}

#[cfg(test)]
mod tests {
    use metahub_oci::{Document, Index};

    use super::*;
    use crate::{GcOptions, PutManifest};

    fn pushed(account: &str) -> PutManifest {
        PutManifest {
            account: Some(account.to_owned()),
            ..PutManifest::pushed(Vec::new())
        }
    }

    #[tokio::test]
    async fn a_name_is_local_from_the_first_push_until_it_is_released() {
        let store = Store::temporary().await.unwrap();
        let name: RepositoryName = "alice/app".parse().unwrap();
        let document = Document::from(Index::new(Vec::new()));
        let digest = document.digest();
        assert!(!store.was_pushed(&name).await.unwrap());
        let read = PutManifest::upstream(Vec::new(), "quay.io/alice/app:1");
        store.put_manifest(&name, &document, read).await.unwrap();
        assert!(!store.was_pushed(&name).await.unwrap());
        let push = pushed("alice");
        store.put_manifest(&name, &document, push).await.unwrap();
        assert!(store.was_pushed(&name).await.unwrap());
        let held = store.release_name(&name).await.unwrap();
        assert_eq!(held, Release::Holds(1));
        assert!(store.delete_manifest(&name, digest).await.unwrap());
        assert!(store.was_pushed(&name).await.unwrap());
        let now = GcOptions {
            grace: std::time::Duration::ZERO,
            dry_run: false,
        };
        store.collect_garbage(&now).await.unwrap();
        assert!(store.was_pushed(&name).await.unwrap());
        // Who pushes later does not take the name over.
        let again = pushed("bob");
        store.put_manifest(&name, &document, again).await.unwrap();
        store.delete_manifest(&name, digest).await.unwrap();
        let names = store.local_names(None, 10).await.unwrap();
        assert!(!names.more);
        let [found] = names.items.as_slice() else {
            panic!("{names:?}");
        };
        assert_eq!(found.name, name);
        assert_eq!(found.account.as_deref(), Some("alice"));
        assert_eq!(found.manifests, 0);
        assert_eq!(store.release_name(&name).await.unwrap(), Release::Done);
        assert!(!store.was_pushed(&name).await.unwrap());
        let again = store.release_name(&name).await.unwrap();
        assert_eq!(again, Release::NotLocal);
    }

    #[tokio::test]
    async fn an_upgrade_makes_the_names_local_that_hold_pushed_manifests() {
        use sqlx::{ConnectOptions as _, Connection as _, sqlite::SqliteConnectOptions};

        let folder = tempfile::tempdir().unwrap();
        let document = Document::from(Index::new(Vec::new()));
        let [pushed_to, read]: [RepositoryName; 2] =
            ["alice/app", "quay.io/alice/app"].map(|name| name.parse().unwrap());
        let store = Store::open(folder.path(), crate::Mode::Serve)
            .await
            .unwrap();
        let push = pushed("alice");
        store
            .put_manifest(&pushed_to, &document, push)
            .await
            .unwrap();
        let upstream = PutManifest::upstream(Vec::new(), "quay.io/alice/app:1");
        store
            .put_manifest(&read, &document, upstream)
            .await
            .unwrap();
        store.close().await;
        // As a version that did not know local names left it.
        let file = folder.path().join("metahub.db");
        let options = SqliteConnectOptions::new().filename(file);
        let mut connection = options.connect().await.unwrap();
        for statement in [
            "DROP TABLE local_names",
            "DELETE FROM _sqlx_migrations WHERE version = 8",
        ] {
            sqlx::query(statement)
                .execute(&mut connection)
                .await
                .unwrap();
        }
        connection.close().await.unwrap();
        let store = Store::open(folder.path(), crate::Mode::Serve)
            .await
            .unwrap();
        assert!(store.was_pushed(&pushed_to).await.unwrap());
        assert!(!store.was_pushed(&read).await.unwrap());
        let names = store.local_names(None, 10).await.unwrap().items;
        assert_eq!(names.len(), 1);
        assert_eq!(names[0].account, None);
    }

    #[tokio::test]
    async fn a_push_that_is_refused_makes_no_name_local() {
        let store = Store::temporary().await.unwrap();
        let name: RepositoryName = "alice/app".parse().unwrap();
        let child = Document::from(Index::new(Vec::new())).descriptor();
        let document = Document::from(Index::new(vec![child]));
        let refused = store.put_manifest(&name, &document, pushed("alice")).await;
        assert!(refused.is_err());
        assert!(!store.was_pushed(&name).await.unwrap());
    }

    #[tokio::test]
    async fn a_tag_that_was_not_there_is_found_once_it_is_pushed() {
        let store = Store::temporary().await.unwrap();
        let name: RepositoryName = "alice/app".parse().unwrap();
        let tag: metahub_oci::Tag = "1".parse().unwrap();
        let document = Document::from(Index::new(Vec::new()));
        assert!(store.tag(&name, &tag).await.unwrap().is_none());
        let push = PutManifest::pushed(vec![tag.clone()]);
        store.put_manifest(&name, &document, push).await.unwrap();
        assert!(store.tag(&name, &tag).await.unwrap().is_some());
    }
}
