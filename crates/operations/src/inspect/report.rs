//! What inspection reports of one image.

use metahub_hardware::{Stated, Statements};
use metahub_inspect::{FileAnswer, Gpu, ImageCpu, ImageFacts, Libraries};
use metahub_oci::{Digest, Platform};
use serde::Serialize;

use super::emulated::RunReport;
use super::verdict::LabelVerdict;

/// What one image needs.
#[derive(Clone, Debug, Serialize)]
pub struct InspectReport {
    /// What it was asked for by.
    pub image: String,
    /// The digest of its manifest; of an archive without manifests that of its configuration.
    pub digest: Digest,
    /// The platform that its configuration names.
    pub platform: Platform,
    /// Architectures of its programs, as OCI images name them.
    pub architectures: Vec<&'static str>,
    /// What its code asks of the processor.
    pub cpu: ImageCpu,
    /// The answers for each program that has one.
    pub files: Vec<FileAnswer>,
    /// GPU code in it.
    pub gpu: Gpu,
    /// C library, MPI, libfabric, CUDA and ROCm.
    #[serde(flatten)]
    pub libraries: Libraries,
    /// What the image says that it requires.
    pub labels: Vec<Stated>,
    /// What it says that cannot be read.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unread_labels: Vec<String>,
    /// Whether what it says of the processor covers what its code needs.
    pub verdict: LabelVerdict,
    /// What could not be read, and what is odd.
    pub findings: Vec<String>,
    /// How many programs and libraries were read.
    pub programs: usize,
    /// What a run on an emulated processor showed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run: Option<RunReport>,
}

/// What an image says.
pub(crate) struct Said {
    pub(crate) image: String,
    pub(crate) digest: Digest,
    pub(crate) platform: Platform,
    pub(crate) statements: Statements,
}

impl InspectReport {
    pub(crate) fn new(facts: ImageFacts, said: Said, verdict: LabelVerdict) -> Self {
        Self {
            image: said.image,
            digest: said.digest,
            platform: said.platform,
            architectures: facts.architectures.into_iter().collect(),
            cpu: facts.cpu,
            files: facts.files,
            gpu: facts.gpu,
            libraries: facts.libraries,
            labels: said.statements.requirements,
            unread_labels: said
                .statements
                .unread
                .iter()
                .map(ToString::to_string)
                .collect(),
            verdict,
            findings: facts.findings,
            programs: facts.programs,
            run: None,
        }
    }
}
