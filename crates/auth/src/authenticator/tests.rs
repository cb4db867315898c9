use std::sync::atomic::{AtomicUsize, Ordering};

use metahub_oci::RepositoryName;
use proptest::prelude::*;
use rstest::rstest;

use super::*;
use crate::{
    AccountStoreError, Accounts, Answer, Denied, MemoryAccounts, PasswordHash, Right, Role,
};

const PROFILES: &str = "
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

fn catalog(text: &str) -> Arc<Catalog> {
    let loaded = Catalog::from_documents(&[("test.yaml", text)]);
    assert!(loaded.problems.is_empty(), "{:?}", loaded.problems);
    Arc::new(loaded.catalog)
}

/// A store that counts how often it is asked, and that can fail.
#[derive(Default)]
struct Watched {
    accounts: MemoryAccounts,
    reads: AtomicUsize,
    broken: std::sync::atomic::AtomicBool,
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
struct Setup {
    authenticator: Authenticator,
    accounts: Accounts,
    store: Arc<Watched>,
    catalog: watch::Sender<Arc<Catalog>>,
}

async fn setup(config: AuthConfig) -> Setup {
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
fn no_memory() -> AuthConfig {
    AuthConfig {
        recheck: Duration::ZERO,
        ..AuthConfig::default()
    }
}

fn password_of(name: &str) -> Password {
    Password::new(format!("{name} password"))
}

fn name(text: &str) -> AccountName {
    text.parse().unwrap()
}

impl Setup {
    async fn add(&self, account: &str, role: Role) {
        self.accounts
            .add(&name(account), role, Some(password_of(account)))
            .await
            .unwrap();
    }

    async fn login(&self, user: &str, password: &str) -> Result<Arc<Identity>, AuthError> {
        self.authenticator
            .basic(user, &Password::new(password), None)
            .await
    }

    async fn alice(&self) -> Arc<Identity> {
        self.login("alice/zen3", "alice password").await.unwrap()
    }

    fn token(&self, identity: &Identity, scopes: &[&str]) -> String {
        let issued = self
            .authenticator
            .issue(identity, &Scope::parse_all(scopes))
            .unwrap();
        issued.token().to_owned()
    }

    fn reads(&self) -> usize {
        self.store.reads.load(Ordering::Relaxed)
    }
}

/// An identity in one line: account, role, profile.
fn describe(identity: &Identity) -> String {
    let account = identity.account().map_or("-", AccountName::as_str);
    let role = identity.role().map_or("-", Role::as_str);
    format!("{account} {role} [{}]", identity.profile())
}

fn outcome(result: Result<Arc<Identity>, AuthError>) -> String {
    match result {
        Ok(identity) => describe(&identity),
        Err(AuthError::BadCredentials { .. }) => "bad credentials".to_owned(),
        Err(AuthError::UnknownProfile(_)) => "unknown profile".to_owned(),
        Err(AuthError::AccountRequired { .. }) => "account required".to_owned(),
        Err(other) => format!("{other:?}"),
    }
}

#[rstest]
#[case("alice", "alice password", "alice pusher []")]
#[case("alice/zen3", "alice password", "alice pusher [zen3]")]
#[case("alice/aws/cli", "alice password", "alice pusher [aws/cli]")]
#[case("alice/zen3+aws/cli", "alice password", "alice pusher [zen3+aws/cli]")]
#[case("alice/cuda=12.4", "alice password", "alice pusher [cuda=12.4]")]
#[case("bob", "bob password", "bob reader []")]
#[case("root/zen3", "root password", "root admin [zen3]")]
#[case("zen3", "anything", "- - [zen3]")]
#[case("zen3", "", "- - [zen3]")]
#[case("aws/cli", "x", "- - [aws/cli]")]
#[case("zen3+aws/cli", "x", "- - [zen3+aws/cli]")]
#[case("alice", "bob password", "bad credentials")]
#[case("alice", "", "bad credentials")]
#[case("alice/zen3", "x", "bad credentials")]
#[case("alice/unknown", "x", "bad credentials")]
#[case("alice/unknown", "alice password", "unknown profile")]
#[case("alise", "x", "bad credentials")]
#[case("alise/zen3", "x", "bad credentials")]
#[case("zen33", "x", "bad credentials")]
#[case("UnknownProfile", "x", "unknown profile")]
#[case("al ice", "x", "unknown profile")]
#[case("Alice/zen3", "alice password", "bad credentials")]
#[tokio::test]
async fn what_a_user_name_and_password_mean(
    #[case] user: &str,
    #[case] password: &str,
    #[case] expected: &str,
) {
    let setup = setup(AuthConfig::default()).await;
    assert_eq!(outcome(setup.login(user, password).await), expected);
}

#[rstest]
#[case(AnonymousAccess::None, ProfilePassword::Any)]
#[case(AnonymousAccess::Read, ProfilePassword::Account)]
#[tokio::test]
async fn a_profile_alone_does_not_log_in_where_an_account_is_asked_for(
    #[case] anonymous: AnonymousAccess,
    #[case] profile_password: ProfilePassword,
) {
    let config = AuthConfig {
        anonymous,
        profile_password,
        ..AuthConfig::default()
    };
    let setup = setup(config).await;
    assert_eq!(outcome(setup.login("zen3", "x").await), "account required");
    assert_eq!(describe(&*setup.alice().await), "alice pusher [zen3]");
    let text = setup.login("zen3", "x").await.unwrap_err().to_string();
    assert!(text.contains("log in as ACCOUNT/zen3"), "{text}");
}

#[tokio::test]
async fn anonymous_is_somebody_only_where_it_may_do_something() {
    for (anonymous, somebody) in [
        (AnonymousAccess::None, false),
        (AnonymousAccess::Read, true),
        (AnonymousAccess::Write, true),
    ] {
        let setup = setup(AuthConfig {
            anonymous,
            ..AuthConfig::default()
        })
        .await;
        let answer = setup
            .authenticator
            .authenticate(&Credentials::Anonymous, None)
            .await;
        assert_eq!(answer.is_ok(), somebody);
        assert_eq!(setup.authenticator.anonymous().is_some(), somebody);
    }
}

#[tokio::test]
async fn a_refusal_reads_the_same_whether_the_account_exists_or_not() {
    let setup = setup(no_memory()).await;
    let users = ["alice", "alice/zen3", "alice/unknown", "alice/zen3+unknown"];
    let mut texts = Vec::new();
    for user in users {
        texts.push(setup.login(user, "wrong").await.unwrap_err().to_string());
    }
    setup.accounts.remove(&name("alice")).await.unwrap();
    for (user, text) in users.iter().zip(texts) {
        assert_eq!(
            setup.login(user, "wrong").await.unwrap_err().to_string(),
            text
        );
        assert!(
            text.starts_with("no account has this user name and password"),
            "{text}"
        );
    }
}

#[tokio::test]
async fn a_misspelt_profile_is_answered_with_what_it_is_like() {
    let setup = setup(AuthConfig::default()).await;
    let text = setup.login("zen33", "x").await.unwrap_err().to_string();
    assert!(text.contains("zen3"), "{text}");
    let text = setup
        .login("alice/aws-cli", "alice password")
        .await
        .unwrap_err()
        .to_string();
    assert!(text.contains("aws/cli"), "{text}");
}

#[tokio::test]
async fn an_account_added_after_a_refusal_logs_in_at_once() {
    let setup = setup(AuthConfig::default()).await;
    assert!(setup.login("dave", "dave password").await.is_err());
    setup.add("dave", Role::Reader).await;
    assert_eq!(
        outcome(setup.login("dave", "dave password").await),
        "dave reader []"
    );
}

#[tokio::test]
async fn a_changed_password_role_or_account_holds_at_the_next_look() {
    let setup = setup(no_memory()).await;
    setup.alice().await;
    setup
        .accounts
        .set_role(&name("alice"), Role::Reader)
        .await
        .unwrap();
    assert_eq!(describe(&*setup.alice().await), "alice reader [zen3]");
    let new = Some(Password::new("another one"));
    setup
        .accounts
        .set_password(&name("alice"), new)
        .await
        .unwrap();
    assert_eq!(
        outcome(setup.login("alice", "alice password").await),
        "bad credentials"
    );
    assert_eq!(
        outcome(setup.login("alice", "another one").await),
        "alice reader []"
    );
    setup.accounts.remove(&name("alice")).await.unwrap();
    assert_eq!(
        outcome(setup.login("alice", "another one").await),
        "bad credentials"
    );
}

#[tokio::test]
async fn an_accepted_login_and_token_need_no_second_look_at_the_store() {
    let setup = setup(AuthConfig {
        recheck: Duration::from_secs(60),
        ..no_memory()
    })
    .await;
    let token = setup.token(&*setup.alice().await, &[]);
    setup.authenticator.bearer(&token).await.unwrap();
    let before = setup.reads();
    for _ in 0..10 {
        setup.alice().await;
        setup.authenticator.bearer(&token).await.unwrap();
    }
    assert_eq!(setup.reads(), before);
}

#[tokio::test]
async fn a_token_brings_back_who_asked_with_the_scopes_that_were_granted() {
    let setup = setup(no_memory()).await;
    let (own, other): (RepositoryName, RepositoryName) =
        ("alice/x".parse().unwrap(), "bob/x".parse().unwrap());
    let asked = [
        "repository:alice/x:pull,push",
        "repository:bob/x:pull,push,delete",
    ];
    let token = setup.token(&*setup.alice().await, &asked);
    let identity = setup.authenticator.bearer(&token).await.unwrap();
    assert_eq!(describe(&identity), "alice pusher [zen3]");
    assert_eq!(identity.login(), "alice/zen3");
    assert!(identity.may(Right::Pull, &own) && identity.may(Right::Push, &own));
    assert!(identity.may(Right::Pull, &other));
    assert!(!identity.may(Right::Push, &other) && !identity.may(Right::Delete, &other));
    assert!(matches!(
        identity.check(Right::Delete, &own),
        Err(Denied::Scope(_))
    ));
}

#[tokio::test]
async fn everybody_gets_a_token_even_for_nothing() {
    let setup = setup(no_memory()).await;
    let anonymous = setup.authenticator.anonymous().unwrap();
    let zen3 = setup.login("zen3", "x").await.unwrap();
    let name = "qnib/x".parse().unwrap();
    for identity in [anonymous, zen3] {
        let token = setup.token(&identity, &["repository:qnib/x:pull,push"]);
        let back = setup.authenticator.bearer(&token).await.unwrap();
        assert_eq!(describe(&back), describe(&identity));
        assert!(back.may(Right::Pull, &name) && !back.may(Right::Push, &name));
        let empty = setup.token(&identity, &[]);
        let back = setup.authenticator.bearer(&empty).await.unwrap();
        assert!(!back.may(Right::Pull, &name));
    }
}

#[tokio::test]
async fn a_token_dies_with_its_account_and_its_password() {
    let setup = setup(no_memory()).await;
    let token = setup.token(&*setup.alice().await, &["repository:alice/x:pull,push"]);
    let name_x = "alice/x".parse().unwrap();
    assert!(
        setup
            .authenticator
            .bearer(&token)
            .await
            .unwrap()
            .may(Right::Push, &name_x)
    );

    setup
        .accounts
        .set_role(&name("alice"), Role::Reader)
        .await
        .unwrap();
    assert!(
        !setup
            .authenticator
            .bearer(&token)
            .await
            .unwrap()
            .may(Right::Push, &name_x)
    );

    let same = Some(password_of("alice"));
    setup
        .accounts
        .set_password(&name("alice"), same)
        .await
        .unwrap();
    assert!(matches!(
        setup.authenticator.bearer(&token).await,
        Err(AuthError::Expired)
    ));

    setup.accounts.remove(&name("alice")).await.unwrap();
    assert!(matches!(
        setup.authenticator.bearer(&token).await,
        Err(AuthError::Expired)
    ));
    setup.add("alice", Role::Admin).await;
    assert!(matches!(
        setup.authenticator.bearer(&token).await,
        Err(AuthError::Expired)
    ));
}

#[tokio::test]
async fn a_profiles_token_never_becomes_an_accounts() {
    let setup = setup(no_memory()).await;
    let profile = setup.login("aws/cli", "anything").await.unwrap();
    let token = setup.token(&profile, &["repository:aws/x:pull,push"]);
    setup.add("aws", Role::Admin).await;
    assert_eq!(
        outcome(setup.login("aws/cli", "aws password").await),
        "aws admin [cli]"
    );
    let identity = setup.authenticator.bearer(&token).await.unwrap();
    assert_eq!(describe(&identity), "- - [aws/cli]");
    assert!(!identity.may(Right::Push, &"aws/x".parse().unwrap()));
    // And where the name could only be the account's by now, the token is worth nothing.
    setup
        .catalog
        .send_replace(catalog("profile: {name: cli, features: [site:cli]}"));
    assert!(matches!(
        setup.authenticator.bearer(&token).await,
        Err(AuthError::Expired)
    ));
}

#[tokio::test]
async fn a_reloaded_catalog_is_asked_again_about_logins_and_tokens() {
    let setup = setup(AuthConfig {
        recheck: Duration::from_secs(60),
        ..no_memory()
    })
    .await;
    let zen3 = setup.login("aws/cli", "x").await.unwrap();
    let token = setup.token(&zen3, &[]);
    setup.authenticator.bearer(&token).await.unwrap();
    setup
        .catalog
        .send_replace(catalog("profile: {name: new, features: [site:x]}"));
    assert!(setup.login("aws/cli", "x").await.is_err());
    let again = setup.authenticator.bearer(&token).await;
    assert!(
        matches!(again, Err(AuthError::UnknownProfile(_))),
        "{again:?}"
    );
}

#[tokio::test]
async fn a_token_stands_no_longer_than_it_lives_though_it_was_just_seen() {
    let setup = setup(AuthConfig {
        recheck: Duration::from_secs(60),
        ..no_memory()
    })
    .await;
    let identity = setup.alice().await;
    let known = |until| Known {
        identity: Arc::clone(&identity),
        token: "".into(),
        catalog: setup.authenticator.catalog(),
        until,
    };
    let now = Instant::now();
    assert!(
        setup
            .authenticator
            .stands(&known(now + Duration::from_secs(1)))
    );
    assert!(!setup.authenticator.stands(&known(now)));
}

#[tokio::test]
async fn a_token_with_the_signature_of_another_is_refused() {
    let setup = setup(AuthConfig {
        recheck: Duration::from_secs(60),
        ..no_memory()
    })
    .await;
    let token = setup.token(&*setup.alice().await, &[]);
    setup.authenticator.bearer(&token).await.unwrap();
    let signature = token.rsplit('.').next().unwrap();
    let other = setup.token(&setup.login("zen3", "x").await.unwrap(), &[]);
    let (claims, _) = other.rsplit_once('.').unwrap();
    for forged in [
        format!("{claims}.{signature}"),
        signature.to_owned(),
        String::new(),
    ] {
        let answer = setup.authenticator.bearer(&forged).await;
        assert!(
            matches!(answer, Err(AuthError::BadToken)),
            "{forged}: {answer:?}"
        );
    }
}

#[tokio::test]
async fn guessing_is_stopped_at_one_address_and_not_at_another() {
    let setup = setup(AuthConfig::default()).await;
    let (here, there) = ("192.0.2.1".parse().ok(), "192.0.2.2".parse().ok());
    let mut refused = 0;
    for guess in 0..40 {
        let guess = Password::new(format!("guess {guess}"));
        let answer = setup.authenticator.basic("alice", &guess, here).await;
        refused += usize::from(matches!(answer, Err(AuthError::TooMany { .. })));
    }
    assert_eq!(refused, 20);
    let right = password_of("alice");
    assert!(
        setup
            .authenticator
            .basic("alice", &right, here)
            .await
            .is_err()
    );
    assert!(
        setup
            .authenticator
            .basic("alice", &right, there)
            .await
            .is_ok()
    );
    assert!(
        setup
            .authenticator
            .basic("zen3", &right, here)
            .await
            .is_ok()
    );
}

#[tokio::test]
async fn a_store_that_fails_lets_nobody_in_and_says_so() {
    let setup = setup(no_memory()).await;
    let token = setup.token(&*setup.alice().await, &[]);
    setup.store.broken.store(true, Ordering::Relaxed);
    for answer in [
        setup.login("alice", "alice password").await,
        setup.login("zen3", "x").await,
        setup.authenticator.bearer(&token).await,
    ] {
        assert!(
            matches!(answer, Err(AuthError::Unavailable(_))),
            "{answer:?}"
        );
    }
}

#[tokio::test]
async fn many_nodes_with_one_login_at_once_are_all_let_in() {
    let setup = setup(no_memory()).await;
    let logins = (0..500).map(|_| setup.login("alice/zen3", "alice password"));
    for answer in futures_util::future::join_all(logins).await {
        assert!(answer.is_ok(), "{answer:?}");
    }
}

#[tokio::test]
async fn a_token_lives_as_configured_and_at_least_a_minute() {
    for (seconds, expected) in [(1, 60), (600, 600)] {
        let token_lifetime = Duration::from_secs(seconds);
        let setup = setup(AuthConfig {
            token_lifetime,
            ..no_memory()
        })
        .await;
        let anonymous = setup.authenticator.anonymous().unwrap();
        let issued = setup.authenticator.issue(&anonymous, &[]).unwrap();
        assert_eq!(issued.expires_in(), expected);
    }
}

#[tokio::test]
async fn nothing_secret_is_printed() {
    let setup = setup(AuthConfig::default()).await;
    let identity = setup.alice().await;
    let issued = setup.authenticator.issue(&identity, &[]).unwrap();
    let stored = setup.store.get(&name("alice")).await.unwrap().unwrap();
    let printed = format!(
        "{:?} {issued:?} {stored:?} {:?}",
        setup.authenticator, setup.accounts
    );
    for secret in [
        "alice password",
        issued.token(),
        stored.password.as_str(),
        "1, 1, 1, 1",
    ] {
        assert!(!printed.contains(secret), "{printed}");
    }
    assert!(!format!("{identity:?}").contains("argon2"));
}

fn any_identity() -> impl Strategy<Value = (AnonymousAccess, Option<(&'static str, Role)>)> {
    let anonymous = prop_oneof![
        Just(AnonymousAccess::None),
        Just(AnonymousAccess::Read),
        Just(AnonymousAccess::Write)
    ];
    let role = prop_oneof![Just(Role::Reader), Just(Role::Pusher), Just(Role::Admin)];
    let name = prop_oneof![Just("alice"), Just("bob")];
    (anonymous, proptest::option::of((name, role)))
}

proptest! {
    #[test]
    fn a_token_grants_what_was_asked_and_allowed_and_nothing_else(
        (anonymous, account) in any_identity(),
        asked in proptest::collection::vec(("(alice|bob)/(x|y)", "(pull|push|delete|[*])(,(pull|push))?"), 0..4),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let (_sender, receiver) = watch::channel(Arc::new(Catalog::builtin()));
        let store = Arc::new(MemoryAccounts::default());
        let config = AuthConfig { anonymous, ..no_memory() };
        let authenticator = Authenticator::new(store.clone(), receiver, config, SigningKey::new(&[1; 32]));
        let accounts = Accounts::cheap(store);
        let identity = runtime.block_on(async {
            match account {
                None => authenticator.anonymous(),
                Some((account, role)) => {
                    accounts.add(&name(account), role, Some(password_of(account))).await.unwrap();
                    authenticator.basic(account, &password_of(account), None).await.ok()
                }
            }
        });
        let Some(identity) = identity else { return Ok(()) };
        let texts: Vec<_> =
            asked.iter().map(|(name, actions)| format!("repository:{name}:{actions}")).collect();
        let scopes = Scope::parse_all(&texts);
        let issued = authenticator.issue(&identity, &scopes).unwrap();
        let back = runtime.block_on(authenticator.bearer(issued.token())).unwrap();
        for repository in ["alice/x", "alice/y", "bob/x", "bob/y", "carol/x"] {
            let repository = repository.parse().unwrap();
            for right in [Right::Pull, Right::Push, Right::Delete, Right::Admin] {
                let was_asked = Actions::of(right).is_some_and(|action| scopes.iter().any(|scope| {
                    scope.repository == repository && scope.actions.contains(action)
                }));
                let expected = was_asked && identity.may(right, &repository);
                prop_assert_eq!(back.may(right, &repository), expected);
                prop_assert_eq!(back.check(right, &repository).is_ok(), expected);
            }
        }
        // A token made from a token widens nothing.
        let all = Scope::parse_all(["repository:alice/x:*", "repository:bob/y:*"]);
        let again = authenticator.issue(&back, &all).unwrap();
        let again = runtime.block_on(authenticator.bearer(again.token())).unwrap();
        for scope in &all {
            for right in [Right::Pull, Right::Push, Right::Delete] {
                prop_assert_eq!(
                    again.may(right, &scope.repository),
                    back.may(right, &scope.repository)
                );
            }
        }
    }
}
