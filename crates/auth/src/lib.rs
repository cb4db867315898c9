//! Authentication and authorisation: accounts, nodes, passwords, tokens and rights.
//!
//! A request's `Authorization` header becomes an [`Identity`]: an account or none, the rights that
//! follow, and the profile that was named beside it. Rights are checked in one place,
//! [`Identity::check`]. A profile never adds a right. Passwords and tokens never reach a log, an
//! error or a debug print.

mod account;
mod account_store;
mod accounts;
mod authenticator;
mod challenge;
mod credentials;
mod error;
mod grants;
mod hash_memory;
mod identity;
mod limiter;
mod memory_key;
mod node;
mod nodes;
mod password;
mod profiles_by;
mod remembered;
mod role;
mod scope;
mod stored;
mod token;
mod verifier;

pub use account::{Account, AccountName, AccountNameError, StoredAccount};
pub use account_store::{AccountStore, AccountStoreError, Answer, MemoryAccounts};
pub use accounts::{AccountError, Accounts};
pub use authenticator::{AuthConfig, Authenticator, ProfilePassword};
pub use challenge::{basic_challenge, bearer_challenge};
pub use credentials::{Credentials, Token};
pub use error::AuthError;
pub use identity::{Denied, Granted, Identity};
pub use node::{Node, NodeName, NodeNameError, NodeRefused, NodeWay};
pub use nodes::{
    JoinError, MungeConfig, NodeSecret, Nodes, NodesConfig, SlurmJwtConfig, SlurmKeys,
    SlurmKeysError, join_token_id,
};
pub use password::{Password, PasswordError, PasswordHash, PasswordHashError};
pub use profiles_by::{Arrival, Channel, ChannelError, DnsName, PROFILE_HEADER, ProfilesBy};
pub use role::{AnonymousAccess, Right, Role, UnknownName};
pub use scope::{Actions, Scope, ScopeError};
pub use token::{Issued, SigningKey};
