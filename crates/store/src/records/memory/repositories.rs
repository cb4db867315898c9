//! Repositories and local names.

use metahub_oci::RepositoryName;

use super::MemoryRecords;
use super::state::{Claim, State};
use crate::StoreError;
use crate::records::{
    Answer, Change, LocalName, Origin, OwnershipRecords, Page, Release, RepositoryRecords,
};

impl State {
    /// Makes `repository` a local name, if it is none yet.
    pub(super) fn claim(&mut self, repository: &RepositoryName, account: Option<String>) {
        let claimed_at = self.now();
        let names = &mut self.local_names;
        names.entry(repository.clone()).or_insert(Claim {
            account,
            claimed_at,
        });
    }

    /// How many pushed manifests a repository holds.
    fn pushed(&self, repository: &RepositoryName) -> u64 {
        let held = self.manifests_of(repository);
        held.filter(|(_, held, _)| held.origin == Origin::Pushed)
            .count() as u64
    }
}

impl RepositoryRecords for MemoryRecords {
    fn repositories(&self, after: Option<&str>, limit: usize) -> Answer<'_, Page<RepositoryName>> {
        self.read(|state| {
            let names = state.repositories.iter();
            let names = names
                .filter(|(_, repository)| !repository.manifests.is_empty())
                .map(|(name, _)| name)
                .filter(|name| after.is_none_or(|after| name.as_str() > after));
            let names = names.take(limit.saturating_add(1)).cloned().collect();
            Ok(Page::cut(names, limit))
        })
    }

    fn has_repository(&self, repository: &RepositoryName) -> Answer<'_, bool> {
        self.read(|state| Ok(state.repositories.contains_key(repository)))
    }
}

impl OwnershipRecords for MemoryRecords {
    fn is_local(&self, repository: &RepositoryName) -> Answer<'_, bool> {
        self.read(|state| Ok(state.local_names.contains_key(repository)))
    }

    fn local_names(
        &self,
        after: Option<&RepositoryName>,
        limit: usize,
    ) -> Answer<'_, Page<LocalName>> {
        self.read(|state| {
            let names = state.local_names.iter();
            let names = names.filter(|(name, _)| after.is_none_or(|after| *name > after));
            let names = names.map(|(name, claim)| LocalName {
                name: name.clone(),
                account: claim.account.clone(),
                claimed_at: claim.claimed_at,
                manifests: state.pushed(name),
            });
            let names = names.take(limit.saturating_add(1)).collect();
            Ok(Page::cut(names, limit))
        })
    }

    fn release_name(&self, repository: &RepositoryName) -> Answer<'_, Release> {
        self.write(|state| {
            let held = state.pushed(repository);
            if held > 0 {
                return Ok(Release::Holds(held));
            }
            if state.local_names.remove(repository).is_none() {
                return Ok(Release::NotLocal);
            }
            state.changed(Change::Pushed(repository.clone()));
            Ok::<_, StoreError>(Release::Done)
        })
    }
}
