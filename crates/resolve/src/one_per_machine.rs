//! One entry for each machine: runtimes disagree on everything but the operating system and the
//! architecture, and many take the first match, so only one entry may match.

use std::borrow::Cow;
use std::collections::HashMap;

use metahub_catalog::{NoneFits, Selection};
use metahub_hardware::{
    Entry, Feature, Options, Provided, choose_with, fit, generic, least_required,
};
use metahub_oci::Descriptor;

use crate::NothingFits;
use crate::candidate::{Candidate, CandidateList};
use crate::policy::{Policy, Unsure};
use crate::requirements::{Place, Requirements, Teller};
use crate::unstated;
use crate::verdict::{Span, Texts, Told, Verdicts};

/// One entry for each machine.
#[derive(Clone, Debug)]
pub struct Shaped {
    /// The chosen entries, as they are, in the order of the candidates.
    pub chosen: Vec<Descriptor>,
    /// One verdict for each candidate, in order.
    pub verdicts: Verdicts,
    /// What the client should be told: a choice that does not fit what is provided.
    pub warnings: Vec<String>,
}

/// Chooses, for each operating system (and its version) and architecture, one of `candidates`;
/// `platform.features` is what each requires.
///
/// If something is provided, it is the best that fits (`hardware::choose`), and nothing that the
/// provided CPU targets cannot run stays. If nothing is, it is the one that requires least, since
/// it must run anywhere. Entries without a platform stay only if no entry with one does: they are
/// for no machine.
pub fn one_per_machine(
    candidates: &[Descriptor],
    provided: &Provided,
) -> Result<Shaped, NothingFits> {
    one_per_machine_with(candidates, provided, &Selection::default())
}

/// The same under the options of `manifest-select`.
pub fn one_per_machine_with(
    candidates: &[Descriptor],
    provided: &Provided,
    selection: &Selection,
) -> Result<Shaped, NothingFits> {
    let candidates = CandidateList::of(candidates);
    let objections = vec![None; candidates.len()];
    shape(
        &candidates,
        objections,
        provided,
        selection,
        Policy::default(),
    )
}

/// The same, without the entries to which filters object.
pub(crate) fn shape(
    candidates: &CandidateList<'_>,
    objections: Vec<Option<String>>,
    provided: &Provided,
    selection: &Selection,
    policy: Policy,
) -> Result<Shaped, NothingFits> {
    let Assessed {
        became,
        told,
        warnings,
        wanted,
        passed,
        ..
    } = assess(candidates, objections, provided, selection, policy);
    let chosen = candidates.iter().zip(&became);
    let chosen: Vec<Descriptor> = chosen
        .filter(|(_, became)| became.kept)
        .map(|(candidate, _)| candidate.descriptor.clone())
        .collect();
    let verdicts = candidates.verdicts(became, told);
    if chosen.is_empty() {
        let passed = candidates
            .iter()
            .filter(|candidate| passed.contains(candidate));
        return Err(NothingFits::new(wanted, candidates, passed, verdicts));
    }
    Ok(Shaped {
        chosen,
        verdicts,
        warnings,
    })
}

/// What became of every candidate.
pub(crate) struct Assessed {
    /// By the order of the candidates.
    pub(crate) became: Vec<Told>,
    /// The machine that each is for, by a number of its own; none for what is no image, states no
    /// platform or is for no machine here.
    pub(crate) machines: Vec<Option<usize>>,
    told: Texts,
    warnings: Vec<String>,
    wanted: String,
    passed: Passed,
}

/// The candidates to which no filter objects, by their order.
struct Passed(Vec<bool>);

impl Passed {
    fn contains(&self, candidate: &Candidate<'_>) -> bool {
        self.0.get(candidate.position).copied().unwrap_or_default()
    }
}

