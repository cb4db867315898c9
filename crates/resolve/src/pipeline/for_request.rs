//! A login's profile, reduced to what applies to one repository and tag.

use std::borrow::Cow;

use metahub_catalog::{Action, Composed, When};

use super::request::Request;
use super::when::{ConditionFacts, Holds, holds};

/// `profile` reduced to the actions that may run for `request`, as it is after
/// [`before`](super::before()); conditions known to hold are removed. Choice and derivation depend
/// on the reduced profile's digest only, so requests with the same one share them.
#[must_use]
pub fn for_request<'p>(profile: &'p Composed, request: &Request<'_>) -> Cow<'p, Composed> {
    if !profile.actions().iter().any(|action| action.when.is_some()) {
        return Cow::Borrowed(profile);
    }
    let actions = profile.actions().iter().filter_map(|action| {
        let Some(when) = action.when.as_ref() else {
            return Some(action.clone());
        };
        match holds(when, request, ConditionFacts::default()) {
            Holds::No => None,
            Holds::Yes => Some(Action::from(action.args.clone())),
            Holds::Unknown => Some(Action {
                when: Some(Box::new(unknown_part(when, request))),
                args: action.args.clone(),
            }),
        }
    });
    Cow::Owned(profile.with_actions(actions.collect()))
}

/// The part of a condition that depends on the index or image, where the rest is known to hold.
fn unknown_part(when: &When, request: &Request<'_>) -> When {
    let not = when.not.as_ref().and_then(|not| {
        let known = holds(not, request, ConditionFacts::default()) == Holds::No;
        (!known).then(|| Box::new(unknown_part(not, request)))
    });
    When {
        repository: None,
        tag: None,
        features: Vec::new(),
        not,
        ..when.clone()
    }
}
