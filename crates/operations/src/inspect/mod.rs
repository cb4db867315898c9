//! What images need, by reading their code: from registries, or offline from an OCI layout or an
//! archive. The report has the code's needs next to the image's own statements.

mod emulated;
mod inspected;
mod layer;
mod open;
mod read;
mod report;
mod verdict;

use std::sync::Arc;

use metahub_hardware::Microarchitectures;
use metahub_oci::Platform;

use crate::error::OperationError;
use crate::progress::Progress;

pub use emulated::{LiftedFile, RunOn, RunOutcome, RunReport};
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
    /// Also runs the image on an emulated processor.
    pub run_on: Option<RunOn>,
}

impl Inspect {
    /// Reads every image that the name leads to, in the order of the index.
    ///
    /// # Errors
    /// When there is no image, or none that can be run where that is asked for. Layers that cannot
    /// be read make an answer unknown instead.
    pub async fn run(
        self,
        progress: impl FnMut(Progress) + Send + Sync,
    ) -> Result<Vec<InspectReport>, OperationError> {
        let opened = open::open(self.image, self.platform.as_ref(), progress).await?;
        let opened = match &self.run_on {
            Some(run_on) => vec![run_on.choose(opened)?],
            None => opened,
        };
        let mut reports = Vec::with_capacity(opened.len());
        for image in opened {
            let (graph, run_on) = (Arc::clone(&self.graph), self.run_on.clone());
            let read = tokio::task::spawn_blocking(move || {
                let mut report = read::report(&image, &graph);
                if let Some(run_on) = run_on {
                    report.run = Some(emulated::run(&image, &run_on, &graph)?);
                }
                Ok::<_, OperationError>(report)
            });
            reports.push(read.await.map_err(|_| OperationError::Stopped)??);
        }
        Ok(reports)
    }
}
