//! Composes a login: joins the profiles and features that a user name lists, in that order. Equal
//! results have equal digests, however they are written and wherever they were read.

use std::fmt;
use std::sync::Arc;

use metahub_hardware::{Feature, KEYS, KeyInfo, Microarchitectures, Provided, Target, TargetError};
use metahub_oci::Digest;
use serde::Serialize;

use crate::actions::{ManifestSelect, Selection};
use crate::login::{self, GrammarError, LoginError, Selector};
use crate::meaning::Meaning;
use crate::profile::Profile;
use crate::provide::{Joining, Parts};
use crate::suggestions::MAX_NEAR_BYTES;
use crate::{Action, Args, Catalog, Parameter, ParameterError, When, hint, suggestions};

/// Most names that an error suggests.
const MOST_NEAR: usize = 3;

/// A composed user name.
#[derive(Clone, Debug)]
pub struct Login {
    /// The account, whose password is still to be checked. It need not exist.
    pub account: Option<String>,
    /// The composed selectors; [`Composed::none`] without any.
    pub profile: Arc<Composed>,
}

/// The composed selectors of a login: its features, actions and fallbacks.
#[derive(Clone, Debug)]
pub struct Composed {
    selectors: Box<str>,
    provided: Provided,
    fallback: Vec<Target>,
    actions: Vec<Action>,
    selection: Selection,
    digest: Digest,
    remarks: Vec<String>,
    gets_everything: bool,
}

impl Composed {
    /// The result without selectors: no features and no actions.
    #[must_use]
    pub fn none() -> Self {
        let catalog = Catalog::builtin();
        let nothing = Joining::new(&catalog).joined();
        Self::new(&catalog, String::new(), nothing, false)
    }

    /// `any` says whether the selectors name [`Profile::ANY`](crate::Profile::ANY).
    fn new(catalog: &Catalog, selectors: String, parts: Parts, any: bool) -> Self {
        let Parts {
            features,
            fallback,
            actions,
            remarks,
        } = parts;
        let gets_everything = any && features.is_empty() && actions.is_empty();
        let digest = digest(
            catalog.graph(),
            &features,
            &fallback,
            &actions,
            gets_everything,
        );
        let provided = Provided::in_graph(Arc::clone(catalog.graph()), features)
            .with_fallbacks(fallback.iter().cloned());
        Self {
            selectors: selectors.into(),
            provided,
            fallback,
            selection: selection(&actions, &|_| false),
            actions,
            digest,
            remarks,
            gets_everything,
        }
    }

    /// Whether it is the login [`any`](crate::Profile::ANY) and nothing beside it, so that a
    /// collection is served with all of its entries, too.
    #[must_use]
    pub fn gets_everything(&self) -> bool {
        self.gets_everything
    }

    /// Whether it provides nothing and does nothing, as for an anonymous pull.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.actions.is_empty() && self.provided.is_empty()
    }

    /// The actions, in order.
    #[must_use]
    pub fn actions(&self) -> &[Action] {
        &self.actions
    }

    /// The features of all selectors together.
    #[must_use]
    pub fn provided(&self) -> &Provided {
        &self.provided
    }

    /// The targets whose images the profiles vouch for, best first.
    #[must_use]
    pub fn fallback(&self) -> &[Target] {
        &self.fallback
    }

    /// How to choose among what fits, beyond what is provided: by all that is unconditional.
    #[must_use]
    pub fn selection(&self) -> &Selection {
        &self.selection
    }

    /// The same login where these actions are done and no others: those of its own that are for
    /// one request.
    #[must_use]
    pub fn with_actions(&self, actions: Vec<Action>) -> Self {
        let mut fallback = self.fallback.clone();
        for select in actions.iter().filter_map(unconditional_select) {
            for target in &select.fallback {
                if !fallback.contains(target) {
                    fallback.push(target.clone());
                }
            }
        }
        let graph = self.provided.graph();
        let all = self.gets_everything;
        let features: Vec<Feature> = self.provided.features().cloned().collect();
        Self {
            digest: digest(graph, &features, &fallback, &actions, all),
            selection: selection(&actions, &|_| false),
            provided: self
                .provided
                .clone()
                .with_fallbacks(fallback.iter().cloned()),
            fallback,
            actions,
            ..self.clone()
        }
    }

    /// How to choose where the conditions are met for which `holds` says so.
    #[must_use]
    pub fn selection_where(&self, holds: &dyn Fn(&When) -> bool) -> Selection {
        selection(&self.actions, holds)
    }

    /// Remarks for the user: a feature that another replaced, an unknown value, a key that was
    /// probably misspelled. Not about any image.
    #[must_use]
    pub fn remarks(&self) -> &[String] {
        &self.remarks
    }

    /// SHA-256 over the canonical JSON of actions, fallbacks and features, and of the CPU targets
    /// by which they are judged: equal for all logins with the same features and actions, whatever
    /// their names.
    #[must_use]
    pub fn digest(&self) -> &Digest {
        &self.digest
    }
}

