//! The result of comparing an image's requirements with a machine: one outcome per requirement, and
//! the fit that they add up to.

use std::fmt;

use serde::{Serialize, Serializer};
use smallvec::SmallVec;

use crate::feature::Feature;
use crate::keys::Key;
use crate::mismatch::Mismatch;
use crate::mpi::Abi;
use crate::version::Version;

/// How near an image's CPU target is to the machine's. Nearer is less.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Nearness {
    /// The machine's target, or one that it descends from.
    Line {
        /// Steps up the graph; 0 is the machine's own target.
        steps: u16,
    },
    /// One of the profile's fallback targets, or one that it descends from.
    Fallback {
        /// Place in the fallback list, from 0.
        place: usize,
        /// Steps from that target.
        steps: u16,
    },
    /// The image states no CPU target.
    Unstated,
}

/// One requirement and whether it is met.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check<'a> {
    /// What the image requires.
    pub requirement: &'a Feature,
    /// Whether and by what it is met.
    #[serde(flatten)]
    pub outcome: Outcome<'a>,
}

/// Whether a requirement is met.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "outcome", rename_all = "kebab-case")]
pub enum Outcome<'a> {
    /// It is.
    Met {
        /// The provided feature that meets it.
        by: &'a Feature,
        /// Why that one does.
        how: How,
    },
    /// It is not.
    Unmet {
        /// The provided values of that key instead; may be empty.
        provided: &'a [Feature],
        /// How certain it is that the machine does not meet it.
        mismatch: Mismatch,
        /// The problem, if the two do not show it.
        #[serde(skip_serializing_if = "Option::is_none")]
        why: Option<String>,
    },
}

/// The rule by which a provided feature meets a requirement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(tag = "rule", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum How {
    /// They are the same.
    Same,
    /// The provided CPU target descends from the required one.
    Descends {
        /// Steps up the graph.
        steps: u16,
    },
    /// The site says in its configuration that the provided CPU target runs it.
    SiteFallback {
        /// Steps, with the site's edges counted.
        steps: u16,
    },
    /// The profile names it as a fallback.
    ProfileFallback {
        /// Place in the profile's list, from 0.
        place: usize,
        /// Steps from that target.
        steps: u16,
    },
    /// The provided version is later.
    Later,
    /// The NVIDIA driver runs this CUDA version.
    DriverRuns {
        /// The highest that it runs.
        #[serde(serialize_with = "as_text")]
        highest: Version,
    },
    /// The GPU runs the image's machine code.
    GpuBinary,
    /// The driver compiles the image's PTX for the GPU.
    GpuPtx,
    /// The GPU belongs to the generic processor that the image was built for.
    GpuGeneric,
    /// It is of a GPU of that vendor.
    GpuVendor,
    /// Both MPI libraries have the same binary interface.
    MpiAbi {
        /// Which one.
        #[serde(serialize_with = "as_text")]
        abi: Abi,
    },
    /// The provided features make the expression true.
    True,
}

fn as_text<S: Serializer>(text: &impl fmt::Display, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(text)
}

impl Check<'_> {
    /// How certain it is that the machine does not meet it; `None` when it does.
    #[must_use]
    pub fn mismatch(&self) -> Option<Mismatch> {
        match self.outcome {
            Outcome::Met { .. } => None,
            Outcome::Unmet { mismatch, .. } => Some(mismatch),
        }
    }

    /// Whether the outcome depends on the image's other requirements, too: whether PTX counts
    /// depends on the CUDA version that made it.
    #[must_use]
    pub fn depends_on_others(&self) -> bool {
        *self.requirement.key() == Key::Cc
    }
}

/// The comparison of an image with a machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fit<'a> {
    /// Few images state more than three requirements, and thousands of images are judged at once.
    pub(crate) checks: SmallVec<[Check<'a>; 3]>,
    pub(crate) nearness: Nearness,
    pub(crate) fits: bool,
    #[serde(skip)]
    pub(crate) mismatch: Option<Mismatch>,
    /// Targets that the nearest required one descends from.
    #[serde(skip)]
    pub(crate) depth: usize,
}

impl<'a> Fit<'a> {
    /// Whether every requirement is met.
    #[must_use]
    pub fn fits(&self) -> bool {
        self.fits
    }

    /// The requirements in the order in which the image states them.
    #[must_use]
    pub fn checks(&self) -> &[Check<'a>] {
        &self.checks
    }

    /// How near the image's CPU target is; of no meaning when it does not fit.
    #[must_use]
    pub fn nearness(&self) -> Nearness {
        self.nearness
    }

    /// How certain it is that the image does not run: the most certain of its requirements
    /// that are not met. `None` when it fits.
    #[must_use]
    pub fn mismatch(&self) -> Option<Mismatch> {
        self.mismatch
    }

    /// Whether it does not fit, and only because nothing is stated of what it requires.
    #[must_use]
    pub fn is_unstated(&self) -> bool {
        self.mismatch == Some(Mismatch::Unstated)
    }

    /// The requirements that are not met.
    pub fn unmet(&self) -> impl Iterator<Item = &Check<'a>> {
        self.checks
            .iter()
            .filter(|check| matches!(check.outcome, Outcome::Unmet { .. }))
    }

    /// How many different requirements the image states.
    #[must_use]
    pub fn distinct(&self) -> usize {
        let earlier = |at: usize, check: &Check<'_>| {
            self.checks
                .iter()
                .take(at)
                .any(|other| other.requirement == check.requirement)
        };
        self.checks
            .iter()
            .enumerate()
            .filter(|(at, check)| !earlier(*at, check))
            .count()
    }

    pub(crate) fn depth(&self) -> usize {
        self.depth
    }
}
