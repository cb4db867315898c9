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
use crate::candidate::{Candidate, Features};
use crate::verdict::Verdict;

/// One entry for each machine.
#[derive(Clone, Debug)]
pub struct Shaped {
    /// The chosen entries, as they are, in the order of the candidates.
    pub chosen: Vec<Descriptor>,
    /// One verdict for each candidate, in order.
    pub verdicts: Vec<Verdict>,
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
    shape(&Candidate::all(candidates), provided, selection)
}

/// The same for entries that have passed the filters; verdicts in their order.
pub(crate) fn shape(
    candidates: &[Candidate<'_>],
    provided: &Provided,
    selection: &Selection,
) -> Result<Shaped, NothingFits> {
    let deciding = if selection.overriding.is_empty() {
        Cow::Borrowed(provided)
    } else {
        Cow::Owned(provided.overridden_by(&selection.overriding))
    };
    let rule = Rule {
        provided,
        deciding: &deciding,
        selection,
    };
    let machines = Machines::of(&deciding);
    let mut features = Features::default();
    let mut verdicts: Vec<Verdict> = Vec::with_capacity(candidates.len());
    let mut contenders: Vec<Contender<'_>> = Vec::with_capacity(candidates.len());
    for candidate in candidates {
        match contender(candidate, &machines, &mut features) {
            Ok(contender) => contenders.push(contender),
            Err(reason) => verdicts.push(Verdict::left_out(candidate, reason)),
        }
    }
    let (with_platform, without): (Vec<_>, Vec<_>) = contenders
        .into_iter()
        .partition(|contender| contender.candidate.platform.is_some());
    let mut any = false;
    let mut warnings = Vec::new();
    for group in groups(with_platform) {
        let decided = rule.decide(&group, &mut warnings);
        any |= decided.iter().any(|verdict| verdict.kept);
        verdicts.extend(decided);
    }
    verdicts.extend(without.iter().map(|contender| {
        let reason = if any {
            "states no platform, and other entries do"
        } else {
            "states no platform: nothing to choose by"
        };
        Verdict::new(contender.candidate, !any, None, reason.to_owned())
    }));
    verdicts.sort_by_key(|verdict| verdict.position);
    let chosen = candidates.iter().zip(&verdicts);
    let chosen: Vec<Descriptor> = chosen
        .filter(|(_, verdict)| verdict.kept)
        .map(|(candidate, _)| candidate.descriptor.clone())
        .collect();
    if chosen.is_empty() {
        return Err(NothingFits::new(rule.wanted(), candidates, verdicts));
    }
    Ok(Shaped {
        chosen,
        verdicts,
        warnings,
    })
}

/// A candidate that may be chosen.
struct Contender<'a> {
    candidate: &'a Candidate<'a>,
    requirements: Vec<Feature>,
}

fn contender<'c, 'a>(
    candidate: &'c Candidate<'a>,
    machines: &Machines,
    features: &mut Features<'a>,
) -> Result<Contender<'c>, String> {
    if let Some(reason) = candidate.not_to_run() {
        return Err(reason.to_owned());
    }
    if let Some(reason) = machines.object_to(candidate) {
        return Err(reason);
    }
    let requirements = candidate.requirements(features)?;
    Ok(Contender {
        candidate,
        requirements,
    })
}

/// The architectures that the provided CPU targets run; all, if none is provided.
struct Machines(Vec<String>);

impl Machines {
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
        Self(architectures)
    }

    fn object_to(&self, candidate: &Candidate<'_>) -> Option<String> {
        let architecture = candidate.platform?.architecture;
        if self.0.is_empty() || self.0.iter().any(|own| own == architecture) {
            return None;
        }
        let own = self.0.first().map_or("", String::as_str);
        Some(format!("is for {architecture}, and the machine is {own}"))
    }
}

/// The candidates of each machine, machines in the order in which they appear.
fn groups(contenders: Vec<Contender<'_>>) -> Vec<Vec<Contender<'_>>> {
    let mut places: HashMap<Option<Machine<'_>>, usize> = HashMap::new();
    let mut groups: Vec<Vec<Contender<'_>>> = Vec::new();
    for contender in contenders {
        let next = groups.len();
        let place = *places.entry(machine(contender.candidate)).or_insert(next);
        match groups.get_mut(place) {
            Some(group) => group.push(contender),
            None => groups.push(vec![contender]),
        }
    }
    for group in &mut groups {
        // Variants of 32-bit ARM are no features: the oldest runs on every later machine.
        group.sort_by_key(|contender| arm_variant(contender.candidate));
    }
    groups
}

/// Operating system, architecture, and the system's version.
type Machine<'a> = (&'a str, &'a str, Option<&'a str>);

