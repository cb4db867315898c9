//! Imports a bundle, with its documents.

use std::path::PathBuf;

use metahub_oci::ImageReference;
use metahub_registry::{Import, Imported, Registry};
use serde::{Deserialize, Serialize};

use crate::documents::ImportedDocuments;
use crate::error::OperationError;
use crate::operation::Operation;
use crate::progress::Progress;

/// Imports a bundle.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImportBundle {
    /// The file, as an absolute path: a server may stand in another folder.
    pub path: PathBuf,
    /// A new name for its only image.
    pub name: Option<ImageReference>,
    /// Whether to import its collections and profiles, too.
    pub documents: bool,
}

/// The report of an import.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct ImportReport {
    /// Images and blobs.
    #[serde(flatten)]
    pub imported: Imported,
    /// What its documents define.
    pub documents: Vec<String>,
}

impl Operation for ImportBundle {
    type Report = ImportReport;

    async fn carry_out(
        self,
        registry: &Registry,
        mut progress: impl FnMut(Progress) + Send + Sync,
    ) -> Result<ImportReport, OperationError> {
        let import = Import::open(&self.path, self.name).await?;
        let texts = if self.documents {
            import.documents()
        } else {
            &[]
        };
        let data = registry.store().folder();
        let documents = ImportedDocuments::check(data, &registry.catalog(), texts)?;
        let imported = registry.import(&import, |now| progress(now.into())).await?;
        Ok(ImportReport {
            imported,
            documents: documents.write()?,
        })
    }
}
