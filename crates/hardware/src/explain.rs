//! Explanations for people: the facts that `Serialize` writes for programs, as lines of text. It
//! decides nothing.

use std::fmt::{self, Write as _};

use crate::keys::Key;
use crate::mismatch::Mismatch;
use crate::outcome::{Check, Fit, How, Outcome};
use crate::rank::{Choice, DecidedBy, Verdict};

impl fmt::Display for Check<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let wanted = self.requirement.brief();
        let key = self.requirement.key();
        match &self.outcome {
            Outcome::Met { by, how: How::Same }
                if by.to_string() == self.requirement.to_string() =>
            {
                write!(f, "{wanted} is provided")
            }
            Outcome::Met { how: How::True, .. } => write!(f, "{wanted} is true"),
            Outcome::Met { by, how } => write!(f, "{wanted} is met by {by}: {how}"),
            Outcome::Unmet { why: Some(why), .. } => write!(f, "{wanted} is not met: {why}"),
            Outcome::Unmet {
                mismatch: Mismatch::Unknown,
                ..
            } => {
                let problem = self.requirement.problem().unwrap_or_default();
                write!(f, "{wanted} is not met: {problem}")
            }
            Outcome::Unmet { provided: [], .. } if *key == Key::NvidiaRequire => {
                write!(
                    f,
                    "{wanted} is not met: no NVIDIA driver or GPU is provided"
                )
            }
            Outcome::Unmet { provided: [], .. } => {
                write!(f, "{wanted} is not met: no {key} is provided")
            }
            Outcome::Unmet { provided, .. } => {
                write!(f, "{wanted} is not met by ")?;
                for (place, feature) in provided.iter().enumerate() {
                    write!(f, "{}{feature}", if place == 0 { "" } else { ", " })?;
                }
                Ok(())
            }
        }
    }
}

impl fmt::Display for How {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Same => f.write_str("the same"),
            Self::Descends { steps } => write!(f, "it descends from it in {}", Steps(*steps)),
            Self::SiteFallback { .. } => {
                f.write_str("it does not descend from it, but the site's configuration says so")
            }
            Self::ProfileFallback { place, .. } => {
                write!(f, "the profile's fallback number {}", place + 1)
            }
            Self::Later => f.write_str("a later version"),
            Self::DriverRuns { highest } => write!(f, "this driver runs CUDA {highest}"),
            Self::GpuBinary => f.write_str("the GPU runs this code"),
            Self::GpuPtx => f.write_str("the driver compiles the PTX for this GPU"),
            Self::GpuVendor => f.write_str("it is of such a GPU"),
            Self::GpuGeneric => f.write_str("the GPU belongs to that generic processor"),
            Self::MpiAbi { abi } => write!(f, "both have the {abi}"),
            Self::True => f.write_str("it is true"),
        }
    }
}

struct Steps(u16);

impl fmt::Display for Steps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} step{}", self.0, if self.0 == 1 { "" } else { "s" })
    }
}

impl Fit<'_> {
    /// Writes what `Display` writes. `check` writes each check that is shown, given its place among
    /// the requirements, so that a caller that judges many images by the same requirements writes
    /// each only once.
    ///
    /// # Errors
    /// Those of `f`.
    pub fn write<W: fmt::Write>(
        &self,
        f: &mut W,
        mut check: impl FnMut(&mut W, usize, &Check<'_>) -> fmt::Result,
    ) -> fmt::Result {
        f.write_str(if self.fits() { "fits" } else { "does not fit" })?;
        if self.checks().is_empty() {
            return f.write_str(": requires nothing");
        }
        // Of what does not fit, only the reasons matter.
        let told =
            |check: &Check<'_>| self.fits() || matches!(check.outcome, Outcome::Unmet { .. });
        let mut before = ": ";
        for (place, told) in self.checks().iter().enumerate().filter(|(_, c)| told(c)) {
            f.write_str(before)?;
            check(f, place, told)?;
            before = "; ";
        }
        Ok(())
    }
}

impl fmt::Display for Fit<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(f, |f, _, check| check.fmt(f))
    }
}

impl fmt::Display for DecidedBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OnlyOneFits => "no other fits",
            Self::NearerTarget => "its CPU target is nearer",
            Self::MoreRequirements => "it meets more requirements",
            Self::Weight => "it has more weight",
            Self::MoreDemandingTarget => "its CPU target, equally near, demands more",
            Self::Order => "it comes first",
        })
    }
}

impl Choice<'_> {
    /// The whole choice as text, a line for each entry and one for the outcome. `name`
    /// gives an entry's name by its position.
    pub fn explain(&self, name: impl Fn(usize) -> String) -> String {
        let mut text = String::new();
        for (position, verdict) in self.verdicts().iter().enumerate() {
            let mark = match verdict {
                Verdict {
                    rank: Some(rank), ..
                } => format!("{rank}."),
                Verdict {
                    too_light: true, ..
                } => "weight too low,".to_owned(),
                _ => "-".to_owned(),
            };
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{mark} {}: {}", name(position), verdict.fit);
        }
        let _ = match (self.winner(), self.runner_up(), self.decided_by()) {
            (Some(winner), Some(second), Some(why)) => {
                writeln!(
                    text,
                    "chosen: {} over {}: {why}",
                    name(winner),
                    name(second)
                )
            }
            (Some(winner), ..) => writeln!(text, "chosen: {}: no other fits", name(winner)),
            (None, ..) => writeln!(text, "nothing fits"),
        };
        text
    }
}
