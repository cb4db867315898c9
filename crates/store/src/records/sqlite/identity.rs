//! The store's own records: its identity, its writer, and the epoch that the folders of blobs are
//! marked with.

use std::sync::Arc;

use metahub_oci::Digest;

use super::SqliteRecords;
use super::encoding::{digest_from_bytes, first_key};
use super::transaction::{Durability, Fence, Transaction};
use crate::StoreError;
use crate::content::{ALGORITHMS, Known};
use crate::folder::lease;
use crate::records::{Answer, IdentityRecords};

statements! {
    VALUE = "SELECT value FROM store WHERE name = $1";
    SET =
        "INSERT INTO store (name, value) VALUES ($1, $2)
         ON CONFLICT (name) DO UPDATE SET value = excluded.value";
    UNSET = "DELETE FROM store WHERE name = $1";
    HOLDS_ANYTHING =
        "SELECT EXISTS (SELECT 1 FROM blobs) OR EXISTS (SELECT 1 FROM manifests)
             OR EXISTS (SELECT 1 FROM repositories) OR EXISTS (SELECT 1 FROM uploads)";
    FIRST_FILE =
        "SELECT digest FROM blobs WHERE digest >= $1 AND digest <= $2 AND body IS NULL LIMIT 1";
}

impl SqliteRecords {
    async fn value(&self, name: &'static str) -> Result<Option<String>, StoreError> {
        let query = sqlx::query_scalar(VALUE).bind(name);
        self.read(query.fetch_optional(&self.readers)).await
    }

    fn set(&self, values: Vec<(&'static str, Option<String>)>) -> Answer<'_, ()> {
        self.write(Durability::Full, move |transaction| {
            Box::pin(async move {
                for (name, value) in values {
                    put(transaction, name, value).await?;
                }
                Ok::<_, StoreError>(())
            })
        })
    }
}

impl IdentityRecords for SqliteRecords {
    fn claim(&self, lease: Arc<lease::Shared>) -> Answer<'_, ()> {
        Box::pin(async move {
            let owner = lease.token();
            self.set(vec![("owner", Some(owner.clone()))]).await?;
            // From now on every transaction looks whether another process has claimed it since.
            let _ = self.fence.set(Fence { lease, owner });
            Ok(())
        })
    }

    fn identity(&self) -> Answer<'_, Option<Known>> {
        Box::pin(async move {
            let Some(store) = self.value("id").await? else {
                return Ok(None);
            };
            let number = |text: Option<String>| text.and_then(|text| text.parse().ok());
            Ok(Some(Known {
                store,
                epoch: number(self.value("epoch").await?).unwrap_or(0),
                next: number(self.value("next_epoch").await?),
            }))
        })
    }

    fn suspect(&self) -> Answer<'_, Option<String>> {
        Box::pin(self.value("suspect"))
    }

    fn set_suspect(&self, suspect: Option<String>) -> Answer<'_, ()> {
        self.set(vec![("suspect", suspect)])
    }

    fn begin_epoch(&self, store: String, epoch: i64, suspect: Option<String>) -> Answer<'_, ()> {
        self.set(vec![
            ("id", Some(store)),
            ("suspect", suspect),
            ("next_epoch", Some(epoch.to_string())),
        ])
    }

    fn finish_epoch(&self, epoch: i64) -> Answer<'_, ()> {
        self.set(vec![
            ("epoch", Some(epoch.to_string())),
            ("next_epoch", None),
        ])
    }

    fn holds_anything(&self) -> Answer<'_, bool> {
        self.read(sqlx::query_scalar(HOLDS_ANYTHING).fetch_one(&self.readers))
    }

    fn sample_of_files(&self) -> Answer<'_, Vec<Digest>> {
        Box::pin(async move {
            let mut sample = Vec::new();
            for algorithm in ALGORITHMS {
                for first in 0..=u8::MAX {
                    let (start, end) = first_key(algorithm, first);
                    let query = sqlx::query_scalar(FIRST_FILE).bind(start).bind(end);
                    let found: Option<Vec<u8>> =
                        self.read(query.fetch_optional(&self.readers)).await?;
                    sample.extend(found.and_then(|digest| digest_from_bytes(&digest)));
                }
            }
            Ok(sample)
        })
    }
}

async fn put(
    transaction: &mut Transaction,
    name: &'static str,
    value: Option<String>,
) -> Result<(), StoreError> {
    let query = match value {
        Some(value) => sqlx::query(SET).bind(name).bind(value),
        None => sqlx::query(UNSET).bind(name),
    };
    let result = query.execute(&mut transaction.connection).await;
    result.map(|_| ()).map_err(|error| transaction.error(error))
}
