//! Removing what broken-off work left in staging.
//!
//! At start of the process that serves: every file there that is no upload's, since nobody else
//! writes to staging; then, and whenever asked, uploads that nobody appended to for too long.

use std::collections::HashSet;
use std::fs;
use std::time::{Duration, SystemTime};

use crate::StoreError;
use crate::layout::remove_file;
use crate::store::{Store, blocking};
use crate::upload_id::UploadId;

impl Store {
    /// Discards uploads that nobody appended to for longer than `idle`. How many there were.
    pub async fn sweep_uploads(&self, idle: Duration) -> Result<usize, StoreError> {
        let ids: Vec<String> = sqlx::query_scalar("SELECT id FROM uploads")
            .fetch_all(&self.inner.database.readers)
            .await
            .map_err(|error| self.inner.database.error(error))?;
        let ids: Vec<UploadId> = ids.iter().filter_map(|id| id.parse().ok()).collect();
        let layout = self.inner.layout.clone();
        let stale = blocking(move || {
            let now = SystemTime::now();
            let is_stale = |id: &UploadId| match fs::metadata(layout.staged(id.as_str())) {
                Ok(file) => file
                    .modified()
                    .ok()
                    .and_then(|modified| now.duration_since(modified).ok())
                    .is_some_and(|age| age > idle),
                // Its row outlived its file.
                Err(_) => true,
            };
            Ok::<_, StoreError>(ids.into_iter().filter(is_stale).collect::<Vec<_>>())
        })
        .await?;
        let mut swept = 0;
        for id in stale {
            swept += usize::from(self.inner.discard_if_idle(&id).await?);
        }
        if swept > 0 {
            tracing::info!(uploads = swept, "discarded uploads that nobody continued");
        }
        Ok(swept)
    }

    /// What is done once, before anybody uses the store.
    pub(crate) async fn sweep_staging(&self) -> Result<(), StoreError> {
        self.sweep_uploads(self.inner.options.upload_idle).await?;
        let known: Vec<String> = sqlx::query_scalar("SELECT id FROM uploads")
            .fetch_all(&self.inner.database.readers)
            .await
            .map_err(|error| self.inner.database.error(error))?;
        let staging = self.inner.layout.staging();
        let swept = blocking(move || {
            let known: HashSet<String> = known.into_iter().collect();
            let list = |error| StoreError::io("list", &staging, error);
            let mut swept = 0;
            for entry in fs::read_dir(&staging).map_err(list)? {
                let entry = entry.map_err(list)?;
                let is_upload = entry
                    .file_name()
                    .to_str()
                    .is_some_and(|n| known.contains(n));
                if !is_upload && remove_file(&entry.path())? {
                    swept += 1;
                }
            }
            Ok::<_, StoreError>(swept)
        })
        .await?;
        if swept > 0 {
            tracing::info!(
                files = swept,
                "removed what an interrupted process left in staging"
            );
        }
        Ok(())
    }
}
