//! What the database knows of the store itself: its identity, who may write, and which epoch the
//! folders of blobs are marked with. Settles at the start whether those are the right ones.

use metahub_oci::Digest;
use rand::RngExt as _;

use crate::StoreError;
use crate::content::{ALGORITHMS, Known, Marker, Survey, Verdict, judge};
use crate::records::sqlite::encoding::{digest_from_bytes, first_key};
use crate::records::sqlite::writer::{Durability, Fence, Transaction};
use crate::store::{Inner, Store};

impl Inner {
    /// The error for content that is not the database's.
    fn absent(&self, problem: String) -> StoreError {
        StoreError::ContentAbsent {
            folder: self.content.location().to_owned(),
            problem,
        }
    }
}

impl Store {
    /// Fails unless the folders of blobs are those that the database was written with: they may
    /// have been unmounted or emptied while the store is open.
    pub(crate) async fn check_in_place(&self) -> Result<(), StoreError> {
        self.inner.content.check_in_place().await
    }

    /// Fails while nothing may be removed: the folders of blobs are not in place, or the database
    /// may be older than they are, and what it does not need another one may.
    pub(crate) async fn check_removable(&self) -> Result<(), StoreError> {
        if let Some(problem) = self.suspect() {
            let problem = format!("{problem}; nothing is removed until metahub scrub is done");
            return Err(self.inner.absent(problem));
        }
        self.check_in_place().await
    }

    /// Why the database and the blobs do not seem to be of the same time, if so: one of them was
    /// restored without the other.
    #[must_use]
    pub fn suspect(&self) -> Option<String> {
        self.inner.identity.suspect()
    }

    /// The store's identifier: what its backups are known by.
    #[must_use]
    pub fn id(&self) -> Option<&str> {
        self.inner.identity.store()
    }

    /// Claims the database for this process. From now on every transaction looks whether another
    /// one has claimed it since.
    pub(crate) async fn claim(&self) -> Result<(), StoreError> {
        let Some(lease) = self.inner.lease() else {
            return Ok(());
        };
        let owner = lease.token();
        self.set("owner", Some(owner.clone())).await?;
        let _ = self.inner.fence.set(Fence { lease, owner });
        Ok(())
    }

    /// Settles whether the folders of blobs are the database's, and marks them.
    ///
    /// # Errors
    /// [`StoreError::ContentAbsent`] if they are not, unless `accept_loss`.
    pub(crate) async fn settle(&self, accept_loss: bool) -> Result<(), StoreError> {
        let survey = self.survey().await?;
        let before = self.value("suspect").await?;
        let suspect = match judge(&survey) {
            Verdict::Fits => before.clone(),
            Verdict::Suspect(why) => Some(why),
            Verdict::Refuse(problem) if accept_loss => {
                tracing::warn!(problem, "the loss is accepted");
                Some(problem)
            }
            Verdict::Refuse(problem) => return Err(self.inner.absent(problem)),
        };
        if let Some(why) = &suspect {
            tracing::error!(
                problem = why,
                "run metahub scrub: until it finds everything in order, no file is removed"
            );
        }
        let known = survey.known.clone();
        let store = known.as_ref().map_or_else(
            || format!("{:032x}", rand::rng().random::<u128>()),
            |known| known.store.clone(),
        );
        let highest = survey.marks.iter().flatten().map(|mark| mark.epoch).max();
        let epoch = known.map_or(0, |known| {
            known.next.unwrap_or(known.epoch).max(known.epoch)
        });
        let next = epoch.max(highest.unwrap_or(0)) + 1;
        let _ = self.inner.identity.store.set(store.clone());
        self.inner.content.belongs_to(&store);
        self.inner.identity.suspect.lock().clone_from(&suspect);
        let marked = survey.marks.iter().flatten().filter(|m| m.store == store);
        let in_order = marked.count() == ALGORITHMS.len() && suspect == before;
        match self.begin_epoch(store, next, suspect).await {
            // A full disk keeps nobody from reading.
            Err(error @ (StoreError::NoSpace(_) | StoreError::ReadOnly(_))) if in_order => {
                tracing::warn!(%error, "no epoch begins");
                Ok(())
            }
            outcome => outcome,
        }
    }

    /// Begins an epoch after the one that the marks and the database are of now.
    pub(crate) async fn next_epoch(&self) -> Result<(), StoreError> {
        let Some(known) = self.known().await? else {
            return Ok(());
        };
        self.check_in_place().await?;
        let next = known.epoch.max(known.next.unwrap_or(0)) + 1;
        self.begin_epoch(known.store, next, self.suspect()).await
    }

