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
use crate::requirements::{Place, Requirements, Teller};
use crate::verdict::{Span, Texts, Told, Verdicts};

/// One entry for each machine.
#[derive(Clone, Debug)]
pub struct Shaped {
    /// The chosen entries, as they are, in the order of the candidates.
    pub chosen: Vec<Descriptor>,
    /// One verdict for each candidate, in order.
    pub verdicts: Verdicts,
    /// What whoever pulls should be told: a choice that does not fit what is provided.
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
    shape(&candidates, objections, provided, selection)
}

/// The same, without the entries to which filters object.
pub(crate) fn shape(
    candidates: &CandidateList<'_>,
    objections: Vec<Option<String>>,
    provided: &Provided,
    selection: &Selection,
) -> Result<Shaped, NothingFits> {
    let deciding = if selection.overriding.is_empty() {
        Cow::Borrowed(provided)
    } else {
        Cow::Owned(provided.overridden_by(&selection.overriding))
    };
    let mut told = Texts::with_capacity(candidates.len() * 96);
    let mut became: Vec<Told> = vec![Told::default(); candidates.len()];
    let mut machines = Machines::of(&deciding);
    let mut requirements = Requirements::of(candidates);
    let mut without = Vec::new();
    let mut passed = Vec::with_capacity(candidates.len());
    for ((candidate, objection), slot) in candidates.iter().zip(objections).zip(&mut became) {
        if let Some(reason) = objection {
            *slot = Told::left_out(told.add(&reason));
            continue;
        }
        passed.push(candidate);
        let group = match candidate.not_to_run() {
            Some(reason) => Err(told.add(reason)),
            None => machines.group_of(candidate, &mut told),
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
        features: &requirements.features(),
        teller: Teller::new(&requirements),
        told,
        warnings: Vec::new(),
    };
    let mut any = false;
    for group in machines.groups {
        any |= rule.decide(group);
    }
    let reason = rule.told.add(if any {
        "states no platform, and other entries do"
    } else {
        "states no platform: nothing to choose by"
    });
    for contender in without {
        *contender.became = Told {
            kept: !any,
            ..Told::left_out(reason)
        };
    }
    let wanted = rule.wanted();
    let Rule { told, warnings, .. } = rule;
    let chosen = candidates.iter().zip(&became);
    let chosen: Vec<Descriptor> = chosen
        .filter(|(_, became)| became.kept)
        .map(|(candidate, _)| candidate.descriptor.clone())
        .collect();
    let verdicts = candidates.verdicts(became, told);
    if chosen.is_empty() {
        return Err(NothingFits::new(wanted, candidates, passed, verdicts));
    }
    Ok(Shaped {
        chosen,
        verdicts,
        warnings,
    })
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
}

impl<'s, 'a> Machines<'s, 'a> {
    fn of(provided: &Provided) -> Self {
        let graph = provided.graph();
        let mut architectures: Vec<String> = Vec::new();
        for target in provided.targets() {
            let own = graph.oci_platform(target).architecture;
            // 64-bit machines run these 32-bit programs, too.
            let narrow = match own.as_str() {
                "amd64" => Some("386".to_owned()),
                "arm64" => Some("arm".to_owned()),
                _ => None,
            };
            architectures.push(own);
            architectures.extend(narrow);
        }
        Self {
            architectures,
            places: HashMap::new(),
            of_platform: Vec::new(),
            groups: Vec::new(),
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
        let found = match self.object_to(platform.architecture) {
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

    fn object_to(&self, architecture: &str) -> Option<String> {
        let own = self.architectures.first()?;
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

    /// Decides on the candidates for one machine; whether one is taken.
    fn decide(&mut self, mut group: Vec<Contender<'_, '_>>) -> bool {
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
            self.decide_for_any(group, chosen.and_then(|at| heavy.get(at).copied()))
        } else {
            self.decide_by_fit(group, &entries)
        }
    }

    fn decide_by_fit(
        &mut self,
        group: Vec<Contender<'_, '_>>,
        entries: &[Entry<'_, &Feature>],
    ) -> bool {
        let options = Options {
            minimum_weight: self.selection.minimum_weight,
        };
        let choice = choose_with(entries, self.deciding, options);
        let instead = match (choice.winner(), self.selection.none_fits) {
            (None, NoneFits::Generic) => generic(entries, self.deciding.graph()),
            _ => None,
        };
        let decided = choice.decided_by().map(|by| {
            let over = choice.runner_up().and_then(|at| group.get(at));
            let over = over.map(|second| format!(" over {}", second.candidate.name()));
            format!("; chosen{}: {by}", over.unwrap_or_default())
        });
        let mut any = false;
        let judged = group.into_iter().zip(choice.verdicts()).enumerate();
        for (at, (contender, verdict)) in judged {
            let kept = choice.winner() == Some(at) || instead == Some(at);
            let runner_up = choice.runner_up() == Some(at);
            let warning = if choice.winner() == Some(at) {
                self.warning(&contender)
            } else {
                None
            };
            let reason = self.told.write(|reason| {
                if verdict.too_light {
                    let least = self.selection.minimum_weight.unwrap_or_default();
                    let weight = verdict.weight;
                    reason.push_str(&format!("weighs {weight}, less than {least}; "));
                }
                self.teller.tell(reason, &contender.requires, &verdict.fit);
                if choice.winner() == Some(at) {
                    reason.push_str(decided.as_deref().unwrap_or_default());
                } else if runner_up {
                    reason.push_str("; the runner-up");
                } else if instead == Some(at) {
                    reason.push_str("; chosen: none fits, and every machine runs it");
                }
                if let Some(warning) = &warning {
                    reason.push_str("; ");
                    reason.push_str(warning);
                }
            });
            if let Some(warning) = warning {
                let name = contender.candidate.name();
                self.warnings.push(format!("{name}: {warning}"));
            }
            any |= kept;
            *contender.became = Told {
                kept,
                rank: verdict.rank,
                runner_up,
                reason,
            };
        }
        any
    }

    /// What to tell when the chosen entry does not fit what is really provided.
    fn warning(&self, chosen: &Contender<'_, '_>) -> Option<String> {
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
    fn decide_for_any(&mut self, group: Vec<Contender<'_, '_>>, least: Option<usize>) -> bool {
        let reason = match group.len() {
            1 => "the only one for its platform".to_owned(),
            all => format!("requires least of {all} for its platform, so it runs on most machines"),
        };
        let reason = self.told.add(&reason);
        let other = self.told.add("another one requires less, or comes first");
        for (at, contender) in group.into_iter().enumerate() {
            let kept = least == Some(at);
            *contender.became = Told {
                kept,
                rank: kept.then_some(1),
                runner_up: false,
                reason: if kept { reason } else { other },
            };
        }
        least.is_some()
    }
}
