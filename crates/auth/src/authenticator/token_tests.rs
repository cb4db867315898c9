//! Tests of what tokens contain, and when they expire.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use metahub_catalog::Catalog;
use metahub_oci::RepositoryName;
use proptest::prelude::*;
use tokio::sync::watch;

use super::setup::*;
use crate::{
    Accounts, Actions, AnonymousAccess, AuthConfig, AuthError, Authenticator, Denied,
    MemoryAccounts, Right, Role, Scope, SigningKey,
};

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
async fn a_token_asked_for_with_a_token_lives_no_longer() {
    let setup = setup(no_memory()).await;
    let mut identity = crate::Identity::clone(&*setup.alice().await);
    identity.token = Some(crate::identity::TokenLimits {
        scopes: Box::default(),
        catalog: false,
        expires: Timestamp::now() + Duration::from_secs(30),
    });
    let issued = setup.authenticator.issue(&identity, &[]).unwrap();
    assert!(issued.expires_in() <= 30, "{}", issued.expires_in());
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
