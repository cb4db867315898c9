//! What images need, by reading their code: from registries, or offline from an OCI layout or an
//! archive. What the code needs stands beside what the image says of itself.

mod inspected;
mod open;
mod read;
mod report;
mod verdict;

use std::sync::Arc;

use metahub_hardware::Microarchitectures;
use metahub_oci::Platform;

use crate::error::OperationError;
use crate::progress::Progress;

pub use inspected::Inspected;
pub(crate) use read::statements;
pub use report::InspectReport;
pub use verdict::LabelVerdict;

/// Inspects images.
#[derive(Clone, Debug)]
pub struct Inspect {
    /// The CPU targets that labels may name.
    pub graph: Arc<Microarchitectures>,
    /// The image.
    pub image: Inspected,
    /// Of an index only the images for this platform.
    pub platform: Option<Platform>,
}

impl Inspect {
    /// Reads every image that the name leads to, in the order of the index.
    ///
    /// # Errors
    /// When there is no image. Layers that cannot be read make an answer unknown instead.
    pub async fn run(
        self,
        progress: impl FnMut(Progress) + Send + Sync,
    ) -> Result<Vec<InspectReport>, OperationError> {
        let opened = open::open(self.image, self.platform.as_ref(), progress).await?;
        let mut reports = Vec::with_capacity(opened.len());
        for image in opened {
            let graph = Arc::clone(&self.graph);
            let read = tokio::task::spawn_blocking(move || read::report(image, &graph)).await;
            reports.push(read.map_err(|_| OperationError::Stopped)?);
        }
        Ok(reports)
    }
}
