//! Authentication of nodes: verifies what a node sends in place of a password, exchanges join
//! tokens, and records when nodes were seen. All of this is off unless configured.
//!
//! A node that proved its identity may pull, and gets no other right by that.

mod munge;
mod secret;
mod sightings;
mod slurm_jwt;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use metahub_store::{Join, Joining, NodeFacts, NodeImage, NodeRecord, Store};
use moka::future::Cache;

use crate::node::{Node, NodeName, NodeRefused, NodeWay};
use crate::{AuthError, DnsName, Password};
use munge::Munge;
use sightings::Sightings;
use slurm_jwt::SlurmJwt;

pub use munge::MungeConfig;
pub use secret::{NodeSecret, join_token_id};
pub use slurm_jwt::{SlurmJwtConfig, SlurmKeys, SlurmKeysError};

/// How often sightings of nodes are written.
const WRITE_EVERY: Duration = Duration::from_secs(60);
/// The delay after a new node or report, since others may follow.
const WRITE_NEWS_AFTER: Duration = Duration::from_millis(500);
/// How long a certificate is accepted without reading the store.
const RECHECK: Duration = Duration::from_secs(5);
/// Most features that a node reports.
const MOST_FEATURES: usize = 128;
/// Longest feature or version that a node reports, in bytes.
const LONGEST_FEATURE: usize = 256;

/// The ways in which nodes prove their identity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodesConfig {
    /// Whether nodes join with join tokens.
    pub join: bool,
    /// MUNGE, if nodes prove their identity by it.
    pub munge: Option<MungeConfig>,
    /// DNS names of client certificates that are nodes'.
    pub certificate: Vec<DnsName>,
    /// Which tokens of Slurm prove nodes.
    pub slurm_jwt: Option<SlurmJwtConfig>,
    /// Most nodes that are kept.
    pub limit: usize,
}

impl Default for NodesConfig {
    fn default() -> Self {
        Self {
            join: false,
            munge: None,
            certificate: Vec::new(),
            slurm_jwt: None,
            limit: 10_000,
        }
    }
}

impl NodesConfig {
    /// Whether any way is configured.
    #[must_use]
    pub fn is_on(&self) -> bool {
        let certificate = !self.certificate.is_empty();
        self.join || self.munge.is_some() || certificate || self.slurm_jwt.is_some()
    }
}

/// Why a node could not join.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    /// The configuration lets none join.
    #[error("no node joins here (nodes.join in this registry's configuration)")]
    Off,
    /// The token is none, was used up, or has expired.
    #[error(
        "this join token is of no use: it has expired, was used up or removed, or is of another registry"
    )]
    NoToken,
    /// The name is taken.
    #[error(
        "a node called {0} has joined before: remove it first (metahub node remove {0}), or join \
         with a token that replaces (metahub node token --replace)"
    )]
    Taken(NodeName),
    /// The name is revoked.
    #[error("node {0} is revoked here: the operator of this registry can let it in again")]
    Revoked(NodeName),
    /// There are as many nodes as may be.
    #[error("this registry keeps no more nodes (nodes.limit in its configuration)")]
    Full,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] metahub_store::StoreError),
}

/// A node's credential, sent in place of a password.
#[derive(Clone, Debug)]
pub(crate) enum NodeCredential {
    Token(NodeSecret),
    Munge(Password),
    SlurmJwt(Password),
}

/// A node with a valid credential, and the basis of its registry tokens.
pub(crate) struct Proven {
    pub(crate) node: Node,
    /// Changes when its credential is replaced.
    pub(crate) basis: Option<String>,
}

#[derive(Debug)]
struct Inner {
    store: Store,
    config: NodesConfig,
    munge: Option<Munge>,
    slurm_jwt: Option<SlurmJwt>,
    /// Nodes by the names of certificates; `None` for one that is revoked.
    certified: Cache<NodeName, Option<Arc<Node>>>,
    sightings: Sightings,
}

/// The nodes of a registry. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Nodes(Arc<Inner>);

