//! The identity of a node that proved itself, and of the tokens that it was issued.

use std::net::IpAddr;
use std::sync::Arc;

use metahub_catalog::{Catalog, Composed};

use super::Authenticator;
use crate::grants::Grants;
use crate::node::{Node, NodeRefused};
use crate::nodes::{NodeCredential, Nodes, Proven};
use crate::token::Claims;
use crate::{AuthError, Credentials, Identity};

impl Authenticator {
    /// Authenticates credentials on a connection with a client certificate of these names. A node's
    /// certificate counts if the credentials are neither an account's nor a node's.
    ///
    /// # Errors As [`Authenticator::authenticate`], and a revoked node's certificate.
    pub async fn authenticate_at(
        &self,
        credentials: &Credentials,
        from: Option<IpAddr>,
        certificate: &[String],
    ) -> Result<Arc<Identity>, AuthError> {
        let asked = self.authenticate(credentials, from).await;
        let Some(nodes) = self.nodes.as_ref().filter(|_| !certificate.is_empty()) else {
            return asked;
        };
        let proven = |node| Proven { node, basis: None };
        let speaks = |identity: &Identity| identity.account().is_some() || identity.node.is_some();
        match asked {
            Ok(identity) if speaks(&identity) => Ok(identity),
            Ok(identity) => match nodes.certified(certificate).await {
                None => Ok(identity),
                Some(node) => Ok(Arc::new(Identity {
                    grants: Grants {
                        node: true,
                        ..identity.grants.clone()
                    },
                    node: Some(node?),
                    ..Identity::clone(&identity)
                })),
            },
            Err(AuthError::LoginRequired) => match nodes.certified(certificate).await {
                None => Err(AuthError::LoginRequired),
                Some(node) => {
                    let node = proven(Node::clone(&*node?));
                    Ok(Arc::new(self.of_node(
                        "",
                        Arc::new(Composed::none()),
                        node,
                    )?))
                }
            },
            Err(AuthError::AccountRequired { login }) => match nodes.certified(certificate).await {
                None => Err(AuthError::AccountRequired { login }),
                Some(node) => {
                    let node = proven(Node::clone(&*node?));
                    let profile = profile_of(&login, &self.catalog())?;
                    Ok(Arc::new(self.of_node(&login, profile, node)?))
                }
            },
            Err(error) => Err(error),
        }
    }

    /// A node that sent `credential` in place of a password.
    pub(super) async fn node_login(
        &self,
        nodes: &Nodes,
        user: &str,
        credential: &NodeCredential,
        from: Option<IpAddr>,
        catalog: &Catalog,
    ) -> Result<Identity, AuthError> {
        let profile = profile_of(user, catalog)?;
        let proven = nodes.verify(credential, from).await;
        let proven = proven.inspect_err(|error| {
            if let AuthError::Node(refused) = error {
                tracing::info!(%refused, ?from, "a node was refused");
            }
        })?;
        self.of_node(user, profile, proven)
    }

    /// The node to which a token was issued, unless it is revoked or has another credential now.
    pub(super) async fn node_again(
        &self,
        claims: &Claims,
        catalog: &Catalog,
    ) -> Result<Identity, AuthError> {
        let (Some(nodes), Some(node)) = (&self.nodes, &claims.node) else {
            return Err(AuthError::Expired);
        };
        let profile = profile_of(&claims.sub, catalog)?;
        let proven = nodes.again(node).await?;
        let identity = self.of_node(&claims.sub, profile, proven)?;
        if identity.version != claims.version {
            return Err(AuthError::Expired);
        }
        Ok(identity)
    }

    fn of_node(
        &self,
        user: &str,
        profile: Arc<Composed>,
        proven: Proven,
    ) -> Result<Identity, AuthError> {
        let version = proven.basis.map(|basis| self.key.version_of_node(&basis));
        Ok(Identity {
            login: user.into(),
            grants: Grants {
                anonymous: self.config.anonymous,
                account: None,
                node: true,
            },
            profile,
            profile_by: None,
            token: None,
            version: version.transpose()?,
            node: Some(Arc::new(proven.node)),
        })
    }
}

/// The meaning of a node's user name: a profile alone, or nothing.
fn profile_of(user: &str, catalog: &Catalog) -> Result<Arc<Composed>, AuthError> {
    if user.is_empty() {
        return Ok(Arc::new(Composed::none()));
    }
    match catalog.interpret(user, &|_| false) {
        Ok(login) if login.account.is_some() => {
            Err(NodeRefused::WithAccount(user.to_owned()).into())
        }
        Ok(login) => Ok(login.profile),
        Err(error) => Err(AuthError::UnknownProfile(error)),
    }
}
