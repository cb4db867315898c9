//! Nodes and join tokens.

use super::MemoryRecords;
use crate::StoreError;
use crate::records::{
    Answer, Join, JoinToken, Joining, NodeNote, NodeRecord, NodeRecords, SecretHash,
};

impl NodeRecords for MemoryRecords {
    fn node(&self, name: &str) -> Answer<'_, Option<NodeRecord>> {
        self.read(|state| Ok(state.nodes.get(name).cloned()))
    }

    fn node_by_token(&self, hash: SecretHash) -> Answer<'_, Option<NodeRecord>> {
        self.read(|state| {
            let mut nodes = state.nodes.values();
            let found = nodes.find(|node| node.token_hash.as_ref() == Some(&hash));
            Ok(found.cloned())
        })
    }

    fn nodes(&self) -> Answer<'_, Vec<NodeRecord>> {
        self.read(|state| Ok(state.nodes.values().cloned().collect()))
    }

    fn note_nodes(&self, notes: Vec<NodeNote>, most: u64) -> Answer<'_, u64> {
        self.write(|state| {
            let mut refused = 0;
            for note in notes {
                if !state.nodes.contains_key(&note.name) {
                    if !note.may_be_new {
                        continue;
                    }
                    if state.nodes.len() as u64 >= most {
                        refused += 1;
                        continue;
                    }
                }
                let new = || NodeRecord::new(&note.name, &note.way, note.seen);
                let node = state.nodes.entry(note.name.clone()).or_insert_with(new);
                node.note(note);
            }
            Ok::<_, StoreError>(refused)
        })
    }

    fn revoke_node(&self, name: &str) -> Answer<'_, bool> {
        self.write(|state| {
            let now = state.now();
            let known = state.nodes.contains_key(name);
            let new = || NodeRecord::new(name, "", now);
            let node = state.nodes.entry(name.to_owned()).or_insert_with(new);
            node.revoked_at = node.revoked_at.or(Some(now));
            Ok::<_, StoreError>(known)
        })
    }

    fn remove_node(&self, name: &str) -> Answer<'_, bool> {
        self.write(|state| Ok::<_, StoreError>(state.nodes.remove(name).is_some()))
    }

    fn add_join_token(&self, token: JoinToken, most: u64) -> Answer<'_, bool> {
        self.write(|state| {
            let now = state.now();
            let tokens = &mut state.join_tokens;
            tokens.retain(|_, token| token.uses > 0 && now < token.expires_at);
            if tokens.len() as u64 >= most {
                return Ok(false);
            }
            tokens.insert(*token.hash.expose(), token);
            Ok::<_, StoreError>(true)
        })
    }

    fn join_token(&self, hash: SecretHash) -> Answer<'_, Option<JoinToken>> {
        self.read(|state| Ok(state.join_tokens.get(hash.expose()).cloned()))
    }

    fn join_tokens(&self) -> Answer<'_, Vec<JoinToken>> {
        self.read(|state| {
            let mut tokens: Vec<_> = state.join_tokens.values().cloned().collect();
            tokens.sort_by_key(|token| (token.created_at, *token.hash.expose()));
            Ok(tokens)
        })
    }

    fn remove_join_token(&self, hash: SecretHash) -> Answer<'_, bool> {
        self.write(|state| Ok::<_, StoreError>(state.join_tokens.remove(hash.expose()).is_some()))
    }

    fn join(&self, join: Join) -> Answer<'_, Joining> {
        self.write(|state| {
            let now = state.now();
            let count = state.nodes.len() as u64;
            let known = state.nodes.get(&join.name).cloned();
            let token = state.join_tokens.get_mut(join.join_token.expose());
            let judged = join.judged(token.as_deref(), known.as_ref(), count, now);
            if let (Joining::Done, Some(token)) = (judged, token) {
                token.uses -= 1;
                let node = join.joined(known, now);
                state.nodes.insert(node.name.clone(), node);
            }
            Ok::<_, StoreError>(judged)
        })
    }
}
