//! `post-tags-list-get`: filters the tags that a login sees.

use metahub_catalog::actions::TagsFilter;
use metahub_catalog::{Args, Composed};
use metahub_oci::{RepositoryName, Tag};

use super::request::Request;
use super::when::{ConditionFacts, Holds, holds};

/// What a profile does to the tags of one repository.
#[derive(Clone, Debug)]
pub struct TagFilters<'p>(Vec<&'p TagsFilter>);

impl<'p> TagFilters<'p> {
    /// The filters of `profile` that are for `repository`; none if there are none.
    #[must_use]
    pub fn of(profile: &'p Composed, repository: &RepositoryName) -> Option<Self> {
        let request = Request {
            repository: Some(repository),
            ..Request::by(profile.provided())
        };
        let filters = profile.actions().iter().filter_map(|action| {
            let Args::TagsFilter(filter) = &action.args else {
                return None;
            };
            let for_it = filter.repository.as_ref();
            let for_it = for_it.is_none_or(|pattern| pattern.matches(repository));
            let when = action.when.as_ref();
            let holds = when
                .is_none_or(|when| holds(when, &request, ConditionFacts::default()) == Holds::Yes);
            (for_it && holds).then_some(filter)
        });
        let filters: Vec<_> = filters.collect();
        (!filters.is_empty()).then_some(Self(filters))
    }

    /// Whether a tag that is there is shown. In order, so that a later filter hides what an
    /// earlier one added.
    #[must_use]
    pub fn shows(&self, tag: &str) -> bool {
        self.shown(tag, true)
    }

    /// The tags that are shown whether they are there or not, each once, in order.
    #[must_use]
    pub fn added(&self) -> Vec<&'p Tag> {
        let mut added: Vec<&Tag> = self.0.iter().flat_map(|filter| &filter.add).collect();
        added.sort_unstable();
        added.dedup();
        added.retain(|tag| self.shown(tag.as_str(), false));
        added
    }

    fn shown(&self, tag: &str, mut shown: bool) -> bool {
        for filter in &self.0 {
            let kept = filter.keep.as_ref().is_none_or(|keep| keep.matches(tag));
            let dropped = filter.drop.as_ref().is_some_and(|drop| drop.matches(tag));
            let added = filter.add.iter().any(|added| added.as_str() == tag);
            shown = added || (shown && kept && !dropped);
        }
        shown
    }
}
