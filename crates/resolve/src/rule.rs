//! The rule by which one of several entries for one machine is chosen, and the explanation for
//! each.

use metahub_catalog::actions::{NoneFits, Selection};
use metahub_hardware::{
    Entry, Feature, Options, Provided, choose_with, fit, generic, least_required,
};

use crate::machines::Contender;
use crate::policy::{Policy, Unsure};
use crate::requirements::Teller;
use crate::unstated;
use crate::verdict::{Texts, Told};

/// How one of several entries for one machine is chosen.
pub(crate) struct Rule<'r> {
    /// The provided features.
    pub(crate) provided: &'r Provided,
    /// The features to choose by: the same unless overridden.
    pub(crate) deciding: &'r Provided,
    pub(crate) selection: &'r Selection,
    pub(crate) policy: Policy,
    /// What all contenders require; their places are in here.
    pub(crate) features: &'r [&'r Feature],
    pub(crate) teller: Teller<'r>,
    pub(crate) told: Texts,
    pub(crate) warnings: Vec<String>,
}

impl Rule<'_> {
    /// The wanted features, for the message that nothing fits.
    pub(crate) fn wanted(&self) -> String {
        let wanted: Vec<String> = self.deciding.features().map(ToString::to_string).collect();
        let wanted = wanted.join(" + ");
        match self.selection.minimum_weight {
            Some(least) => format!("{wanted} with a weight of {least} or more"),
            None => wanted,
        }
    }

    /// Decides on the candidates for one machine.
    pub(crate) fn decide(&mut self, mut group: Vec<Contender<'_, '_>>) {
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

    /// The candidate to serve if nothing fits, and why: the generic entry where the profile asks
    /// for it, else the best of those whose unmet requirements the login does not state.
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

    /// The warning when the chosen entry does not fit the features really provided.
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

    /// The machine is unknown.
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
