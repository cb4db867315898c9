//! Nodes that proved their identity, and join tokens. Never cached: another process may revoke a
//! node while this one serves.
//!
//! How a node is proved, and what its features mean, is not known here.

use crate::StoreError;
use crate::records::{Join, JoinToken, Joining, NodeNote, NodeRecord, SecretHash};
use crate::store::Store;

impl Store {
    /// The node `name`.
    pub async fn node(&self, name: &str) -> Result<Option<NodeRecord>, StoreError> {
        self.inner.records.node(name).await
    }

    /// The node whose token has this hash.
    pub async fn node_by_token(&self, hash: SecretHash) -> Result<Option<NodeRecord>, StoreError> {
        self.inner.records.node_by_token(hash).await
    }

    /// All nodes, by name.
    pub async fn nodes(&self) -> Result<Vec<NodeRecord>, StoreError> {
        self.inner.records.nodes().await
    }

    /// Records sightings of nodes. New nodes are left out if there are `most` nodes; returns how
    /// many. A power cut may undo the last moments.
    pub async fn note_nodes(&self, notes: Vec<NodeNote>, most: u64) -> Result<u64, StoreError> {
        self.inner.records.note_nodes(notes, most).await
    }

    /// Revokes a node, also one that was never seen. Returns whether it was known.
    pub async fn revoke_node(&self, name: &str) -> Result<bool, StoreError> {
        self.inner.records.revoke_node(name).await
    }

    /// Forgets a node: whether it is revoked, and its token. Returns whether it was known.
    pub async fn remove_node(&self, name: &str) -> Result<bool, StoreError> {
        self.inner.records.remove_node(name).await
    }

    /// Adds a join token, and removes expired and used ones. Returns false if there are `most`
    /// already.
    pub async fn add_join_token(&self, token: JoinToken, most: u64) -> Result<bool, StoreError> {
        self.inner.records.add_join_token(token, most).await
    }

    /// The join token of this hash, also an expired or used one.
    pub async fn join_token(&self, hash: SecretHash) -> Result<Option<JoinToken>, StoreError> {
        self.inner.records.join_token(hash).await
    }

    /// All join tokens, by when they were made.
    pub async fn join_tokens(&self) -> Result<Vec<JoinToken>, StoreError> {
        self.inner.records.join_tokens().await
    }

    /// Removes a join token. Returns whether there was one.
    pub async fn remove_join_token(&self, hash: SecretHash) -> Result<bool, StoreError> {
        self.inner.records.remove_join_token(hash).await
    }

    /// Exchanges a join token for a node's token.
    pub async fn join(&self, join: Join) -> Result<Joining, StoreError> {
        self.inner.records.join(join).await
    }
}
