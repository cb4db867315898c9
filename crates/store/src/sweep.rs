//! Removing what broken-off work left in staging.
//!
//! At start of the process that serves: every file there that is no upload's and nothing that a
//! fill may take up, since nobody else writes to staging; then, and whenever asked, uploads that
//! nobody appended to for too long, and interrupted fills that nobody took up.

use std::collections::HashSet;
use std::fs;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::StoreError;
use crate::layout::remove_file;
use crate::store::{Store, blocking};
use crate::upload_id::UploadId;

impl Store {
    /// Discards uploads that nobody appended to for longer than `idle`, and what came of fills that
    /// were interrupted before that. How many uploads there were.
    pub async fn sweep_uploads(&self, idle: Duration) -> Result<usize, StoreError> {
        let ids = self.inner.records.uploads().await?;
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
        self.sweep_fills(idle).await?;
        Ok(swept)
    }

    /// Discards what came of fills that were interrupted longer than `idle` ago. How many bytes.
    pub async fn sweep_fills(&self, idle: Duration) -> Result<u64, StoreError> {
        let interrupted = Arc::clone(&self.inner.interrupted);
        let bytes = blocking(move || Ok::<_, StoreError>(interrupted.sweep(idle))).await?;
        if bytes > 0 {
            tracing::info!(bytes, "discarded interrupted fills that nobody took up");
        }
        Ok(bytes)
    }

    /// What is done once, before anybody uses the store.
    pub(crate) async fn sweep_staging(&self) -> Result<(), StoreError> {
        let uploads = self.inner.records.uploads().await?;
        self.inner.put_interrupted_back(&uploads).await?;
        self.sweep_uploads(self.inner.options.upload_idle).await?;
        let known = self.inner.records.uploads().await?;
        let staging = self.inner.layout.staging();
        let interrupted = Arc::clone(&self.inner.interrupted);
        let idle = self.inner.options.upload_idle;
        let swept = blocking(move || {
            let mut known: HashSet<String> = known.iter().map(UploadId::to_string).collect();
            let list = |error| StoreError::io("list", &staging, error);
            known.extend(interrupted.find(&staging, idle).map_err(list)?);
            let mut swept = 0;
            for entry in fs::read_dir(&staging).map_err(list)? {
                let entry = entry.map_err(list)?;
                let is_known = entry
                    .file_name()
                    .to_str()
                    .is_some_and(|n| known.contains(n));
                if !is_known && remove_file(&entry.path())? {
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
