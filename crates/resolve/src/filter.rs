//! `manifest-filter`: the entries of an index in which a jq program finds values, or all others.

use metahub_catalog::actions::{Entries, ManifestFilter};
use metahub_catalog::{Args, Composed};
use metahub_hardware::Feature;
use metahub_jq::{Budget, DEFAULT_STEPS, JqError};
use metahub_oci::{Descriptor, Index};
use serde_json::Value;

use crate::NothingFits;
use crate::candidate::CandidateList;
use crate::pipeline::when::holds_of_index;
use crate::verdict::{Texts, Told, Verdicts};

/// Steps that a program may take for each entry, in addition to a fixed number.
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
/// A filter's program is run on an index that has the one entry only. The entry matches when the
/// values found (outputs, and the items of outputs that are lists) are those that the filter asks
/// for; matching entries are kept or dropped. Two features are equal when they mean the same
/// (`cpu:cascade-lake` is `arch:cascadeLake`); other values are compared as texts. An entry at
/// which the program fails is left out, whatever the filter does with matching ones. Attestations
/// and indexes within the index are never kept.
pub fn filter(index: &Index, profile: &Composed) -> Result<Filtered, NothingFits> {
    let candidates = CandidateList::of(index.manifests());
    let filters = Filters::of(profile, index);
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
    /// Those that are done to `index`: whose conditions hold of it.
    pub(crate) fn of(profile: &'a Composed, index: &Index) -> Self {
        let filters = profile.actions().iter().filter_map(|action| {
            let Args::ManifestFilter(filter) = &action.args else {
                return None;
            };
            let when = action.when.as_ref();
            when.is_none_or(|when| holds_of_index(when, profile, index))
                .then_some(filter)
        });
        Self(filters.collect())
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
        let mut told = Texts::default();
        let became: Vec<Told> = objections
            .iter()
            .map(|reason| Told::left_out(told.add(reason.as_deref().unwrap_or_default())))
            .collect();
        let verdicts = candidates.verdicts(became, told);
        let wanted = self.wanted();
        Err(NothingFits::new(
            wanted,
            candidates,
            candidates.iter(),
            verdicts,
        ))
    }

    /// Why a candidate stays.
    fn passed(&self) -> String {
        if self.0.is_empty() {
            return "no filter".to_owned();
        }
        let filters = self.0.iter().map(|filter| match filter.entries {
            Entries::Keep => format!("has {filter}"),
            Entries::Drop => format!("has not {filter}"),
        });
        // One verb is enough for what all have.
        if self.0.iter().all(|filter| filter.entries == Entries::Keep) {
            return format!("has {}", self.wanted());
        }
        filters.collect::<Vec<_>>().join(" and ")
    }

    /// What all filters ask for together.
    fn wanted(&self) -> String {
        let filters = self.0.iter().map(|filter| match filter.entries {
            Entries::Keep => filter.to_string(),
            Entries::Drop => format!("not {filter}"),
        });
        filters.collect::<Vec<_>>().join(" and ")
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
    value: Vec<Wanted<'a>>,
    any: Vec<Wanted<'a>>,
    all: Vec<Wanted<'a>>,
    none: Vec<Wanted<'a>>,
    budget: Budget,
    /// The bound that the program ran into, after which it keeps nothing.
    stopped: Option<JqError>,
}

impl<'a> Run<'a> {
    fn new(filter: &'a ManifestFilter, steps: u64) -> Self {
        let wanted = |values: &'a [String]| values.iter().map(Wanted::new).collect();
        Self {
            filter,
            value: filter.value.iter().map(Wanted::new).collect(),
            any: wanted(&filter.any),
            all: wanted(&filter.all),
            none: wanted(&filter.none),
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
            Ok(outputs) => {
                let found = Found::of(&outputs);
                match (self.matches(&found), self.filter.entries) {
                    (true, Entries::Keep) | (false, Entries::Drop) => None,
                    (false, Entries::Keep) => Some(format!("has no {}", self.filter)),
                    (true, Entries::Drop) => Some(format!("has {}", self.filter)),
                }
            }
            Err(error @ JqError::Failed(_)) => Some(error.to_string()),
            Err(error) => {
                let reason = error.to_string();
                self.stopped = Some(error);
                Some(reason)
            }
        }
    }

    fn matches(&self, found: &Found) -> bool {
        let has = |wanted: &Wanted<'_>| found.has(wanted);
        let matches = |text: &String| {
            let pattern = &self.filter.matches;
            pattern
                .as_ref()
                .is_some_and(|pattern| pattern.matches(text))
        };
        self.value.iter().all(has)
            && self.all.iter().all(has)
            && (self.any.is_empty() || self.any.iter().any(has))
            && !self.none.iter().any(has)
            && (self.filter.matches.is_none() || found.0.iter().any(matches))
    }
}

/// A value that is looked for.
struct Wanted<'a> {
    text: &'a str,
    feature: Option<Feature>,
}

impl<'a> Wanted<'a> {
    fn new(text: &'a String) -> Self {
        Self {
            text,
            feature: text.parse().ok(),
        }
    }
}

/// What a program found in an entry: outputs, and the items of those that are lists, as texts.
struct Found(Vec<String>);

impl Found {
    fn of(outputs: &[Value]) -> Self {
        let mut found = Self(Vec::new());
        for output in outputs {
            match output {
                Value::Array(items) => items.iter().for_each(|item| found.add(item)),
                output => found.add(output),
            }
        }
        found
    }

    fn add(&mut self, value: &Value) {
        match value {
            Value::String(text) => self.0.push(text.clone()),
            Value::Bool(_) | Value::Number(_) => self.0.push(value.to_string()),
            Value::Null | Value::Array(_) | Value::Object(_) => {}
        }
    }

    fn has(&self, wanted: &Wanted<'_>) -> bool {
        let means = |feature: &Feature| {
            let found = self.0.iter();
            found
                .filter_map(|text| Feature::parse(text).ok())
                .any(|found| found == *feature)
        };
        self.0.iter().any(|text| text == wanted.text) || wanted.feature.as_ref().is_some_and(means)
    }
}