impl Nodes {
    /// Nodes that `store` keeps, in the ways that `config` names.
    ///
    /// # Errors
    /// Keys of Slurm that cannot be used.
    pub fn new(store: Store, config: NodesConfig) -> Result<Self, SlurmKeysError> {
        let slurm_jwt = config.slurm_jwt.as_ref().map(SlurmJwt::read).transpose()?;
        Ok(Self(Arc::new(Inner {
            munge: config.munge.clone().map(Munge::new),
            slurm_jwt,
            certified: Cache::builder()
                .max_capacity(config.limit as u64)
                .time_to_live(RECHECK)
                .build(),
            sightings: Sightings::new(config.limit),
            store,
            config,
        })))
    }

    /// Parses a password that has the form of a configured node credential.
    pub(crate) fn credential(&self, password: &Password) -> Option<NodeCredential> {
        let text = password.expose();
        if self.0.config.join
            && let Some(token) = NodeSecret::node(text)
        {
            return Some(NodeCredential::Token(token));
        }
        if self.0.munge.is_some() && Munge::is_credential(password) {
            return Some(NodeCredential::Munge(password.clone()));
        }
        if self.0.slurm_jwt.is_some() && SlurmJwt::is_credential(password) {
            return Some(NodeCredential::SlurmJwt(password.clone()));
        }
        None
    }

    /// The node that a credential proves.
    pub(crate) async fn verify(
        &self,
        credential: &NodeCredential,
        from: Option<IpAddr>,
    ) -> Result<Proven, AuthError> {
        match credential {
            NodeCredential::SlurmJwt(password) => {
                let slurm_jwt = self.0.slurm_jwt.as_ref().ok_or(NodeRefused::Foreign)?;
                let name = slurm_jwt.node(password)?;
                let way = NodeWay::SlurmJwt;
                self.again(&Node { name, way }).await
            }
            NodeCredential::Munge(credential) => {
                let munge = self.0.munge.as_ref().ok_or(NodeRefused::Foreign)?;
                let name = munge.node(credential, from).await?;
                let way = NodeWay::Munge;
                self.again(&Node { name, way }).await
            }
            NodeCredential::Token(token) => {
                let hash = token.hash();
                let found = self.0.store.node_by_token(hash).await;
                let found = found.map_err(AuthError::unavailable)?;
                let record = found.ok_or(NodeRefused::Unknown)?;
                let name = name_of(&record)?;
                self.admit(name, NodeWay::Token, Some(&record))
            }
        }
    }

    /// The current node to which a token of this registry was issued.
    pub(crate) async fn again(&self, node: &Node) -> Result<Proven, AuthError> {
        let configured = match node.way {
            NodeWay::Token => self.0.config.join,
            NodeWay::Munge => self.0.munge.is_some(),
            NodeWay::Certificate => !self.0.config.certificate.is_empty(),
            NodeWay::SlurmJwt => self.0.slurm_jwt.is_some(),
        };
        if !configured {
            return Err(AuthError::Expired);
        }
        let found = self.0.store.node(node.name.as_str()).await;
        let record = found.map_err(AuthError::unavailable)?;
        self.admit(node.name.clone(), node.way, record.as_ref())
    }

    /// The node that a client's certificate with these names proves, if any.
    pub(crate) async fn certified(&self, names: &[String]) -> Option<Result<Arc<Node>, AuthError>> {
        let Inner {
            config, certified, ..
        } = &*self.0;
        let is_node = |name: &&String| config.certificate.iter().any(|one| one.matches(name));
        let name = names.iter().find(is_node)?;
        let name: NodeName = name.trim_end_matches('.').parse().ok()?;
        let looking = async {
            let way = NodeWay::Certificate;
            let name = name.clone();
            match self.again(&Node { name, way }).await {
                Ok(proven) => Ok(Some(Arc::new(proven.node))),
                Err(AuthError::Node(NodeRefused::Revoked(_))) => Ok(None),
                Err(error) => Err(error),
            }
        };
        Some(match certified.try_get_with(name.clone(), looking).await {
            Ok(Some(node)) => Ok(node),
            Ok(None) => Err(NodeRefused::Revoked(name).into()),
            Err(error) => Err(AuthError::unavailable(error)),
        })
    }

