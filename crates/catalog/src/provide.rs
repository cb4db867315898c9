//! Joins the features of a login's selectors, from left to right. A key that a machine has once
//! (its CPU target, its kernel) is replaced by a later one; keys of which it may have several
//! (GPUs, MPI libraries, a site's own words) add up.

use std::collections::HashSet;
use std::sync::Arc;

use metahub_hardware::{Feature, Key, Microarchitectures, Provided, Target, TargetError, fit};

use crate::actions::{ManifestSelect, NoneFits};
use crate::counting::{Counting, noun};
use crate::profile::Profile;
use crate::{Action, Args, Catalog, Parameter, ProfileName, hint};

/// The value of a key with an unknown value. It meets no requirement, and no image states it.
const UNKNOWN: &str = "(unknown to this registry)";
/// Most remarks on one login.
const MOST_REMARKS: usize = 16;

/// A statement of a selector, before they are joined.
enum Statement {
    Feature(Feature),
    /// What the default of a parameter states.
    Default(Feature),
    /// What a filter looks for.
    Filtered(Feature),
    Fallback(Target),
}

/// Collects the statements of selectors, in order.
pub(crate) struct Joining<'g> {
    catalog: &'g Catalog,
    graph: &'g Arc<Microarchitectures>,
    /// What the login states by itself: parameters that are called like a key of hardware are it.
    stated: Vec<Feature>,
    statements: Vec<Statement>,
    actions: Vec<Action>,
    remarks: Vec<String>,
}

/// The joined parts of a login.
pub(crate) struct Parts {
    /// In canonical order.
    pub(crate) features: Vec<Feature>,
    /// Best first.
    pub(crate) fallback: Vec<Target>,
    /// In order, each once.
    pub(crate) actions: Vec<Action>,
    /// Remarks for the user.
    pub(crate) remarks: Vec<String>,
}

impl<'g> Joining<'g> {
    pub(crate) fn new(catalog: &'g Catalog) -> Self {
        Self {
            catalog,
            graph: catalog.graph(),
            stated: Vec::new(),
            statements: Vec::new(),
            actions: Vec::new(),
            remarks: Vec::new(),
        }
    }

    /// A feature of the login itself, or of a profile.
    pub(crate) fn feature(&mut self, feature: &Feature) {
        let known = match feature.key() {
            Key::Arch => match self.graph.look_up(feature.value()) {
                Some(Ok(target)) if feature.target() == Some(&target) => feature.clone(),
                // A site's own name for a target.
                Some(Ok(target)) => Feature::of_target(&target),
                _ => return self.unknown(feature),
            },
            _ => feature.clone(),
        };
        if let Some(hint) = hint::of(self.graph, feature) {
            let (key, value) = (feature.key(), feature.value());
            self.remark(format!(
                "{key}={value} is compared as text and says nothing of the hardware: did you \
                 mean {}?",
                hint.written('=')
            ));
        }
        self.statements.push(Statement::Feature(known));
    }

    /// A feature of a built-in key with an unknown value. It provides nothing, so that only images
    /// without such a requirement are served, with a remark.
    pub(crate) fn unknown(&mut self, feature: &Feature) {
        let (key, value) = (feature.key(), feature.value());
        let spelled = match key {
            Key::Arch => "cpu",
            other => other.as_str(),
        };
        let help = match self.graph.find(value) {
            Err(TargetError::Unknown { near, .. }) if *key == Key::Arch && !near.is_empty() => {
                let names: Vec<String> = near.iter().map(|t| format!("cpu={t}")).collect();
                format!(": did you mean {}?", names.join(" or "))
            }
            Err(error @ TargetError::Misplaced { .. }) if *key == Key::Arch => format!(": {error}"),
            _ => hint::of(self.graph, feature)
                .map(|hint| format!(": did you mean {}?", hint.written('=')))
                .unwrap_or_default(),
        };
        self.remark(format!(
            "{spelled}={value} is not known to this registry, so only images that need no \
             {spelled} are served{help}"
        ));
        if let Ok(unknown) = Feature::new(key.as_str(), UNKNOWN) {
            self.statements.push(Statement::Feature(unknown));
        }
        if *key == Key::Arch {
            // What every machine of its architecture runs, this one does.
            self.action(&Action::from(Args::ManifestSelect(ManifestSelect {
                none_fits: Some(NoneFits::Generic),
                ..ManifestSelect::default()
            })));
        }
    }

    /// The features that the login states anywhere, before its profiles are joined.
    pub(crate) fn states(&mut self, features: &[Feature]) {
        self.stated.extend_from_slice(features);
    }

    /// The same of a profile and of all that it extends, defaults of parameters left out.
    pub(crate) fn states_of(&mut self, profile: &Profile, given: &[(&str, String)]) {
        for profile in self.lineage(profile) {
            let sets = |parameter: &Parameter| {
                let mut given = given.iter();
                given.any(|(name, _)| *name == parameter.name)
            };
            if profile.parameters.iter().any(sets) {
                let filled = profile.with(self.graph, given);
                self.states(&filled.features);
            } else {
                self.states(&profile.features);
            }
        }
    }

