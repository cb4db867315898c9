//! The criteria by which a login's images are chosen from one index.

use std::borrow::Cow;

use metahub_catalog::actions::Selection;
use metahub_catalog::{Args, Composed, When};
use metahub_hardware::{Provided, Target};
use metahub_oci::Index;

use crate::pipeline::when::holds_of_index;

/// What a login provides, and how it is chosen by.
pub(crate) struct Choice<'a> {
    pub(crate) provided: Cow<'a, Provided>,
    pub(crate) selection: Cow<'a, Selection>,
}

impl<'a> Choice<'a> {
    /// With the `manifest-select` actions whose conditions hold of `index`.
    pub(crate) fn of(profile: &'a Composed, index: &Index) -> Self {
        let holds = |when: &When| holds_of_index(when, profile, index);
        let mut fallback: Vec<Target> = Vec::new();
        let mut conditional = false;
        for action in profile.actions() {
            if let (Some(when), Args::ManifestSelect(select)) = (&action.when, &action.args)
                && holds(when)
            {
                conditional = true;
                fallback.extend(select.fallback.iter().cloned());
            }
        }
        if !conditional {
            return Self {
                provided: Cow::Borrowed(profile.provided()),
                selection: Cow::Borrowed(profile.selection()),
            };
        }
        let known = profile.fallback().iter().cloned();
        let provided = profile.provided().clone();
        Self {
            provided: Cow::Owned(provided.with_fallbacks(known.chain(fallback))),
            selection: Cow::Owned(profile.selection_where(&holds)),
        }
    }
}