    /// A node of which the store knows `record`, if it is not revoked.
    fn admit(
        &self,
        name: NodeName,
        way: NodeWay,
        record: Option<&NodeRecord>,
    ) -> Result<Proven, AuthError> {
        if record.is_some_and(|record| record.revoked_at.is_some()) {
            return Err(NodeRefused::Revoked(name).into());
        }
        let basis = match way {
            NodeWay::Token => {
                let hash = record.and_then(|record| record.token_hash.as_ref());
                Some(join_token_id(hash.ok_or(NodeRefused::Unknown)?))
            }
            NodeWay::Munge | NodeWay::Certificate | NodeWay::SlurmJwt => None,
        };
        let node = Node { name, way };
        self.0.sightings.note(&node, None, None);
        Ok(Proven { node, basis })
    }

    /// Exchanges a join token for the token of a node called `name`.
    ///
    /// # Errors
    /// See [`JoinError`].
    pub async fn join(&self, name: &NodeName, with: &str) -> Result<NodeSecret, JoinError> {
        let Inner { store, config, .. } = &*self.0;
        if !config.join {
            return Err(JoinError::Off);
        }
        let with = NodeSecret::joining(with).ok_or(JoinError::NoToken)?.hash();
        // Requests without a valid token neither wait for the writer nor block it.
        if store.join_token(with.clone()).await?.is_none() {
            return Err(JoinError::NoToken);
        }
        let token = NodeSecret::for_node();
        let join = Join {
            name: name.as_str().to_owned(),
            way: NodeWay::Token.as_str().to_owned(),
            join_token: with,
            token: token.hash(),
            most: config.limit as u64,
        };
        match store.join(join).await? {
            Joining::Done => Ok(token),
            Joining::NoToken => Err(JoinError::NoToken),
            Joining::Taken => Err(JoinError::Taken(name.clone())),
            Joining::Revoked => Err(JoinError::Revoked(name.clone())),
            Joining::Full => Err(JoinError::Full),
        }
    }

    /// Notes an image that a node got: `NAME:TAG`, and the digest.
    pub fn pulled(&self, node: &Node, image: String, digest: String) {
        let image = NodeImage { image, digest };
        self.0.sightings.note(node, Some(image), None);
    }

    /// Notes a node's report about itself. Returns false if it is too long.
    #[must_use]
    pub fn reported(&self, node: &Node, features: Vec<String>, version: String) -> bool {
        let fits =
            |text: &String| text.len() <= LONGEST_FEATURE && !text.chars().any(char::is_control);
        if features.len() > MOST_FEATURES || !features.iter().all(fits) || !fits(&version) {
            return false;
        }
        let facts = NodeFacts { features, version };
        self.0.sightings.note(node, None, Some(facts));
        true
    }

    /// Writes sightings of nodes periodically.
    pub async fn keep(self) {
        loop {
            let news = async {
                self.0.sightings.news.notified().await;
                tokio::time::sleep(WRITE_NEWS_AFTER).await;
            };
            let _ = tokio::time::timeout(WRITE_EVERY, news).await;
            self.write().await;
        }
    }

    /// Writes pending sightings of nodes.
    pub async fn write(&self) {
        let Inner {
            store,
            config,
            sightings,
            ..
        } = &*self.0;
        let notes = sightings.take();
        if notes.is_empty() {
            return;
        }
        match store.note_nodes(notes.clone(), config.limit as u64).await {
            Ok(0) => {}
            Ok(left_out) => tracing::warn!(
                left_out,
                "nodes are served and not listed: there are as many as nodes.limit says"
            ),
            Err(error) => {
                tracing::warn!(%error, "what was seen of nodes could not be written");
                sightings.put_back(notes);
            }
        }
    }
}

/// The name in a record.
fn name_of(record: &NodeRecord) -> Result<NodeName, AuthError> {
    record.name.parse().map_err(AuthError::unavailable)
}
