//! One entry for each machine: runtimes disagree on everything but the operating system and the
//! architecture, and many take the first match, so only one entry may match.

use std::borrow::Cow;

use metahub_catalog::actions::Selection;
use metahub_hardware::Provided;
use metahub_oci::Descriptor;

use crate::NothingFits;
use crate::candidate::{Candidate, CandidateList};
use crate::machines::{Contender, Machines};
use crate::policy::Policy;
use crate::requirements::{Requirements, Teller};
use crate::rule::Rule;
use crate::verdict::{Texts, Told, Verdicts};

/// One entry for each machine.
#[derive(Clone, Debug)]
pub struct Shaped {
    /// The chosen entries, as they are, in the order of the candidates.
    pub chosen: Vec<Descriptor>,
    /// One verdict for each candidate, in order.
    pub verdicts: Verdicts,
    /// Warnings for the client: a choice that does not fit the provided features.
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

/// The verdict on every candidate.
pub(crate) struct Assessed {
    /// By the order of the candidates.
    pub(crate) became: Vec<Told>,
    /// The machine of each candidate, by a number; none for one that is no image, states no
    /// platform or is for no known machine.
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
                    Some(group) => machines.add(group, contender),
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
        // What requires something is not known to run on a machine that is no candidate's.
        let may_not_run = !contender.requires.is_empty() && !deciding.is_empty();
        *contender.became = Told {
            kept: !stated && !may_not_run,
            ..Told::left_out(match may_not_run {
                true => rule.told.add("requires something, and states no platform"),
                false => reason,
            })
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
