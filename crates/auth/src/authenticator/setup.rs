//! A small registry for the tests of logins and tokens.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use metahub_catalog::Catalog;
use tokio::sync::watch;

use crate::{
    AccountName, AccountStore, AccountStoreError, Accounts, Answer, AuthConfig, AuthError,
    Authenticator, Identity, MemoryAccounts, Password, PasswordHash, Role, Scope, SigningKey,
    StoredAccount,
};

pub(super) const PROFILES: &str = "
profiles:
  - name: library/zen3:latest
    features: [arch:zen3]
  - name: aws/cli:latest
    actions:
      - name: manifest-add
        event: post-manifest-get
        args: {layerRepository: qnib/layer-awscli, repository: qnib/featuretest}
  - name: library/cli:latest
    features: [site:cli]
";

pub(super) fn catalog(text: &str) -> Arc<Catalog> {
    let loaded = Catalog::from_documents(&[("test.yaml", text)]);
    assert!(loaded.problems.is_empty(), "{:?}", loaded.problems);
    Arc::new(loaded.catalog)
}

/// A store that counts how often it is asked, and that can fail.
#[derive(Default)]
pub(super) struct Watched {
    pub(super) accounts: MemoryAccounts,
    pub(super) reads: AtomicUsize,
    pub(super) broken: AtomicBool,
}

impl AccountStore for Watched {
    fn get<'a>(&'a self, name: &'a AccountName) -> Answer<'a, Option<StoredAccount>> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        if self.broken.load(Ordering::Relaxed) {
            let error = AccountStoreError::new(std::io::Error::other("disk on fire"));
            return Box::pin(std::future::ready(Err(error)));
        }
        self.accounts.get(name)
    }
    fn list(&self) -> Answer<'_, Vec<StoredAccount>> {
        self.accounts.list()
    }
    fn add<'a>(
        &'a self,
        name: &'a AccountName,
        role: Role,
        password: &'a PasswordHash,
    ) -> Answer<'a, bool> {
        self.accounts.add(name, role, password)
    }
    fn set_role<'a>(&'a self, name: &'a AccountName, role: Role) -> Answer<'a, bool> {
        self.accounts.set_role(name, role)
    }
    fn set_password<'a>(
        &'a self,
        name: &'a AccountName,
        password: &'a PasswordHash,
    ) -> Answer<'a, bool> {
        self.accounts.set_password(name, password)
    }
    fn remove<'a>(&'a self, name: &'a AccountName) -> Answer<'a, bool> {
        self.accounts.remove(name)
    }
}

/// A registry with the accounts alice (pusher), bob (reader) and root (admin), each with the
/// password "NAME password", under [`PROFILES`].
pub(super) struct Setup {
    pub(super) authenticator: Authenticator,
    pub(super) accounts: Accounts,
    pub(super) store: Arc<Watched>,
    pub(super) catalog: watch::Sender<Arc<Catalog>>,
}

pub(super) async fn setup(config: AuthConfig) -> Setup {
    let store = Arc::new(Watched::default());
    let accounts = Accounts::cheap(store.clone());
    let (sender, receiver) = watch::channel(catalog(PROFILES));
    let key = SigningKey::new(&[1; 32]);
    let authenticator = Authenticator::new(store.clone(), receiver, config, key);
    let setup = Setup {
        authenticator,
        accounts,
        store,
        catalog: sender,
    };
    setup.add("alice", Role::Pusher).await;
    setup.add("bob", Role::Reader).await;
    setup.add("root", Role::Admin).await;
    setup
}

/// Looks at the store every time, as after the time that an acceptance stands.
pub(super) fn no_memory() -> AuthConfig {
    AuthConfig {
        recheck: Duration::ZERO,
        ..AuthConfig::default()
    }
}

pub(super) fn password_of(name: &str) -> Password {
    Password::new(format!("{name} password"))
}

pub(super) fn name(text: &str) -> AccountName {
    text.parse().unwrap()
}

impl Setup {
    pub(super) async fn add(&self, account: &str, role: Role) {
        self.accounts
            .add(&name(account), role, Some(password_of(account)))
            .await
            .unwrap();
    }

    pub(super) async fn login(
        &self,
        user: &str,
        password: &str,
    ) -> Result<Arc<Identity>, AuthError> {
        self.authenticator
            .basic(user, &Password::new(password), None)
            .await
    }

    pub(super) async fn alice(&self) -> Arc<Identity> {
        self.login("alice/zen3", "alice password").await.unwrap()
    }

    pub(super) fn token(&self, identity: &Identity, scopes: &[&str]) -> String {
        let issued = self
            .authenticator
            .issue(identity, &Scope::parse_all(scopes))
            .unwrap();
        issued.token().to_owned()
    }

    pub(super) fn reads(&self) -> usize {
        self.store.reads.load(Ordering::Relaxed)
    }
}

/// An identity in one line: account, role, profile.
pub(super) fn describe(identity: &Identity) -> String {
    let account = identity.account().map_or("-", AccountName::as_str);
    let role = identity.role().map_or("-", Role::as_str);
    format!("{account} {role} [{}]", identity.profile())
}

pub(super) fn outcome(result: Result<Arc<Identity>, AuthError>) -> String {
    match result {
        Ok(identity) => describe(&identity),
        Err(AuthError::BadCredentials { .. }) => "bad credentials".to_owned(),
        Err(AuthError::UnknownProfile(_)) => "unknown profile".to_owned(),
        Err(AuthError::AccountRequired { .. }) => "account required".to_owned(),
        Err(other) => format!("{other:?}"),
    }
}
