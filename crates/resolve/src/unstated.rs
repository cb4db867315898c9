//! Images that require what a login does not state, such as CUDA from a build host that states only
//! its CPU. It is unknown whether they run, so they come after everything that fits.

use std::cmp::Reverse;

use metahub_hardware::{Feature, Fit, Key, Microarchitectures, Verdict};

/// Why such an image is chosen.
pub(crate) const WHY: &str = "nothing else fits, and the login does not state what it lacks";

/// Positions of the images that do not fit, but of which all that is not met is not stated: those
/// first of which least is not stated, then the least demanding CPU target where it is the CPU
/// that is not stated, then by the usual rule.
pub(crate) fn ranking(verdicts: &[Verdict<'_>], graph: &Microarchitectures) -> Vec<usize> {
    let mut keys: Vec<_> = verdicts
        .iter()
        .enumerate()
        .filter(|(_, verdict)| !verdict.too_light && verdict.fit.is_unstated())
        .map(|(position, verdict)| {
            let fit = &verdict.fit;
            let unstated = fit.unmet().count();
            let deepest = fit
                .unmet()
                .map(|check| demand(check.requirement, graph))
                .max();
            let met = fit.checks().len() - unstated;
            let usual = (fit.nearness(), Reverse(met), Reverse(verdict.weight));
            (unstated, deepest, usual, position)
        })
        .collect();
    keys.sort_unstable();
    keys.into_iter().map(|(.., position)| position).collect()
}

/// How many CPU targets the required one descends from; the most for an unknown one.
fn demand(requirement: &Feature, graph: &Microarchitectures) -> usize {
    if *requirement.key() != Key::Arch {
        return 0;
    }
    match graph.look_up(requirement.value()) {
        Some(Ok(target)) => graph.depth(&target),
        _ => usize::MAX,
    }
}

/// What to tell of such an image.
pub(crate) fn warning(fit: &Fit<'_>) -> String {
    let unstated: Vec<String> = fit
        .unmet()
        .map(|check| check.requirement.brief().to_string())
        .collect();
    format!(
        "it requires {}, of which the login states nothing: whether it runs is not known",
        unstated.join(", ")
    )
}
