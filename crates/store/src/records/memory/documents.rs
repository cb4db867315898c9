//! Documents that came through the API.

use super::MemoryRecords;
use crate::StoreError;
use crate::records::memory::state::State;
use crate::records::{
    Answer, DocumentBounds, DocumentChange, DocumentOutcome, DocumentRecords, DocumentVersion,
};

impl DocumentRecords for MemoryRecords {
    fn documents(&self) -> Answer<'_, Vec<DocumentVersion>> {
        self.read(|state| Ok(current(state).cloned().collect()))
    }

    fn document(
        &self,
        kind: &str,
        name: &str,
        version: Option<u64>,
    ) -> Answer<'_, Option<DocumentVersion>> {
        self.read(|state| {
            let versions = state.documents.get(&(kind.to_owned(), name.to_owned()));
            let mut versions = versions.into_iter().flatten();
            Ok(match version {
                Some(version) => versions.find(|one| one.version == version).cloned(),
                None => versions.last().cloned(),
            })
        })
    }

    fn document_history(&self, kind: &str, name: &str) -> Answer<'_, Vec<DocumentVersion>> {
        self.read(|state| {
            let versions = state.documents.get(&(kind.to_owned(), name.to_owned()));
            let versions = versions.into_iter().flatten().rev();
            let without_text = |version: &DocumentVersion| DocumentVersion {
                text: version.text.as_ref().map(|_| String::new()),
                ..version.clone()
            };
            Ok(versions.map(without_text).collect())
        })
    }

    fn change_document(
        &self,
        change: DocumentChange,
        bounds: DocumentBounds,
    ) -> Answer<'_, DocumentOutcome> {
        self.write(move |state| {
            let key = (change.kind.to_owned(), change.name.clone());
            let last = state
                .documents
                .get(&key)
                .and_then(|all| all.last())
                .cloned();
            if !change.precondition.holds(last.as_ref()) {
                return Ok(DocumentOutcome::Otherwise(last));
            }
            if let Some(text) = &change.text {
                let others = current(state)
                    .filter(|one| (one.kind.as_str(), one.name.as_str()) != (&key.0, &key.1));
                let (mut count, mut bytes) = (1, text.len() as u64);
                for other in others {
                    count += 1;
                    bytes += other.text.as_ref().map_or(0, |text| text.len() as u64);
                }
                if count > bounds.documents || bytes > bounds.bytes {
                    return Ok(DocumentOutcome::Full);
                }
            }
            let version = DocumentVersion {
                kind: change.kind.to_owned(),
                name: change.name,
                version: last.map_or(0, |last| last.version) + 1,
                text: change.text,
                account: change.account,
                changed_at: state.now(),
            };
            let versions = state.documents.entry(key).or_default();
            versions.push(version.clone());
            versions.retain(|one| one.version + bounds.versions > version.version);
            forget_deleted(state, bounds.deleted);
            Ok::<_, StoreError>(DocumentOutcome::Changed(version))
        })
    }
}

/// The documents that are not deleted.
fn current(state: &State) -> impl Iterator<Item = &DocumentVersion> {
    let last = state
        .documents
        .values()
        .filter_map(|versions| versions.last());
    last.filter(|last| last.text.is_some())
}

fn forget_deleted(state: &mut State, most: u64) {
    let last = state
        .documents
        .iter()
        .filter_map(|(key, all)| Some((key, all.last()?)));
    let mut deleted: Vec<_> = last
        .filter(|(_, last)| last.text.is_none())
        .map(|(key, last)| (std::cmp::Reverse(last.changed_at), key.clone()))
        .collect();
    deleted.sort();
    let most = usize::try_from(most).unwrap_or(usize::MAX);
    for (_, key) in deleted.into_iter().skip(most) {
        state.documents.remove(&key);
    }
}
