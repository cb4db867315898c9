//! The programs of an image, layer upon layer: what upper layers remove or replace counts no more.

use std::collections::BTreeSet;
use std::io::Read;

use serde::Serialize;

use crate::answer::{Cpu, Evidence, FileFacts, Gpu, Level, Status};
use crate::libraries::Libraries;
use crate::limits::Limits;
use crate::tree::Tree;
use crate::{gpu, layer, libraries, siblings};

/// Most evidence of an image.
const EVIDENCE: usize = 200;

/// An image on its way: its layers are given one by one, the lowest first.
#[derive(Debug)]
pub struct Image {
    tree: Tree,
}

/// What an image needs, as far as reading it shows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ImageFacts {
    /// Architectures of its programs, as OCI images name them.
    pub architectures: BTreeSet<&'static str>,
    /// What its programs ask of the processor.
    pub cpu: ImageCpu,
    /// The answers for each program that has one.
    pub files: Vec<FileAnswer>,
    /// GPU code that they hold.
    pub gpu: Gpu,
    /// C library, MPI, libfabric, CUDA and ROCm.
    #[serde(flatten)]
    pub libraries: Libraries,
    /// What could not be read, and what is odd.
    pub findings: Vec<String>,
    /// How many programs and libraries were read.
    pub programs: usize,
}

/// What an image asks of the processor.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ImageCpu {
    /// It dies without; `None` where there is no evidence of a need.
    pub required: Option<Level>,
    /// The highest that is chosen when it runs.
    pub dispatched: Option<Level>,
    /// Whether it may need more than `required` says.
    pub unknown: bool,
    /// Features that its code uses unconditionally, as Linux names them.
    pub features: BTreeSet<&'static str>,
    /// What shows it, file by file.
    pub evidence: Vec<FileEvidence>,
}

/// What one program asks of the processor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FileAnswer {
    /// The path in the image.
    pub file: String,
    /// It dies without.
    pub required: Option<Level>,
    /// The highest that is chosen when it runs.
    pub dispatched: Option<Level>,
    /// Whether it may need more than `required` says.
    pub unknown: bool,
    /// The SHA-256 of its content in hexadecimal; none of a file that was not read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
}

/// Evidence, and the file that it stands in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FileEvidence {
    /// The path in the image; empty where it is of the image as a whole.
    pub file: String,
    /// What is there.
    #[serde(flatten)]
    pub evidence: Evidence,
}

impl Image {
    /// An image without a layer.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            tree: Tree::new(limits),
        }
    }

    /// Reads the next layer: a tar archive, plain or compressed with gzip or zstd. What of it cannot
    /// be read makes the answer unknown. Blocks, and computes for long.
    pub fn add_layer(&mut self, name: &str, source: impl Read) {
        self.tree.next_layer();
        if let Err(error) = layer::read(&mut self.tree, source) {
            self.tree.unread.push(format!("layer {name}: {error}"));
        }
    }

    /// Notes a layer that could not be had.
    pub fn add_unread_layer(&mut self, name: &str, why: &str) {
        self.tree.next_layer();
        self.tree.unread.push(format!("layer {name}: {why}"));
    }

    /// The programs by their paths.
    pub fn programs(&self) -> impl Iterator<Item = (&str, &FileFacts)> {
        self.tree.programs()
    }

    /// What the layers that were given need together.
    #[must_use]
    pub fn facts(&self) -> ImageFacts {
        let mut facts = ImageFacts {
            programs: self.tree.len(),
            findings: self.tree.findings.clone(),
            ..ImageFacts::default()
        };
        if self.tree.hidden > 0 {
            facts
                .findings
                .push(format!("and {} more", self.tree.hidden));
        }
        let alternatives = siblings::alternatives(self.programs().map(|(path, _)| path));
        for (path, file, hash) in self.tree.hashed() {
            if file.loaded && !file.architecture.is_empty() {
                facts.architectures.insert(file.architecture);
            }
            gpu::join(&mut facts.gpu, &file.gpu);
            facts.libraries.add(path, file);
            for damage in &file.damage {
                facts.findings.push(format!("{path}: {damage}"));
            }
            let cpu = &file.cpu;
            if cpu.required.is_some() || cpu.dispatched.is_some() || cpu.unknown {
                facts.files.push(FileAnswer {
                    file: path.to_owned(),
                    required: cpu.required,
                    dispatched: cpu.dispatched,
                    unknown: cpu.unknown,
                    sha256: hash.map(hex),
                });
            }
            facts.cpu.add(path, &file.cpu, alternatives.contains(path));
        }
        facts.libraries.c_library = libraries::c_library(self.programs());
        for unread in &self.tree.unread {
            facts.findings.push(unread.clone());
            facts
                .cpu
                .show("", Evidence::new(Status::Unknown, None, unread.clone()));
        }
        if let Some(why) = &facts.gpu.unread {
            facts.findings.push(format!("GPU code: {why}"));
        }
        facts
    }
}

pub(crate) fn hex(hash: [u8; 32]) -> String {
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl ImageCpu {
    fn add(&mut self, path: &str, cpu: &Cpu, alternative: bool) {
        if !alternative {
            self.features.extend(&cpu.features);
        }
        for evidence in &cpu.evidence {
            let mut evidence = evidence.clone();
            if alternative && evidence.level.is_some() {
                evidence.status = Status::Dispatched;
                evidence.why = "its place or name says that another file stands beside it for other processors"
                    .to_owned();
            }
            self.show(path, evidence);
        }
    }

    fn show(&mut self, path: &str, evidence: Evidence) {
        match evidence.status {
            Status::Required => self.required = self.required.max(evidence.level),
            Status::Dispatched => self.dispatched = self.dispatched.max(evidence.level),
            Status::Unknown => self.unknown = true,
        }
        let few = self.evidence.len() < EVIDENCE;
        if few || (evidence.status == Status::Required && self.evidence.len() < 2 * EVIDENCE) {
            self.evidence.push(FileEvidence {
                file: path.to_owned(),
                evidence,
            });
        }
    }
}
