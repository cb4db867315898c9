//! `pre-manifest-get`: refuses or redirects a tag before anything of it is read.

use metahub_catalog::actions::{Deny, Redirect};
use metahub_catalog::{Args, Composed, RepositoryPattern, TextPattern};
use metahub_oci::{RepositoryName, Tag};

use super::request::Request;
use super::step::Step;
use super::when::{ConditionFacts, Holds, holds};

/// What a request by tag comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Before {
    /// The request continues unchanged.
    Unchanged,
    /// It is answered from here.
    Redirected(RepositoryName, Tag),
    /// It is refused, with this message.
    Denied(String),
}

/// Runs the actions of `profile` on `pre-manifest-get`, in order: actions after a redirection see
/// the name and tag that it leads to. Each action is done at most once, so none leads in circles.
#[must_use]
pub fn before(profile: &Composed, repository: &RepositoryName, tag: &Tag) -> (Before, Vec<Step>) {
    let (mut name, mut at) = (repository.clone(), tag.clone());
    let mut steps = Vec::new();
    for action in profile.actions() {
        if !matches!(action.args, Args::Deny(_) | Args::Redirect(_)) {
            continue;
        }
        let request = Request::of(&name, &at, profile.provided());
        if let Some(when) = &action.when
            && holds(when, &request, ConditionFacts::default()) != Holds::Yes
        {
            continue;
        }
        match &action.args {
            Args::Deny(deny) if denies(deny, &name, &at) => {
                steps.push(Step::done(action, deny.message.clone()));
                return (Before::Denied(deny.message.clone()), steps);
            }
            Args::Redirect(redirect) if redirects(redirect, &name, &at) => {
                let to = redirect.to.clone().unwrap_or_else(|| name.clone());
                let to_tag = redirect.to_tag.clone().unwrap_or_else(|| at.clone());
                steps.push(Step::done(action, format!("{name}:{at} is {to}:{to_tag}")));
                (name, at) = (to, to_tag);
            }
            _ => {}
        }
    }
    if name == *repository && at == *tag {
        return (Before::Unchanged, steps);
    }
    (Before::Redirected(name, at), steps)
}

/// Whether `profile` does anything on `pre-manifest-get`.
#[must_use]
pub fn acts_before(profile: &Composed) -> bool {
    let before = |args: &Args| matches!(args, Args::Deny(_) | Args::Redirect(_));
    profile.actions().iter().any(|action| before(&action.args))
}

fn denies(deny: &Deny, name: &RepositoryName, tag: &Tag) -> bool {
    is_for((&deny.repository, &deny.tag), name, tag)
}

fn redirects(redirect: &Redirect, name: &RepositoryName, tag: &Tag) -> bool {
    is_for((&redirect.repository, &redirect.tag), name, tag)
}

fn is_for(
    (repository, at): (&Option<RepositoryPattern>, &Option<TextPattern>),
    name: &RepositoryName,
    tag: &Tag,
) -> bool {
    repository.as_ref().is_none_or(|p| p.matches(name))
        && at.as_ref().is_none_or(|p| p.matches(tag.as_str()))
}