/// Decides on every candidate.
pub(crate) fn assess(
    candidates: &CandidateList<'_>,
    objections: Vec<Option<String>>,
    provided: &Provided,
    selection: &Selection,
    policy: Policy,
) -> Assessed {
    let deciding = if selection.overriding.is_empty() {
        Cow::Borrowed(provided)
    } else {
        Cow::Owned(provided.overridden_by(&selection.overriding))
    };
    let mut told = Texts::with_capacity(candidates.len() * 96);
    let mut became: Vec<Told> = vec![Told::default(); candidates.len()];
    let mut machines = Machines::of(&deciding, candidates);
    let mut requirements = Requirements::of(candidates);
    let mut without = Vec::new();
    let passed = Passed(objections.iter().map(Option::is_none).collect());
    let mut numbers = Vec::with_capacity(candidates.len());
    for ((candidate, objection), slot) in candidates.iter().zip(objections).zip(&mut became) {
        let group = match (candidate.not_to_run(), candidate.excluded()) {
            (Some(reason), _) => Err(told.add(reason)),
            (None, Some(reason)) => Err(told.write(|text| {
                text.push_str("left out: ");
                text.push_str(reason);
            })),
            (None, None) => machines.group_of(candidate, &mut told),
        };
        numbers.push(group.ok().flatten());
        let group = match objection {
            Some(reason) => Err(told.add(&reason)),
            None => group,
        };
        let placed = group.and_then(|group| {
            let requires = requirements.add(candidate);
            Ok((group, requires.map_err(|reason| told.add(&reason))?))
        });
        match placed {
            Ok((group, requires)) => {
                let contender = Contender {
                    candidate,
                    requires,
                    became: slot,
                };
                match group {
                    Some(group) => machines.enter(group, contender),
                    None => without.push(contender),
                }
            }
            Err(reason) => *slot = Told::left_out(reason),
        }
    }
    let mut rule = Rule {
        provided,
        deciding: &deciding,
        selection,
        policy,
        features: &requirements.features(),
        teller: Teller::new(&requirements),
        told,
        warnings: Vec::new(),
    };
    let stated = machines.any_stated;
    for group in machines.groups {
        rule.decide(group);
    }
    // What states no platform is for no machine. Only where nothing does, as in an index of
    // artifacts, is there nothing to choose by.
    let reason = rule.told.add(if stated {
        "states no platform, and other entries do"
    } else {
        "states no platform: nothing to choose by"
    });
    for contender in without {
        *contender.became = Told {
            kept: !stated,
            ..Told::left_out(reason)
        };
    }
    let wanted = rule.wanted();
    let Rule { told, warnings, .. } = rule;
    Assessed {
        became,
        machines: numbers,
        told,
        warnings,
        wanted,
        passed,
    }
}

/// A candidate that may be chosen, and where it is noted what becomes of it.
struct Contender<'s, 'a> {
    candidate: &'s Candidate<'a>,
    requires: Place,
    became: &'s mut Told,
}

impl Contender<'_, '_> {
    fn requirements<'f>(&self, features: &'f [&'f Feature]) -> &'f [&'f Feature] {
        features.get(self.requires.clone()).unwrap_or_default()
    }

    fn arm_variant(&self) -> Option<&str> {
        let platform = self.candidate.platform?;
        platform.variant.filter(|_| platform.architecture == "arm")
    }
}

/// Operating system, architecture, and the system's version: what a client picks an entry by.
/// Windows machines pick by the version of the system as well.
type Machine<'a> = (&'a str, &'a str, Option<&'a str>);

/// The contenders of each machine, machines in the order in which they appear.
struct Machines<'s, 'a> {
    /// The architectures that the provided CPU targets run; all, if none is provided.
    architectures: Vec<String>,
    places: HashMap<Machine<'a>, usize>,
    /// By the number of the platform: the group that it belongs to, or why it belongs to none.
    of_platform: Vec<Option<Result<usize, Span>>>,
    groups: Vec<Vec<Contender<'s, 'a>>>,
    /// Whether any image states a platform, and any one of hardware.
    any_stated: bool,
    any_hardware: bool,
}

impl<'s, 'a> Machines<'s, 'a> {
    fn of(provided: &Provided, candidates: &CandidateList<'_>) -> Self {
        let images = || {
            let all = candidates.iter();
            all.filter(|c| c.platform.is_some() && c.not_to_run().is_none())
        };
        let graph = provided.graph();
        let mut architectures: Vec<String> = Vec::new();
        for target in provided.targets() {
            architectures.extend(graph.architectures(target));
        }
        Self {
            architectures,
            places: HashMap::new(),
            of_platform: Vec::new(),
            groups: Vec::new(),
            any_stated: images().next().is_some(),
            any_hardware: images().any(|candidate| !candidate.is_wasm()),
        }
    }