    /// Marks the folders with `epoch`. The database says before that it is going to, so that a
    /// crash in between looks like neither side's restore.
    async fn begin_epoch(
        &self,
        store: String,
        epoch: i64,
        suspect: Option<String>,
    ) -> Result<(), StoreError> {
        let (id, number) = (store.clone(), epoch.to_string());
        let writer = &self.inner.database.writer;
        let next = number.clone();
        writer
            .write(Durability::Full, move |transaction| {
                Box::pin(async move {
                    put(transaction, "id", Some(id)).await?;
                    put(transaction, "suspect", suspect).await?;
                    put(transaction, "next_epoch", Some(next)).await
                })
            })
            .await?;
        self.inner.content.mark(Marker { store, epoch }).await?;
        writer
            .write(Durability::Full, move |transaction| {
                Box::pin(async move {
                    put(transaction, "epoch", Some(number)).await?;
                    put(transaction, "next_epoch", None).await
                })
            })
            .await
    }

    /// Notes that the database and the blobs belong together again.
    pub(crate) async fn trust(&self) -> Result<(), StoreError> {
        if self.suspect().is_some() {
            self.set("suspect", None).await?;
            *self.inner.identity.suspect.lock() = None;
            tracing::info!("the database and the blobs belong together again");
        }
        Ok(())
    }

    async fn survey(&self) -> Result<Survey, StoreError> {
        let has_rows: bool = sqlx::query_scalar(
            "SELECT EXISTS (SELECT 1 FROM blobs) OR EXISTS (SELECT 1 FROM manifests)
                 OR EXISTS (SELECT 1 FROM repositories) OR EXISTS (SELECT 1 FROM uploads)",
        )
        .fetch_one(&self.inner.database.readers)
        .await
        .map_err(|error| self.inner.database.error(error))?;
        let sample = self.sample().await?;
        let content = &self.inner.content;
        let mut survey = Survey {
            known: self.known().await?,
            has_rows,
            looked: sample.len(),
            ..Survey::default()
        };
        for digest in &sample {
            survey.absent += usize::from(content.size(digest).await?.is_none());
        }
        survey.marks = content.marks().await?;
        survey.holds_files = content.holds_any().await?;
        Ok(survey)
    }

    /// One blob that lies in a file for each folder that holds any.
    async fn sample(&self) -> Result<Vec<Digest>, StoreError> {
        let mut sample = Vec::new();
        for algorithm in ALGORITHMS {
            for first in 0..=u8::MAX {
                let (start, end) = first_key(algorithm, first);
                let found: Option<Vec<u8>> = sqlx::query_scalar(
                    "SELECT digest FROM blobs WHERE digest >= $1 AND digest <= $2
                     AND body IS NULL LIMIT 1",
                )
                .bind(start)
                .bind(end)
                .fetch_optional(&self.inner.database.readers)
                .await
                .map_err(|error| self.inner.database.error(error))?;
                sample.extend(found.and_then(|digest| digest_from_bytes(&digest)));
            }
        }
        Ok(sample)
    }

    async fn known(&self) -> Result<Option<Known>, StoreError> {
        let Some(store) = self.value("id").await? else {
            return Ok(None);
        };
        let number = |text: Option<String>| text.and_then(|text| text.parse().ok());
        Ok(Some(Known {
            store,
            epoch: number(self.value("epoch").await?).unwrap_or(0),
            next: number(self.value("next_epoch").await?),
        }))
    }

    async fn value(&self, name: &'static str) -> Result<Option<String>, StoreError> {
        sqlx::query_scalar("SELECT value FROM store WHERE name = $1")
            .bind(name)
            .fetch_optional(&self.inner.database.readers)
            .await
            .map_err(|error| self.inner.database.error(error))
    }

    async fn set(&self, name: &'static str, value: Option<String>) -> Result<(), StoreError> {
        self.inner
            .database
            .writer
            .write(Durability::Full, move |transaction| {
                Box::pin(async move { put(transaction, name, value).await })
            })
            .await
    }
}

async fn put(
    transaction: &mut Transaction,
    name: &'static str,
    value: Option<String>,
) -> Result<(), StoreError> {
    let query = match value {
        Some(value) => sqlx::query(
            "INSERT INTO store (name, value) VALUES ($1, $2)
             ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        )
        .bind(name)
        .bind(value),
        None => sqlx::query("DELETE FROM store WHERE name = $1").bind(name),
    };
    let result = query.execute(&mut transaction.connection).await;
    result.map(|_| ()).map_err(|error| transaction.error(error))
}
