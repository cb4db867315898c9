//! Nodes that proved their identity, and the join tokens that they exchange. How a node is proved,
//! and what its features mean, is not known here.

use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use super::accounts::Redacted;
use super::shared::Answer;

/// Images of a node that are kept, those pulled last.
pub const MOST_NODE_IMAGES: usize = 5;

/// SHA-256 of a secret that is random, so that nothing slower is needed.
pub type SecretHash = Redacted<[u8; 32]>;

/// An image that a node got.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeImage {
    /// `NAME:TAG` as requested.
    pub image: String,
    /// The digest that was served.
    pub digest: String,
}

/// A node as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeRecord {
    /// Its name.
    pub name: String,
    /// How it proved its identity last.
    pub way: String,
    /// The hash of its token, if it joined.
    pub token_hash: Option<SecretHash>,
    /// What it reported that it provides.
    pub features: Vec<String>,
    /// The version of `metahub-node` that reported.
    pub version: Option<String>,
    /// When it was first seen.
    pub first_seen: SystemTime,
    /// When it was last seen.
    pub last_seen: SystemTime,
    /// When it last pulled.
    pub last_pull: Option<SystemTime>,
    /// What it pulled last, the newest first.
    pub images: Vec<NodeImage>,
    /// Since when it is refused.
    pub revoked_at: Option<SystemTime>,
}

impl NodeRecord {
    /// A node that is first seen at `now`.
    pub(crate) fn new(name: &str, way: &str, now: SystemTime) -> Self {
        Self {
            name: name.to_owned(),
            way: way.to_owned(),
            token_hash: None,
            features: Vec::new(),
            version: None,
            first_seen: now,
            last_seen: now,
            last_pull: None,
            images: Vec::new(),
            revoked_at: None,
        }
    }

    /// Adds later sightings of it.
    pub(crate) fn note(&mut self, note: NodeNote) {
        self.way = note.way;
        self.last_seen = self.last_seen.max(note.seen);
        self.last_pull = self.last_pull.max(note.pulled);
        if let Some(facts) = note.facts {
            self.features = facts.features;
            self.version = Some(facts.version);
        }
        let mut images = note.images;
        images.append(&mut self.images);
        let mut known = Vec::new();
        for image in images {
            if known.len() < MOST_NODE_IMAGES
                && !known.iter().any(|one: &NodeImage| one.image == image.image)
            {
                known.push(image);
            }
        }
        self.images = known;
    }
}

/// What a node reports of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeFacts {
    /// What it provides.
    pub features: Vec<String>,
    /// The version of `metahub-node`.
    pub version: String,
}

/// Sightings of a node since they were last recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeNote {
    /// Its name.
    pub name: String,
    /// How it proved its identity.
    pub way: String,
    /// Whether it may be new here. One that joined has its row by that, and none once it is removed.
    pub may_be_new: bool,
    /// When it was last seen.
    pub seen: SystemTime,
    /// When it last pulled, if it did.
    pub pulled: Option<SystemTime>,
    /// What it pulled, the newest first.
    pub images: Vec<NodeImage>,
    /// What it reported, if it did.
    pub facts: Option<NodeFacts>,
}

/// A token that nodes join with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinToken {
    /// The hash of it.
    pub hash: SecretHash,
    /// When it was made.
    pub created_at: SystemTime,
    /// When it is of no more use.
    pub expires_at: SystemTime,
    /// How many nodes may still join with it.
    pub uses: u32,
    /// Whether it takes over the name of a node that joined before.
    pub replace: bool,
}

/// The result of joining.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Joining {
    /// It has its token from now on.
    Done,
    /// There is no such join token, or no longer.
    NoToken,
    /// A node of that name has joined before.
    Taken,
    /// The node of that name is revoked.
    Revoked,
    /// There are as many nodes as there may be.
    Full,
}

/// A node that wants to join.
#[derive(Clone, Debug)]
pub struct Join {
    /// Its name.
    pub name: String,
    /// What ways are called by which a node joins.
    pub way: String,
    /// The hash of the join token.
    pub join_token: SecretHash,
    /// The hash of the token that it is to have.
    pub token: SecretHash,
    /// Most nodes that there may be.
    pub most: u64,
}

impl Join {
    /// What becomes of it: `count` is the number of nodes, `known` the one of that name.
    pub(crate) fn judged(
        &self,
        token: Option<&JoinToken>,
        known: Option<&NodeRecord>,
        count: u64,
        now: SystemTime,
    ) -> Joining {
        let Some(token) = token.filter(|token| token.uses > 0 && now < token.expires_at) else {
            return Joining::NoToken;
        };
        match known {
            Some(node) if node.revoked_at.is_some() => Joining::Revoked,
            Some(node) if node.token_hash.is_some() && !token.replace => Joining::Taken,
            None if count >= self.most => Joining::Full,
            _ => Joining::Done,
        }
    }

    /// The node that has joined.
    pub(crate) fn joined(self, known: Option<NodeRecord>, now: SystemTime) -> NodeRecord {
        let node = known.unwrap_or_else(|| NodeRecord::new(&self.name, &self.way, now));
        NodeRecord {
            way: self.way,
            token_hash: Some(self.token),
            last_seen: now,
            ..node
        }
    }
}

/// Nodes and join tokens. Another process may revoke a node: nothing of this is ever cached here.
pub(crate) trait NodeRecords: Send + Sync {
    /// The node `name`.
    fn node(&self, name: &str) -> Answer<'_, Option<NodeRecord>>;

    /// The node whose token has this hash.
    fn node_by_token(&self, hash: SecretHash) -> Answer<'_, Option<NodeRecord>>;

    /// All nodes, by name.
    fn nodes(&self) -> Answer<'_, Vec<NodeRecord>>;

    /// Records sightings of nodes. New nodes beyond `most` are left out; returns how many.
    fn note_nodes(&self, notes: Vec<NodeNote>, most: u64) -> Answer<'_, u64>;

    /// Refuses a node from now on, durably, also one that was never seen. Returns whether it was
    /// known.
    fn revoke_node(&self, name: &str) -> Answer<'_, bool>;

    /// Forgets a node, durably: whether it is revoked, and its token. Returns whether it was known.
    fn remove_node(&self, name: &str) -> Answer<'_, bool>;

    /// Adds a join token, durably, and forgets those that are of no more use. Returns whether there
    /// was room for it: there are `most` at most.
    fn add_join_token(&self, token: JoinToken, most: u64) -> Answer<'_, bool>;

    /// The join token of this hash, also one that is of no more use.
    fn join_token(&self, hash: SecretHash) -> Answer<'_, Option<JoinToken>>;

    /// All join tokens, by when they were made.
    fn join_tokens(&self) -> Answer<'_, Vec<JoinToken>>;

    /// Removes a join token, durably. Returns whether there was one.
    fn remove_join_token(&self, hash: SecretHash) -> Answer<'_, bool>;

    /// Exchanges a join token for a node's token, durably.
    fn join(&self, join: Join) -> Answer<'_, Joining>;
}
