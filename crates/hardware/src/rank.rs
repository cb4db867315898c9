//! Rank: of the images that fit a machine, which is best, and why. The rule: nearest CPU
//! target; then more requirements met; then higher weight; then, between targets equally
//! near, the one that demands more; then order in the file.
//! What does not fit is never chosen, whatever its weight.

use std::borrow::Borrow;
use std::cmp::Reverse;

use serde::Serialize;

use crate::feature::Feature;
use crate::fit::fit;
use crate::graph::Microarchitectures;
use crate::keys::Key;
use crate::outcome::{Fit, Nearness};
use crate::provided::{Provided, target_of};

/// An image to choose among: what it requires, and how much its publisher favours it.
#[derive(Debug, Clone, Copy)]
pub struct Entry<'a, F = Feature> {
    /// Its requirements: features, or references to such.
    pub requirements: &'a [F],
    /// Higher is preferred among images equally specific. 0 by default.
    pub weight: i64,
}

/// How to choose, beyond the rule.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Options {
    /// Leave out images that weigh less.
    pub minimum_weight: Option<i64>,
}

/// One image's part in a choice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Verdict<'a> {
    /// Its requirements compared with the machine.
    #[serde(flatten)]
    pub fit: Fit<'a>,
    /// Its weight.
    pub weight: i64,
    /// Whether it was left out for its weight.
    pub too_light: bool,
    /// Place among those that can be chosen, from 1; none for the others.
    pub rank: Option<usize>,
}

/// What made the winner win over the runner-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum DecidedBy {
    /// No other image fits.
    OnlyOneFits,
    /// Its CPU target is nearer to the machine's.
    NearerTarget,
    /// It states more requirements, all of them met.
    MoreRequirements,
    /// Its weight.
    Weight,
    /// Its CPU target, equally near, demands more.
    MoreDemandingTarget,
    /// It comes first.
    Order,
}

/// The outcome of choosing among images, entry by entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Choice<'a> {
    winner: Option<usize>,
    runner_up: Option<usize>,
    decided_by: Option<DecidedBy>,
    verdicts: Vec<Verdict<'a>>,
    #[serde(skip)]
    ranking: Vec<usize>,
}

impl<'a> Choice<'a> {
    /// Position of the best image among the entries; none when nothing fits.
    #[must_use]
    pub fn winner(&self) -> Option<usize> {
        self.winner
    }

    /// Position of the image that would have been taken without the winner.
    #[must_use]
    pub fn runner_up(&self) -> Option<usize> {
        self.runner_up
    }

    /// Why the winner won; none when nothing fits.
    #[must_use]
    pub fn decided_by(&self) -> Option<DecidedBy> {
        self.decided_by
    }

    /// One verdict for each entry, in the entries' order.
    #[must_use]
    pub fn verdicts(&self) -> &[Verdict<'a>] {
        &self.verdicts
    }

    /// Positions of all that can be chosen, best first.
    #[must_use]
    pub fn ranking(&self) -> &[usize] {
        &self.ranking
    }
}

type RankKey = (
    Nearness,
    Reverse<usize>,
    Reverse<i64>,
    Reverse<usize>,
    usize,
);

fn rank_key(position: usize, verdict: &Verdict<'_>) -> RankKey {
    let fit = &verdict.fit;
    (
        fit.nearness(),
        Reverse(fit.distinct()),
        Reverse(verdict.weight),
        Reverse(fit.depth()),
        position,
    )
}

/// Chooses the best image that fits.
#[must_use]
pub fn choose<'a, F: Borrow<Feature>>(
    entries: &[Entry<'a, F>],
    provided: &'a Provided,
) -> Choice<'a> {
    choose_with(entries, provided, Options::default())
}

/// Chooses the best image that fits, under options.
#[must_use]
pub fn choose_with<'a, F: Borrow<Feature>>(
    entries: &[Entry<'a, F>],
    provided: &'a Provided,
    options: Options,
) -> Choice<'a> {
    let mut verdicts: Vec<Verdict<'a>> = entries
        .iter()
        .map(|entry| Verdict {
            fit: fit(entry.requirements, provided),
            weight: entry.weight,
            too_light: options
                .minimum_weight
                .is_some_and(|least| entry.weight < least),
            rank: None,
        })
        .collect();
    let mut keys: Vec<RankKey> = verdicts
        .iter()
        .enumerate()
        .filter(|(_, verdict)| verdict.fit.fits() && !verdict.too_light)
        .map(|(position, verdict)| rank_key(position, verdict))
        .collect();
    keys.sort_unstable();
    let ranking: Vec<usize> = keys.iter().map(|key| key.4).collect();
    for (place, position) in ranking.iter().enumerate() {
        if let Some(verdict) = verdicts.get_mut(*position) {
            verdict.rank = Some(place + 1);
        }
    }
    Choice {
        winner: ranking.first().copied(),
        runner_up: ranking.get(1).copied(),
        decided_by: decided_by(&keys),
        verdicts,
        ranking,
    }
}

fn decided_by(keys: &[RankKey]) -> Option<DecidedBy> {
    Some(match keys {
        [] => return None,
        [_] => DecidedBy::OnlyOneFits,
        [a, b, ..] if a.0 != b.0 => DecidedBy::NearerTarget,
        [a, b, ..] if a.1 != b.1 => DecidedBy::MoreRequirements,
        [a, b, ..] if a.2 != b.2 => DecidedBy::Weight,
        [a, b, ..] if a.3 != b.3 => DecidedBy::MoreDemandingTarget,
        _ => DecidedBy::Order,
    })
}

/// Which image to serve for an unknown machine: the one that requires least and so runs anywhere.
/// That is the one with the fewest requirements (the root of a family, such as `arch:x86_64`,
/// demands nothing); then the one whose CPU target descends from the fewest; then the first. None
/// only when there are no entries.
#[must_use]
pub fn least_required<F: Borrow<Feature>>(
    entries: &[Entry<'_, F>],
    graph: &Microarchitectures,
) -> Option<usize> {
    let demand = |position: usize, entry: &Entry<'_, F>| {
        let depth = |feature: &Feature| match target_of(graph, feature) {
            Some(target) => graph.depth(&target),
            None if *feature.key() == Key::Arch => usize::MAX, // unknown: assume the worst
            None => 0,
        };
        let requirements = || entry.requirements.iter().map(Borrow::borrow);
        let needs = requirements()
            .filter(|feature| *feature.key() != Key::Arch || depth(feature) > 0)
            .count();
        let deepest = requirements().map(depth).max().unwrap_or(0);
        (needs, deepest, entry.requirements.len(), position)
    };
    entries
        .iter()
        .enumerate()
        .min_by_key(|(position, entry)| demand(*position, entry))
        .map(|(position, _)| position)
}

/// The image that every machine of its architecture runs, if there is one: it requires nothing
/// but perhaps the root of a CPU family (`arch:x86_64`). Of several the heaviest, then the
/// first.
#[must_use]
pub fn generic<F: Borrow<Feature>>(
    entries: &[Entry<'_, F>],
    graph: &Microarchitectures,
) -> Option<usize> {
    let is_root = |feature: &F| {
        target_of(graph, feature.borrow()).is_some_and(|target| graph.depth(&target) == 0)
    };
    entries
        .iter()
        .enumerate()
        .filter(|(_, entry)| entry.requirements.iter().all(is_root))
        .min_by_key(|(position, entry)| (Reverse(entry.weight), *position))
        .map(|(position, _)| position)
}