impl Default for Composed {
    fn default() -> Self {
        Self::none()
    }
}

/// The selectors, joined with `+`; empty when there are none.
impl fmt::Display for Composed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.selectors)
    }
}

fn digest(
    graph: &Microarchitectures,
    features: &[Feature],
    fallback: &[Target],
    actions: &[Action],
    gets_everything: bool,
) -> Digest {
    #[derive(Serialize)]
    struct Canonical<'a> {
        actions: &'a [Action],
        fallback: Vec<&'a str>,
        features: Vec<&'a str>,
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        gets_everything: bool,
        #[serde(skip_serializing_if = "Option::is_none")]
        graph: Option<u64>,
    }
    let chooses = |action: &Action| matches!(action.args, Args::ManifestSelect(_));
    let by_targets = !features.is_empty() || actions.iter().any(chooses);
    let canonical = Canonical {
        actions,
        fallback: fallback.iter().map(Target::as_str).collect(),
        features: features.iter().map(Feature::canonical).collect(),
        gets_everything,
        graph: by_targets.then(|| graph.fingerprint()),
    };
    // Texts, lists and structs: this cannot fail.
    let json = serde_json::to_vec(&canonical).unwrap_or_default();
    Digest::sha256(&json)
}

fn selection(actions: &[Action], holds: &dyn Fn(&When) -> bool) -> Selection {
    let mut selection = Selection::default();
    for action in actions {
        let counts = action.when.as_ref().is_none_or(|when| holds(when));
        if let Args::ManifestSelect(select) = &action.args
            && counts
        {
            selection.add(select);
        }
    }
    selection
}

fn unconditional_select(action: &Action) -> Option<&ManifestSelect> {
    match &action.args {
        Args::ManifestSelect(select) if action.when.is_none() => Some(select),
        _ => None,
    }
}

impl Catalog {
    /// Interprets a user name. `is_account` tells whether an account of that name exists.
    ///
    /// A name that is a profile is that profile. In `a/b`, `a` is an account when an account is
    /// called that and `b` names something, else `a/b` is a profile when one is called that, else
    /// `a` counts as an account that does not exist.
    ///
    /// # Errors
    /// When it breaks the grammar of logins or a selector names nothing; the text is for
    /// the user, and the same whether an account exists or not.
    pub fn interpret(
        &self,
        user: &str,
        is_account: &dyn Fn(&str) -> bool,
    ) -> Result<Login, LoginError> {
        let texts = login::split(user)?;
        let Some((first, others)) = texts.split_first() else {
            return Err(GrammarError::Empty.into());
        };
        let (account, first) = self.first(first, others.is_empty(), is_account)?;
        let mut meanings: Vec<Meaning<'_>> = first.into_iter().collect();
        for text in others {
            meanings.push(self.meaning(text)?.ok_or_else(|| self.unknown(text))?);
        }
        let mut joining = Joining::new(self);
        let mut selectors: Vec<String> = Vec::with_capacity(meanings.len());
        let is_any = |meaning: &Meaning<'_>| matches!(meaning, Meaning::Profile(p) if p.is_any());
        let any = meanings.iter().any(is_any);
        for meaning in &mut meanings {
            match meaning {
                Meaning::Feature(feature) => joining.states(std::slice::from_ref(feature)),
                Meaning::Profile(profile) => joining.states_of(profile, &[]),
                Meaning::Given(profile, parameter, value) => {
                    *value = given(profile, parameter, value, account.is_some())?;
                    joining.states_of(profile, &[(&parameter.name, value.clone())]);
                }
                Meaning::Unknown(_) => {}
            }
        }
        for meaning in &meanings {
            match meaning {
                Meaning::Feature(feature) => joining.feature(feature),
                Meaning::Unknown(feature) => joining.unknown(feature),
                Meaning::Profile(profile) => joining.profile(profile, &[]),
                Meaning::Given(profile, parameter, value) => {
                    joining.profile(profile, &[(&parameter.name, value.clone())]);
                }
            }
            // One that comes again after another may replace what that one said.
            let selector = meaning.selector();
            if selectors.last() != Some(&selector) {
                selectors.push(selector);
            }
        }
        Ok(Login {
            account: account.map(str::to_owned),
            profile: Arc::new(Composed::new(
                self,
                selectors.join("+"),
                joining.joined(),
                any,
            )),
        })
    }

