//! A login's profile, reduced to what applies to one repository and tag.

use std::borrow::Cow;

use metahub_catalog::{Action, Composed, When};

use super::request::Request;
use super::when::{ConditionFacts, Holds, holds};

/// `profile` with the actions only that may be done for `request`, once
/// [`before`](super::before()) has said what that is, those without their condition of which it is
/// known that it holds. What is chosen and derived depends on that profile's digest
/// alone, so requests that come to the same share it.
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

/// What of a condition depends on the index or image, where the rest is known to hold.
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