    /// A profile under the values that are `given` to its parameters, and before it what it
    /// extends.
    pub(crate) fn profile(&mut self, profile: &Profile, given: &[(&str, String)]) {
        for profile in self.lineage(profile) {
            if profile.parameters.is_empty() {
                self.body(profile);
                continue;
            }
            let mut values: Vec<(&str, String)> = Vec::new();
            for parameter in &profile.parameters {
                let name = parameter.name.as_str();
                let set = given.iter().find(|(given, _)| *given == name);
                let value = set.map(|(_, value)| value.clone());
                let value = value.or_else(|| self.stated_value(parameter));
                values.extend(value.map(|value| (name, value)));
            }
            let filled = profile.with(self.graph, &values);
            self.body(&filled);
        }
    }

    /// What a profile extends, lowest first, each once however many lead to it, and the profile.
    fn lineage<'p>(&self, profile: &'p Profile) -> Vec<&'p Profile>
    where
        'g: 'p,
    {
        let mut lineage = Vec::new();
        add_lineage(self.catalog, profile, &mut HashSet::new(), &mut lineage);
        lineage
    }

    /// The value of a parameter that is called like a key of hardware which the login states.
    fn stated_value(&self, parameter: &Parameter) -> Option<String> {
        let key = Feature::new(&parameter.name, &parameter.default).ok()?;
        if matches!(key.key(), Key::Other(_)) {
            return None;
        }
        let mut stated = self.stated.iter().rev();
        let stated = stated.find(|feature| feature.key() == key.key())?;
        parameter.value(stated.value()).ok()
    }

    fn body(&mut self, profile: &Profile) {
        for feature in &profile.features {
            self.feature(feature);
        }
        for feature in &profile.default_features {
            self.statements.push(Statement::Default(feature.clone()));
        }
        self.fallback(&profile.fallback);
        for action in &profile.actions {
            match &action.args {
                // Whether it is done is known with the request only.
                _ if action.when.is_some() => {}
                Args::ManifestSelect(select) => self.fallback(&select.fallback),
                Args::ManifestFilter(filter) => self
                    .statements
                    .extend(filter.features().map(Statement::Filtered)),
                // What others do says nothing of the hardware.
                _ => {}
            }
            self.action(action);
        }
    }

    fn fallback(&mut self, targets: &[Target]) {
        let targets = targets.iter().cloned().map(Statement::Fallback);
        self.statements.extend(targets);
    }

    fn action(&mut self, action: &Action) {
        // The same layers twice, or the same filter, would change nothing.
        if !self.actions.contains(action) {
            self.actions.push(action.clone());
        }
    }

    fn remark(&mut self, remark: String) {
        if self.remarks.len() < MOST_REMARKS && !self.remarks.contains(&remark) {
            self.remarks.push(remark);
        }
    }

    /// Puts all of it together.
    pub(crate) fn joined(mut self) -> Parts {
        let statements = std::mem::take(&mut self.statements);
        let stated: Vec<Key> = statements
            .iter()
            .filter_map(|statement| match statement {
                Statement::Feature(feature) => Some(feature.key().clone()),
                _ => None,
            })
            .collect();
        let is_feature = |statement: &Statement| {
            matches!(statement, Statement::Feature(_) | Statement::Default(_))
        };
        let provides = statements.iter().any(is_feature);
        let mut counting = Counting::default();
        let mut fallback: Vec<Target> = Vec::new();
        for statement in statements {
            let feature = match statement {
                Statement::Fallback(target) => {
                    if !fallback.contains(&target) {
                        fallback.push(target);
                    }
                    continue;
                }
                Statement::Default(feature) if stated.contains(feature.key()) => continue,
                Statement::Feature(feature) | Statement::Default(feature) => feature,
                // What a login that provides features filters by it provides too, or nothing that
                // passed the filter would fit.
                Statement::Filtered(feature) => {
                    if !provides || self.is_met(&feature, &counting) {
                        continue;
                    }
                    feature
                }
            };
            let Some(earlier) = counting.add(&feature) else {
                continue;
            };
            // What was vouched for beside a target is about that machine.
            if *feature.key() == Key::Arch {
                fallback.clear();
            }
            let noun = noun(feature.key());
            self.remark(format!(
                "{feature} replaces {earlier}: a machine has one {noun}"
            ));
        }
        let selects = |action: &Action| {
            action.when.is_none() && matches!(action.args, Args::ManifestSelect(_))
        };
        if provides && !self.actions.iter().any(selects) {
            let select = ManifestSelect::default();
            self.actions.push(Args::ManifestSelect(select).into());
        }
        Parts {
            features: counting.into_features(),
            fallback,
            actions: self.actions,
            remarks: self.remarks,
        }
    }

    fn is_met(&self, feature: &Feature, provided: &Counting) -> bool {
        let features = provided.single.iter().chain(&provided.others).cloned();
        let provided = Provided::in_graph(Arc::clone(self.graph), features);
        fit(std::slice::from_ref(feature), &provided).fits()
    }
}

fn add_lineage<'p>(
    catalog: &'p Catalog,
    profile: &'p Profile,
    seen: &mut HashSet<&'p ProfileName>,
    lineage: &mut Vec<&'p Profile>,
) {
    for base in &profile.extends {
        if seen.insert(base)
            && let Some(base) = catalog.profile(base)
        {
            add_lineage(catalog, base, seen, lineage);
        }
    }
    lineage.push(profile);
}
