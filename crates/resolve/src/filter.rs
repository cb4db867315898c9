//! `manifest-filter`: of an index, the entries in which a jq program finds a value.

use metahub_catalog::{Action, Composed, ManifestFilter};
use metahub_hardware::Feature;
use metahub_jq::{Budget, DEFAULT_STEPS, JqError};
use metahub_oci::{Descriptor, Index};
use serde_json::Value;

use crate::NothingFits;
use crate::candidate::CandidateList;
use crate::verdict::{Texts, Told, Verdicts};

/// Steps that a program may take for each entry, beside what it may take in any case.
const STEPS_PER_ENTRY: u64 = 1_000;

/// What the filters of a profile leave of an index.
#[derive(Clone, Debug)]
pub struct Filtered {
    /// The entries that stay, as they are, in order.
    pub kept: Vec<Descriptor>,
    /// One verdict for each entry of the index, in order.
    pub verdicts: Verdicts,
}

/// Runs every `manifest-filter` of `profile`, in order.
///
/// A filter's program is run on the index that has one entry only; the entry stays when an output
/// is the filter's value, or a list that contains it. If the value is a feature, an output is it
/// when it means the same (`cpu:cascade-lake` is `arch:cascadeLake`); else the texts are equal.
/// An entry at which the program fails is left out. Attestations and indexes within the index are
/// never kept.
pub fn filter(index: &Index, profile: &Composed) -> Result<Filtered, NothingFits> {
    let candidates = CandidateList::of(index.manifests());
    let filters = Filters::of(profile);
    let objections = filters.objections(index, &candidates)?;
    let mut told = Texts::default();
    let passed = Told {
        kept: true,
        ..Told::left_out(told.add(&filters.passed()))
    };
    let became: Vec<Told> = objections
        .into_iter()
        .map(|objection| match objection {
            Some(reason) => Told::left_out(told.add(&reason)),
            None => passed,
        })
        .collect();
    let kept = candidates.iter().zip(&became);
    let kept = kept
        .filter(|(_, became)| became.kept)
        .map(|(candidate, _)| candidate.descriptor.clone())
        .collect();
    let verdicts = candidates.verdicts(became, told);
    Ok(Filtered { kept, verdicts })
}

/// The filters of a profile.
pub(crate) struct Filters<'a>(Vec<&'a ManifestFilter>);

impl<'a> Filters<'a> {
    pub(crate) fn of(profile: &'a Composed) -> Self {
        let actions = profile.actions().iter();
        Self(
            actions
                .filter_map(|action| match action {
                    Action::ManifestFilter(filter) => Some(filter),
                    _ => None,
                })
                .collect(),
        )
    }

    /// Why each candidate is left out, if it is. Without a filter, none is.
    pub(crate) fn each(
        &self,
        index: &Index,
        candidates: &CandidateList<'_>,
    ) -> Vec<Option<String>> {
        if self.0.is_empty() {
            return vec![None; candidates.len()];
        }
        let steps = DEFAULT_STEPS.saturating_add(STEPS_PER_ENTRY * candidates.len() as u64);
        let filters = self.0.iter();
        let mut runs: Vec<Run<'_>> = filters.map(|filter| Run::new(filter, steps)).collect();
        let mut single = Single::new(index);
        candidates
            .iter()
            .map(|candidate| match candidate.not_to_run() {
                Some(reason) => Some(reason.to_owned()),
                None => runs
                    .iter_mut()
                    .find_map(|run| run.objects_to(single.holding(candidate.descriptor))),
            })
            .collect()
    }

    /// The same. An error if all are left out.
    pub(crate) fn objections(
        &self,
        index: &Index,
        candidates: &CandidateList<'_>,
    ) -> Result<Vec<Option<String>>, NothingFits> {
        let objections = self.each(index, candidates);
        let any = objections.iter().any(Option::is_none);
        if any || self.0.is_empty() {
            return Ok(objections);
        }
        let values: Vec<&str> = self.0.iter().map(|f| f.value.as_str()).collect();
        let mut told = Texts::default();
        let became: Vec<Told> = objections
            .iter()
            .map(|reason| Told::left_out(told.add(reason.as_deref().unwrap_or_default())))
            .collect();
        let verdicts = candidates.verdicts(became, told);
        let wanted = values.join(" and ");
        Err(NothingFits::new(
            wanted,
            candidates,
            candidates.iter(),
            verdicts,
        ))
    }

    /// Why a candidate stays.
    fn passed(&self) -> String {
        match self.0.as_slice() {
            [] => "no filter".to_owned(),
            filters => {
                let values: Vec<&str> = filters.iter().map(|f| f.value.as_str()).collect();
                format!("has {}", values.join(" and "))
            }
        }
    }
}

/// The index as JSON, with room for one entry at a time.
struct Single(Value);

impl Single {
    fn new(index: &Index) -> Self {
        let others = index.as_json().iter().map(|(key, value)| {
            let value = if key == "manifests" {
                Value::Array(Vec::new())
            } else {
                value.clone()
            };
            (key.clone(), value)
        });
        Self(Value::Object(others.collect()))
    }

    fn holding(&mut self, entry: &Descriptor) -> &Value {
        if let Some(manifests) = self.0.get_mut("manifests") {
            *manifests = Value::Array(vec![Value::Object(entry.as_json().clone())]);
        }
        &self.0
    }
}

/// One filter over all entries, within one budget.
struct Run<'a> {
    filter: &'a ManifestFilter,
    feature: Option<Feature>,
    budget: Budget,
    /// The bound that the program ran into, after which it keeps nothing.
    stopped: Option<JqError>,
}

impl<'a> Run<'a> {
    fn new(filter: &'a ManifestFilter, steps: u64) -> Self {
        Self {
            filter,
            feature: filter.feature(),
            budget: Budget::new(steps),
            stopped: None,
        }
    }

    /// Why the entry is left out, if it is.
    fn objects_to(&mut self, input: &Value) -> Option<String> {
        if let Some(error) = &self.stopped {
            return Some(error.to_string());
        }
        match self.filter.select.run_within(input, &self.budget) {
            Ok(outputs) if outputs.iter().any(|output| self.finds(output)) => None,
            Ok(_) => Some(format!("has no {}", self.filter.value)),
            Err(error @ JqError::Failed(_)) => Some(error.to_string()),
            Err(error) => {
                let reason = error.to_string();
                self.stopped = Some(error);
                Some(reason)
            }
        }
    }

    fn finds(&self, output: &Value) -> bool {
        match output {
            Value::Array(items) => items.iter().any(|item| self.is_value(item)),
            output => self.is_value(output),
        }
    }

    fn is_value(&self, found: &Value) -> bool {
        match found {
            Value::String(text) if *text == self.filter.value => true,
            Value::String(text) => match (&self.feature, Feature::parse(text)) {
                (Some(wanted), Ok(found)) => *wanted == found,
                _ => false,
            },
            Value::Bool(_) | Value::Number(_) => {
                let text = found.to_string();
                text == self.filter.value
            }
            Value::Null | Value::Array(_) | Value::Object(_) => false,
        }
    }
}
