//! What inspection says of a file: the public types.

use std::collections::BTreeSet;

use serde::Serialize;

/// A level of a CPU architecture, each holding those below it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Level {
    /// x86-64-v2: SSE3 to SSE4.2, POPCNT, CMPXCHG16B.
    V2,
    /// x86-64-v3: AVX, AVX2, BMI, FMA, F16C, LZCNT, MOVBE.
    V3,
    /// x86-64-v4: AVX-512 F, BW, CD, DQ, VL.
    V4,
    /// Armv8.1-A: atomic instructions (LSE).
    Arm81,
    /// Armv8.2-A with dot products and half precision.
    Arm82,
    /// Armv8.2-A with the scalable vector extension.
    Sve,
}

impl Level {
    /// Its name among archspec's targets.
    #[must_use]
    pub fn target(self) -> &'static str {
        match self {
            Self::V2 => "x86_64_v2",
            Self::V3 => "x86_64_v3",
            Self::V4 => "x86_64_v4",
            Self::Arm81 => "armv8.1a",
            Self::Arm82 | Self::Sve => "armv8.2a",
        }
    }
}

impl Serialize for Level {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.target())
    }
}

/// How something is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// It does not run without.
    Required,
    /// It is chosen when the program runs.
    Dispatched,
    /// Neither was shown.
    Unknown,
}

/// What shows an answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Evidence {
    /// What it shows.
    pub status: Status,
    /// Of which level, if of one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub level: Option<Level>,
    /// The function's name, where the file still has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub function: Option<String>,
    /// The address of the instruction in the file, in hexadecimal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// The instruction's mnemonic.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instruction: Option<String>,
    /// The reason in words.
    pub why: String,
}

impl Evidence {
    pub(crate) fn new(status: Status, level: Option<Level>, why: impl Into<String>) -> Self {
        Self {
            status,
            level,
            function: None,
            address: None,
            instruction: None,
            why: why.into(),
        }
    }
}

/// What code asks of the processor.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Cpu {
    /// It dies without these; `None` where there is no evidence of a need.
    pub required: Option<Level>,
    /// The highest that is chosen when it runs.
    pub dispatched: Option<Level>,
    /// Whether it may need more than `required` says.
    pub unknown: bool,
    /// The features that stand in code which runs unconditionally, as Linux names them.
    pub features: BTreeSet<&'static str>,
    /// What shows all this.
    pub evidence: Vec<Evidence>,
}

impl Cpu {
    pub(crate) fn show(&mut self, evidence: Evidence) {
        match evidence.status {
            Status::Required => self.required = self.required.max(evidence.level),
            Status::Dispatched => self.dispatched = self.dispatched.max(evidence.level),
            Status::Unknown => self.unknown = true,
        }
        self.evidence.push(evidence);
    }

    pub(crate) fn unknown(why: impl Into<String>) -> Self {
        let mut cpu = Self::default();
        cpu.show(Evidence::new(Status::Unknown, None, why));
        cpu
    }
}

/// GPU code that a file holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Gpu {
    /// NVIDIA code: `sm_80` for machine code, `compute_80` for PTX.
    pub cuda: BTreeSet<String>,
    /// The highest PTX version, such as `8.4`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ptx: Option<String>,
    /// AMD code: `gfx90a`, with its settings as in `gfx90a:xnack+`.
    pub rocm: BTreeSet<String>,
    /// Why code could not be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unread: Option<String>,
}

/// What one program or library says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct FileFacts {
    /// As OCI images name it.
    pub architecture: &'static str,
    /// Whether it is started or loaded at all: object files, modules of the kernel and dumps are not.
    pub loaded: bool,
    /// What its code asks of the processor.
    pub cpu: Cpu,
    /// GPU code in it.
    pub gpu: Gpu,
    /// `DT_SONAME`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub soname: Option<String>,
    /// `DT_NEEDED`.
    pub needed: Vec<String>,
    /// The program that loads it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interpreter: Option<String>,
    /// The highest version of glibc's symbols that it asks for, such as `2.34`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub glibc: Option<String>,
    /// Go's version, if it is a Go program.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub go: Option<String>,
    /// What of it could not be read.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub damage: Vec<String>,
}