/// What a client picks an entry by. Windows machines pick by the version of the system as well.
fn machine<'a>(candidate: &'a Candidate<'_>) -> Option<Machine<'a>> {
    let platform = candidate.platform?;
    Some((platform.os, platform.architecture, platform.os_version))
}

fn arm_variant<'a>(candidate: &'a Candidate<'_>) -> Option<&'a str> {
    let platform = candidate.platform?;
    platform.variant.filter(|_| platform.architecture == "arm")
}

/// How one of several entries for one machine is chosen.
struct Rule<'a> {
    /// What is provided.
    provided: &'a Provided,
    /// What is chosen by: the same unless it is overridden.
    deciding: &'a Provided,
    selection: &'a Selection,
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

    /// The verdicts on the candidates for one machine.
    fn decide(&self, group: &[Contender<'_>], warnings: &mut Vec<String>) -> Vec<Verdict> {
        let entries: Vec<Entry<'_>> = group
            .iter()
            .map(|contender| Entry {
                requirements: &contender.requirements,
                weight: contender.candidate.weight(),
            })
            .collect();
        if self.deciding.is_empty() {
            let least = self.selection.minimum_weight.unwrap_or(i64::MIN);
            let heavy: Vec<usize> = (0..entries.len())
                .filter(|at| entries.get(*at).is_some_and(|entry| entry.weight >= least))
                .collect();
            let among: Vec<Entry<'_>> = heavy
                .iter()
                .filter_map(|at| entries.get(*at).copied())
                .collect();
            let chosen = least_required(&among, self.deciding.graph());
            decide_for_any(group, chosen.and_then(|at| heavy.get(at).copied()))
        } else {
            self.decide_by_fit(group, &entries, warnings)
        }
    }

    fn decide_by_fit(
        &self,
        group: &[Contender<'_>],
        entries: &[Entry<'_>],
        warnings: &mut Vec<String>,
    ) -> Vec<Verdict> {
        let options = Options {
            minimum_weight: self.selection.minimum_weight,
        };
        let choice = choose_with(entries, self.deciding, options);
        let instead = match (choice.winner(), self.selection.none_fits) {
            (None, NoneFits::Generic) => generic(entries, self.deciding.graph()),
            _ => None,
        };
        let decided_by = choice.decided_by().map(|by| by.to_string());
        let judged = group.iter().zip(choice.verdicts()).enumerate();
        judged
            .map(|(at, (contender, verdict))| {
                let mut reason = verdict.fit.to_string();
                if verdict.too_light {
                    let least = self.selection.minimum_weight.unwrap_or_default();
                    reason = format!("weighs {}, less than {least}; {reason}", verdict.weight);
                }
                if choice.winner() == Some(at) {
                    if let Some(by) = &decided_by {
                        reason = format!("{reason}; chosen: {by}");
                    }
                    if let Some(warning) = self.warning(contender) {
                        reason = format!("{reason}; {warning}");
                        warnings.push(format!("{}: {warning}", contender.candidate.name()));
                    }
                }
                if instead == Some(at) {
                    reason = format!("{reason}; chosen: none fits, and every machine runs it");
                }
                let kept = choice.winner() == Some(at) || instead == Some(at);
                Verdict::new(contender.candidate, kept, verdict.rank, reason)
            })
            .collect()
    }

    /// What to tell when the chosen entry does not fit what is really provided.
    fn warning(&self, chosen: &Contender<'_>) -> Option<String> {
        if self.selection.overriding.is_empty() {
            return None;
        }
        let really = fit(&chosen.requirements, self.provided);
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
}

/// Nothing is known of the machine.
fn decide_for_any(group: &[Contender<'_>], least: Option<usize>) -> Vec<Verdict> {
    let verdict = |(at, contender): (usize, &Contender<'_>)| {
        let kept = least == Some(at);
        let (rank, reason) = match (kept, group.len()) {
            (true, 1) => (Some(1), "the only one for its platform".to_owned()),
            (true, all) => (
                Some(1),
                format!("requires least of {all} for its platform, so it runs on most machines"),
            ),
            (false, _) => (None, "another one requires less, or comes first".to_owned()),
        };
        Verdict::new(contender.candidate, kept, rank, reason)
    };
    group.iter().enumerate().map(verdict).collect()
}
