//! Backups of a data folder, and restoring one.

use std::path::{Path, PathBuf};

use metahub_registry::Registry;
use metahub_store::{BackupOptions, BackupReport, RestoreOptions, RestoreReport};
use serde::{Deserialize, Serialize};

use crate::error::OperationError;
use crate::operation::Operation;
use crate::progress::Progress;

/// Makes or updates a backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backup {
    /// The backup's folder, as an absolute path: a server may stand in another folder.
    pub folder: PathBuf,
    /// Remove blobs of former backups that this one does not name.
    pub prune: bool,
}

/// The report of a backup.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupOutcome {
    /// What was copied, and what was missing.
    #[serde(flatten)]
    pub report: BackupReport,
    /// Whether everything that the database names is in it.
    pub whole: bool,
}

impl Operation for Backup {
    type Report = BackupOutcome;

    async fn carry_out(
        self,
        registry: &Registry,
        mut progress: impl FnMut(Progress) + Send + Sync,
    ) -> Result<BackupOutcome, OperationError> {
        let options = BackupOptions { prune: self.prune };
        let copying = registry
            .store()
            .backup(&self.folder, options, |now| progress(now.into()));
        let report = copying.await?;
        Ok(BackupOutcome {
            whole: report.is_whole(),
            report,
        })
    }
}

/// What was restored.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RestoreOutcome {
    /// What was copied, and what was missing.
    #[serde(flatten)]
    pub report: RestoreReport,
    /// Whether everything is there and right.
    pub whole: bool,
}

/// Restores the backup in `folder` into the data folder `data`; with `verify`, everything is read
/// back.
///
/// # Errors When `data` is in use or not empty, or `folder` is no backup.
pub async fn restore(
    folder: &Path,
    data: &Path,
    verify: bool,
    mut progress: impl FnMut(Progress) + Send + Sync,
) -> Result<RestoreOutcome, OperationError> {
    let options = RestoreOptions { verify };
    let restoring = metahub_store::restore(folder, data, options, |now| progress(now.into()));
    let report = restoring.await?;
    Ok(RestoreOutcome {
        whole: report.is_whole(),
        report,
    })
}
