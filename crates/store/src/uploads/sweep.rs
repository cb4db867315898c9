//! Cleans up staging.
//!
//! At startup, every file that is neither an upload's nor resumable by a fill is removed, since no
//! other process writes to staging; then, and on request, abandoned uploads and interrupted fills
//! that were not resumed for too long.

use std::collections::HashMap;
use std::time::{Duration, SystemTime};

use crate::StoreError;
use crate::store::Store;
use crate::uploads::upload_id::UploadId;

impl Store {
    /// Discards uploads without an append for longer than `idle`, and interrupted fills older than
    /// that. Returns how many uploads there were.
    pub async fn sweep_uploads(&self, idle: Duration) -> Result<usize, StoreError> {
        let ids = self.inner.records.uploads().await?;
        let now = SystemTime::now();
        let staged = self.inner.content.list_staged().await?.into_iter();
        let touched: HashMap<String, SystemTime> = staged
            .map(|object| (object.name, object.modified))
            .collect();
        let is_stale = |id: &UploadId| match touched.get(id.as_str()) {
            Some(modified) => now.duration_since(*modified).is_ok_and(|age| age > idle),
            // Its row outlived its bytes.
            None => true,
        };
        let stale: Vec<UploadId> = ids.into_iter().filter(is_stale).collect();
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

    /// Discards interrupted fills older than `idle`. Returns how many bytes.
    pub async fn sweep_fills(&self, idle: Duration) -> Result<u64, StoreError> {
        let bytes = self.inner.content.sweep_resumable(idle).await?;
        if bytes > 0 {
            tracing::info!(bytes, "discarded interrupted fills that nobody took up");
        }
        Ok(bytes)
    }

    /// Runs once, before the store is used.
    pub(crate) async fn sweep_staging(&self) -> Result<(), StoreError> {
        let uploads = self.inner.records.uploads().await?;
        self.inner.take_interrupted_back(&uploads).await?;
        self.sweep_uploads(self.inner.options.upload_idle).await?;
        let known = self.inner.records.uploads().await?;
        let known = known.iter().map(UploadId::to_string).collect();
        let idle = self.inner.options.upload_idle;
        let swept = self.inner.content.sweep(known, idle).await?;
        if swept > 0 {
            tracing::info!(
                files = swept,
                "removed what an interrupted process left in staging"
            );
        }
        Ok(())
    }
}