    /// The group of a candidate, none if it states no platform; or why it is for no machine here.
    fn group_of(
        &mut self,
        candidate: &Candidate<'a>,
        told: &mut Texts,
    ) -> Result<Option<usize>, Span> {
        let (Some(platform), Some(number)) = (candidate.platform, candidate.platform_number) else {
            return Ok(None);
        };
        if let Some(Some(known)) = self.of_platform.get(number) {
            return known.map(Some);
        }
        let found = match self.object_to(candidate, platform.architecture) {
            Some(reason) => Err(told.add(&reason)),
            None => {
                let machine = (platform.os, platform.architecture, platform.os_version);
                let next = self.groups.len();
                let group = *self.places.entry(machine).or_insert(next);
                if group == next {
                    self.groups.push(Vec::new());
                }
                Ok(group)
            }
        };
        if self.of_platform.len() <= number {
            self.of_platform.resize(number + 1, None);
        }
        if let Some(place) = self.of_platform.get_mut(number) {
            *place = Some(found);
        }
        found.map(Some)
    }

    fn object_to(&self, candidate: &Candidate<'_>, architecture: &str) -> Option<String> {
        let own = self.architectures.first()?;
        if candidate.is_wasm() {
            // It runs on any hardware, under a runtime that few nodes have.
            let reason = "is for a WebAssembly runtime, and other entries are for hardware";
            return self.any_hardware.then(|| reason.to_owned());
        }
        let runs = self.architectures.iter().any(|own| own == architecture);
        (!runs).then(|| format!("is for {architecture}, and the machine is {own}"))
    }

    fn enter(&mut self, group: usize, contender: Contender<'s, 'a>) {
        if let Some(group) = self.groups.get_mut(group) {
            group.push(contender);
        }
    }
}

/// How one of several entries for one machine is chosen.
struct Rule<'r> {
    /// What is provided.
    provided: &'r Provided,
    /// What is chosen by: the same unless it is overridden.
    deciding: &'r Provided,
    selection: &'r Selection,
    policy: Policy,
    /// What all contenders require; their places are in here.
    features: &'r [&'r Feature],
    teller: Teller<'r>,
    told: Texts,
    warnings: Vec<String>,
}