    /// The first selector, and the account before it.
    fn first<'t>(
        &self,
        text: &'t str,
        alone: bool,
        is_account: &dyn Fn(&str) -> bool,
    ) -> Result<(Option<&'t str>, Option<Meaning<'_>>), LoginError> {
        let whole = self.meaning(text);
        // What stands after a value is no profile of an account.
        let split = text
            .split_once('/')
            .filter(|(account, _)| !account.is_empty() && !account.contains(['#', '=']));
        let Some((account, rest)) = split else {
            return match whole? {
                None if alone && is_account(text) => Ok((Some(text), None)),
                None => Err(self.unknown(text)),
                found => Ok((None, found)),
            };
        };
        if let Ok(Some(_)) = whole
            && !is_account(account)
        {
            return Ok((None, whole?));
        }
        let below = self.meaning(rest);
        match (
            whole,
            below.map_err(|_| GrammarError::Selector(text.to_owned()))?,
        ) {
            (_, Some(meaning)) => Ok((Some(account), Some(meaning))),
            (Ok(Some(meaning)), None) => Ok((None, Some(meaning))),
            // Two slashes are wrong in a selector, and right after an account.
            (Ok(None) | Err(_), None) => Err(self.unknown_in(text, account, rest)),
        }
    }

    /// The error for a selector that names nothing.
    fn unknown(&self, text: &str) -> LoginError {
        if let Some(row) = key_of(text) {
            return LoginError::Value {
                selector: text.to_owned(),
                key: row.name,
                example: row.example.replacen(':', "=", 1),
            };
        }
        LoginError::Unknown {
            selector: text.to_owned(),
            near: self.near(text),
        }
    }

    /// The error for `account/rest` when neither all of it nor the rest names anything.
    fn unknown_in(&self, text: &str, account: &str, rest: &str) -> LoginError {
        let below = self.near(rest).into_iter();
        let mut near = self.near(text);
        near.extend(below.map(|near| format!("{account}/{near}")));
        let mut seen = Vec::with_capacity(near.len());
        near.retain(|name| {
            !seen.contains(name) && {
                seen.push(name.clone());
                true
            }
        });
        near.truncate(MOST_NEAR);
        LoginError::Unknown {
            selector: text.to_owned(),
            near,
        }
    }

    /// What exists and is written much like the selector. Of CPU targets only those that were
    /// probably meant, as the graph tells: never one that needs more than what was written.
    fn near(&self, text: &str) -> Vec<String> {
        if text.len() > MAX_NEAR_BYTES || Selector::parse(text).is_err() {
            return Vec::new();
        }
        let feature = Feature::parse_login(text).ok();
        let hint = feature.and_then(|feature| hint::of(self.graph(), &feature));
        if let Some(hint) = hint.or_else(|| hint::of_gpu(text)) {
            return vec![hint.written('=')];
        }
        let targets: Vec<suggestions::Name<String>> = match self.graph().find(text) {
            Err(TargetError::Unknown { near, .. }) => near
                .iter()
                .map(|t| suggestions::Name::new(t.to_string()))
                .collect(),
            _ => Vec::new(),
        };
        let names = self.selectors().iter().chain(&targets);
        suggestions::ranked(&text.replace('#', "="), names, MOST_NEAR)
            .into_iter()
            .cloned()
            .collect()
    }
}

/// The value of a parameter as it counts. Without an account only what the profile lists is taken:
/// anybody can invent values, and each makes a profile of its own.
fn given(
    profile: &Profile,
    parameter: &Parameter,
    value: &str,
    by_account: bool,
) -> Result<String, LoginError> {
    let selector = format!("{}={value}", profile.name.selector());
    let counted = parameter.value(value);
    if parameter.allowed.is_empty() && !by_account {
        let problem = ParameterError::NeedsAccount {
            name: parameter.name.clone(),
            profile: profile.name.selector(),
            value: value.to_owned(),
        };
        return Err(LoginError::Parameter {
            selector,
            problem: Box::new(problem),
        });
    }
    counted.map_err(|problem| LoginError::Parameter {
        selector,
        problem: Box::new(problem),
    })
}

/// The built-in key, other than that of CPU targets, of a selector that states a feature.
fn key_of(text: &str) -> Option<&'static KeyInfo> {
    let selector = Selector::parse(text).ok()?;
    let (_, value) = selector.value.filter(|_| selector.namespace.is_none())?;
    let feature = Feature::new(selector.name, value).ok()?;
    KEYS.iter().find(|row| row.name == feature.key().as_str())
}
