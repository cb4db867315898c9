//! Checks at startup that the folders of blobs belong to this database, by the database's record of
//! the store itself: its identity, the owner that may write, and the epoch that the folders are
//! marked with.

use rand::RngExt as _;

use crate::StoreError;
use crate::content::{ALGORITHMS, Marker, Survey, Verdict, judge};
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
    /// may be older than they are, so that content which it does not need may be needed.
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

    /// The store's identifier, which its backups carry.
    #[must_use]
    pub fn id(&self) -> Option<&str> {
        self.inner.identity.store()
    }

    /// Claims the database for this process. From now on every transaction checks that no other
    /// process has claimed it since.
    pub(crate) async fn claim(&self) -> Result<(), StoreError> {
        let Some(lease) = self.inner.lease() else {
            return Ok(());
        };
        self.inner.records.claim(lease).await
    }

    /// Settles whether the folders of blobs are the database's, and marks them.
    ///
    /// # Errors
    /// [`StoreError::ContentAbsent`] if they are not, unless `accept_loss`.
    pub(crate) async fn settle(&self, accept_loss: bool) -> Result<(), StoreError> {
        let survey = self.survey().await?;
        let before = self.inner.records.suspect().await?;
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
            // Reading must work on a full disk.
            Err(error @ (StoreError::NoSpace(_) | StoreError::ReadOnly(_))) if in_order => {
                tracing::warn!(%error, "no epoch begins");
                Ok(())
            }
            outcome => outcome,
        }
    }

    /// Begins an epoch after the one that the marks and the database are of now.
    pub(crate) async fn next_epoch(&self) -> Result<(), StoreError> {
        let Some(known) = self.inner.records.identity().await? else {
            return Ok(());
        };
        self.check_in_place().await?;
        let next = known.epoch.max(known.next.unwrap_or(0)) + 1;
        self.begin_epoch(known.store, next, self.suspect()).await
    }

    /// Marks the folders with `epoch`. The database records that before, so that a crash in between
    /// does not look like a restore of one side.
    async fn begin_epoch(
        &self,
        store: String,
        epoch: i64,
        suspect: Option<String>,
    ) -> Result<(), StoreError> {
        let records = &self.inner.records;
        records.begin_epoch(store.clone(), epoch, suspect).await?;
        self.inner.content.mark(Marker { store, epoch }).await?;
        records.finish_epoch(epoch).await
    }

    /// Notes that the database and the blobs belong together again.
    pub(crate) async fn trust(&self) -> Result<(), StoreError> {
        if self.suspect().is_some() {
            self.inner.records.set_suspect(None).await?;
            *self.inner.identity.suspect.lock() = None;
            tracing::info!("the database and the blobs belong together again");
        }
        Ok(())
    }

    async fn survey(&self) -> Result<Survey, StoreError> {
        let records = &self.inner.records;
        let sample = records.sample_of_files().await?;
        let content = &self.inner.content;
        let mut survey = Survey {
            known: records.identity().await?,
            has_rows: records.holds_anything().await?,
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
}
