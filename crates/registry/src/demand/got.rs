//! What a login's machine got for an image, and how well that fits it.

use metahub_catalog::Composed;
use metahub_hardware::Target;
use metahub_store::DemandGot;
use serde::{Deserialize, Serialize};

/// How well an image fits the machines of a login.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DemandKind {
    /// Nothing fits.
    None,
    /// Only a build that states no target.
    Generic,
    /// A build for another target, which it runs.
    Fallback,
    /// A build for its target.
    Exact,
}

/// What a machine got. Computed when a login's choice is made, and cached with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Got {
    /// The CPU target of the login.
    pub(crate) target: String,
    /// The kind of its GPU; empty if none is stated.
    pub(crate) gpu: String,
    pub(crate) got: DemandGot,
    /// The size of the image's layers, if known.
    pub(crate) bytes: u64,
}

impl Got {
    /// Nothing fitted. `None` for a login that names no processor, which is not counted.
    pub(crate) fn nothing(profile: &Composed) -> Option<Self> {
        Some(Self::new(
            profile,
            target_of(profile)?,
            DemandGot::Nothing,
            0,
        ))
    }

    pub(crate) fn new(profile: &Composed, target: &Target, got: DemandGot, bytes: u64) -> Self {
        Self {
            target: target.to_string(),
            gpu: profile.provided().gpu_kind().unwrap_or_default(),
            got,
            bytes,
        }
    }

    pub(crate) fn kind(&self) -> DemandKind {
        kind(&self.target, &self.got)
    }
}

/// The CPU target by which a login's pulls are counted: the first of several.
pub(crate) fn target_of(profile: &Composed) -> Option<&Target> {
    profile.provided().targets().next()
}

/// How well `got` fits a target.
pub(crate) fn kind(target: &str, got: &DemandGot) -> DemandKind {
    match got {
        DemandGot::Nothing => DemandKind::None,
        DemandGot::Generic => DemandKind::Generic,
        DemandGot::Build(of) if of == target => DemandKind::Exact,
        DemandGot::Build(_) => DemandKind::Fallback,
    }
}
