//! What an image says of the processor, held against what its code needs.

use metahub_hardware::{Microarchitectures, Statements, Target};
use metahub_inspect::ImageFacts;
use serde::Serialize;

/// Whether what an image says of the processor covers what its code needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum LabelVerdict {
    /// It says what was found to be needed.
    Agrees,
    /// Its code needs more than it says: machines that fit what it says may die of it.
    ClaimsLess,
    /// There is no evidence that its code needs all that it says.
    ClaimsMore,
    /// Its code may need more than was shown.
    Unknown,
}

impl LabelVerdict {
    /// In words.
    #[must_use]
    pub fn describe(self) -> &'static str {
        match self {
            Self::Agrees => "agrees: it says what its code was found to need",
            Self::ClaimsLess => "claims less: its code needs more than it says",
            Self::ClaimsMore => {
                "claims more: there is no evidence that its code needs what it says"
            }
            Self::Unknown => "unknown: its code may need more than was shown",
        }
    }
}

/// Holds `facts` against what an image says.
pub(crate) fn verdict(
    facts: &ImageFacts,
    says: &Statements,
    graph: &Microarchitectures,
) -> LabelVerdict {
    let claimed: Vec<Target> = says
        .requirements
        .iter()
        .filter_map(|stated| stated.feature.target().cloned())
        .collect();
    compare(facts, &claimed, graph)
}

/// Holds `facts` against targets that are claimed, all of them.
pub(crate) fn compare(
    facts: &ImageFacts,
    claimed: &[Target],
    graph: &Microarchitectures,
) -> LabelVerdict {
    let needed = facts
        .cpu
        .required
        .and_then(|level| graph.find(level.target()).ok());
    if let Some(needed) = &needed
        && !claimed
            .iter()
            .any(|target| covers(target, needed, facts, graph))
    {
        return LabelVerdict::ClaimsLess;
    }
    if facts.cpu.unknown {
        return LabelVerdict::Unknown;
    }
    let highest = claimed.iter().map(|target| graph.generic(target));
    let more = |target: Target| match &needed {
        Some(needed) => target != *needed && graph.descends_from(&target, needed),
        None => graph.depth(&target) > 0,
    };
    if highest.into_iter().any(more) {
        return LabelVerdict::ClaimsMore;
    }
    LabelVerdict::Agrees
}

/// Whether every machine of the target has what is needed: the level, or the very features.
fn covers(
    target: &Target,
    needed: &Target,
    facts: &ImageFacts,
    graph: &Microarchitectures,
) -> bool {
    let features = &facts.cpu.features;
    let has = |name: &&str| {
        graph
            .get(target)
            .is_some_and(|known| known.features().contains(*name))
    };
    // Scalable vectors belong to no level of Arm's.
    let scalable = features.iter().filter(|name| **name == "sve").all(has);
    if graph.descends_from(target, needed) && scalable {
        return true;
    }
    // A build for one processor needs some features of a level, which it has not as a whole.
    !features.is_empty() && features.iter().all(has)
}