impl Rule<'_> {
    /// What was wanted, for the message that nothing fits.
    fn wanted(&self) -> String {
        let wanted: Vec<String> = self.deciding.features().map(ToString::to_string).collect();
        let wanted = wanted.join(" + ");
        match self.selection.minimum_weight {
            Some(least) => format!("{wanted} with a weight of {least} or more"),
            None => wanted,
        }
    }

    /// Decides on the candidates for one machine.
    fn decide(&mut self, mut group: Vec<Contender<'_, '_>>) {
        // Variants of 32-bit ARM are no features: the oldest runs on every later machine.
        group.sort_by(|a, b| a.arm_variant().cmp(&b.arm_variant()));
        let features = self.features;
        let entries: Vec<Entry<'_, _>> = group
            .iter()
            .map(|contender| Entry {
                requirements: contender.requirements(features),
                weight: contender.candidate.weight(),
            })
            .collect();
        if self.deciding.is_empty() {
            let least = self.selection.minimum_weight.unwrap_or(i64::MIN);
            let heavy: Vec<usize> = (0..entries.len())
                .filter(|at| entries.get(*at).is_some_and(|entry| entry.weight >= least))
                .collect();
            let among: Vec<Entry<'_, _>> = heavy
                .iter()
                .filter_map(|at| entries.get(*at).copied())
                .collect();
            let chosen = least_required(&among, self.deciding.graph());
            self.decide_for_any(group, chosen.and_then(|at| heavy.get(at).copied()));
        } else {
            self.decide_by_fit(group, &entries);
        }
    }

    fn decide_by_fit(&mut self, group: Vec<Contender<'_, '_>>, entries: &[Entry<'_, &Feature>]) {
        let options = Options {
            minimum_weight: self.selection.minimum_weight,
        };
        let choice = choose_with(entries, self.deciding, options);
        let behind = match self.policy.unstated {
            Unsure::Serve => unstated::ranking(choice.verdicts(), self.deciding.graph()),
            Unsure::Refuse => Vec::new(),
        };
        let winner = choice.winner();
        let instead = match winner {
            None => self.instead(entries, &behind),
            Some(_) => None,
        };
        let runner_up = choice.runner_up().or_else(|| {
            let unserved = |at: &&usize| Some(**at) != instead.map(|(at, _)| at);
            behind.iter().find(unserved).copied()
        });
        let decided = choice.decided_by().map(|by| {
            let over = choice.runner_up().and_then(|at| group.get(at));
            let over = over.map(|second| format!(" over {}", second.candidate.name()));
            format!("; chosen{}: {by}", over.unwrap_or_default())
        });
        let fitting = choice.ranking().len();
        for (at, (contender, verdict)) in group.into_iter().zip(choice.verdicts()).enumerate() {
            let instead = instead.filter(|(served, _)| *served == at);
            let kept = winner == Some(at) || instead.is_some();
            let runner_up = !kept && runner_up == Some(at);
            let place = || {
                behind
                    .iter()
                    .position(|b| *b == at)
                    .map(|place| fitting + place + 1)
            };
            let warnings = if kept {
                self.warnings_of(&contender, instead)
            } else {
                Vec::new()
            };
            let reason = self.told.write(|reason| {
                if verdict.too_light {
                    let least = self.selection.minimum_weight.unwrap_or_default();
                    let weight = verdict.weight;
                    reason.push_str(&format!("weighs {weight}, less than {least}; "));
                }
                self.teller.tell(reason, &contender.requires, &verdict.fit);
                if winner == Some(at) {
                    reason.push_str(decided.as_deref().unwrap_or_default());
                } else if runner_up {
                    reason.push_str("; the runner-up");
                } else if let Some((_, why)) = instead {
                    reason.push_str("; chosen: ");
                    reason.push_str(why);
                }
                for warning in &warnings {
                    reason.push_str("; ");
                    reason.push_str(warning);
                }
            });
            let name = contender.candidate.name();
            let warnings = warnings.iter().map(|warning| format!("{name}: {warning}"));
            self.warnings.extend(warnings);
            *contender.became = Told {
                kept,
                rank: verdict.rank.or_else(place),
                runner_up,
                fits: verdict.rank.is_some(),
                reason,
            };
        }
    }

    /// What is served where nothing fits, and why: the generic entry where the profile asks for
    /// it, else the best of those that require only what the login does not state.
    fn instead(
        &self,
        entries: &[Entry<'_, &Feature>],
        behind: &[usize],
    ) -> Option<(usize, &'static str)> {
        if self.selection.none_fits == NoneFits::Generic {
            let least = self.selection.minimum_weight.unwrap_or(i64::MIN);
            let heavy: Vec<usize> = (0..entries.len())
                .filter(|at| entries.get(*at).is_some_and(|entry| entry.weight >= least))
                .collect();
            let among: Vec<Entry<'_, _>> = heavy
                .iter()
                .filter_map(|at| entries.get(*at).copied())
                .collect();
            let found = generic(&among, self.deciding.graph());
            if let Some(at) = found.and_then(|at| heavy.get(at)) {
                return Some((*at, "none fits, and every machine runs it"));
            }
        }
        let first = behind.first()?;
        Some((*first, unstated::WHY))
    }

    /// What to tell of an entry that is served though it is not known to run.
    fn warnings_of(
        &self,
        chosen: &Contender<'_, '_>,
        instead: Option<(usize, &'static str)>,
    ) -> Vec<String> {
        let requirements = chosen.requirements(self.features);
        let mut warnings = Vec::new();
        if instead.is_some_and(|(_, why)| why == unstated::WHY) {
            let fit = fit(requirements, self.deciding);
            warnings.push(unstated::warning(&fit));
        }
        warnings.extend(self.override_warning(chosen));
        warnings.extend(
            chosen.candidate.unknown().map(|unknown| {
                format!("served though it is not known what it requires: {unknown}")
            }),
        );
        warnings
    }

    /// What to tell when the chosen entry does not fit what is really provided.
    fn override_warning(&self, chosen: &Contender<'_, '_>) -> Option<String> {
        if self.selection.overriding.is_empty() {
            return None;
        }
        let really = fit(chosen.requirements(self.features), self.provided);
        let over: Vec<String> = self
            .selection
            .overriding
            .iter()
            .map(ToString::to_string)
            .collect();
        (!really.fits()).then(|| {
            format!(
                "chosen only because the profile overrides with {}; by what is provided it {really}",
                over.join(" + ")
            )
        })
    }

    /// Nothing is known of the machine.
    fn decide_for_any(&mut self, group: Vec<Contender<'_, '_>>, least: Option<usize>) {
        let reason = match group.len() {
            1 => "the only one for its platform".to_owned(),
            all => format!("requires least of {all} for its platform, so it runs on most machines"),
        };
        let reason = self.told.add(&reason);
        let other = self.told.add("another one requires less, or comes first");
        for (at, contender) in group.into_iter().enumerate() {
            let kept = least == Some(at);
            if kept && let Some(unknown) = contender.candidate.unknown() {
                let name = contender.candidate.name();
                self.warnings.push(format!(
                    "{name}: served though it is not known what it requires: {unknown}"
                ));
            }
            *contender.became = Told {
                kept,
                rank: kept.then_some(1),
                runner_up: false,
                fits: kept,
                reason: if kept { reason } else { other },
            };
        }
    }
}
