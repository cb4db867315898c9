//! Tests of user names and passwords.

use std::sync::atomic::Ordering;

use rstest::rstest;

use super::setup::*;
use crate::{
    AccountStore, AnonymousAccess, Arrival, AuthConfig, AuthError, Credentials, Password,
    ProfilePassword, Role,
};

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
async fn a_recent_login_is_not_stopped_by_guesses_of_others() {
    let setup = setup(no_memory()).await;
    let here = "192.0.2.1".parse().ok();
    let right = password_of("alice");
    setup
        .authenticator
        .basic("alice", &right, here)
        .await
        .unwrap();
    for guess in 0..30 {
        let guess = Password::new(format!("guess {guess}"));
        assert!(
            setup
                .authenticator
                .basic("alice", &guess, here)
                .await
                .is_err()
        );
    }
    assert!(
        setup
            .authenticator
            .basic("alice", &right, here)
            .await
            .is_ok()
    );
}

#[tokio::test]
async fn without_an_address_nobody_can_lock_an_account_out() {
    let setup = setup(no_memory()).await;
    for guess in 0..30 {
        let answer = setup.login("alice", &format!("guess {guess}")).await;
        assert_eq!(outcome(answer), "bad credentials");
    }
    setup.alice().await;
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

#[rstest]
// A login without hardware takes it from the header, before what it names itself.
#[case("alice", "zen3", "alice pusher [zen3]")]
#[case("alice/aws/cli", "zen3", "alice pusher [zen3+aws/cli]")]
#[case("aws/cli", "zen3+cuda=12.4", "- - [zen3+cuda=12.4+aws/cli]")]
#[case("", "zen3", "- - [zen3]")]
#[case("", "aws/cli", "- - [aws/cli]")]
#[case("", "cpu=zen99", "- - [arch=zen99]")]
// A login that names hardware keeps to that.
#[case("alice/zen2", "zen3", "alice pusher [zen2]")]
#[case("zen2", "zen3", "- - [zen2]")]
#[case("cpu=zen99", "zen3", "- - [arch=zen99]")]
// The header names no account.
#[case("", "alice", "no profile is called 'alice'")]
#[case("", "alice/zen3", "'alice/zen3' is not a selector")]
#[case("bob", "root/zen3", "'root/zen3' is not a selector")]
#[case("", "no-such-thing", "no profile is called 'no-such-thing'")]
#[case("", "zen3 ", "' ' cannot be part of a user name")]
#[case("", "", "the user name is empty")]
#[tokio::test]
async fn the_header_chooses_a_profile_and_adds_no_right(
    #[case] user: &str,
    #[case] header: &str,
    #[case] expected: &str,
) {
    for profile_header in [true, false] {
        let setup = setup(AuthConfig {
            profile_header,
            ..AuthConfig::default()
        })
        .await;
        let identity = if user.is_empty() {
            setup.authenticator.anonymous().unwrap()
        } else {
            let account = user.split('/').next().unwrap();
            setup
                .login(user, &format!("{account} password"))
                .await
                .unwrap()
        };
        let before = describe(&identity);
        let after = setup
            .authenticator
            .under_arrival(identity, &with_header(header));
        match after {
            _ if !profile_header => assert_eq!(describe(&after.unwrap()), before),
            Ok(identity) => assert_eq!(describe(&identity), expected),
            Err(error) => assert!(error.error.to_string().starts_with(expected), "{error}"),
        }
    }
}

#[tokio::test]
async fn where_profiles_ask_for_an_account_the_header_counts_beside_one_only() {
    let setup = setup(AuthConfig {
        profile_header: true,
        profile_password: ProfilePassword::Account,
        ..AuthConfig::default()
    })
    .await;
    let anonymous = setup.authenticator.anonymous().unwrap();
    let identity = setup
        .authenticator
        .under_arrival(anonymous, &with_header("zen3"));
    assert_eq!(describe(&identity.unwrap()), "- - []");
    let bob = setup.login("bob", "bob password").await.unwrap();
    let identity = setup.authenticator.under_arrival(bob, &with_header("zen3"));
    assert_eq!(describe(&identity.unwrap()), "bob reader [zen3]");
}

/// A request that shows nothing but a header.
fn with_header(header: &str) -> Arrival<'_> {
    Arrival {
        path: None,
        host: None,
        header: Some(header),
        certificate: &[],
        client: [192, 0, 2, 1].into(),
    }
}

#[rstest]
#[case("", None, "192.0.2.1", "- - []", None)]
#[case("", None, "10.2.0.9", "- - [icelake]", Some("network 10.0.0.0/8"))]
#[case("zen2", None, "10.2.0.9", "- - [zen2]", None)]
#[case("any", None, "10.2.0.9", "- - [any]", None)]
#[case(
    "alice",
    None,
    "10.2.0.9",
    "alice pusher [icelake]",
    Some("network 10.0.0.0/8")
)]
#[case(
    "aws/cli",
    None,
    "10.2.0.9",
    "- - [icelake+aws/cli]",
    Some("network 10.0.0.0/8")
)]
#[case("alice/any", None, "10.2.0.9", "alice pusher [any]", None)]
// What names no hardware leaves that to the next, and each counts.
#[case(
    "",
    Some("cli"),
    "10.2.0.9",
    "- - [icelake+aws/cli]",
    Some("path cli, network 10.0.0.0/8")
)]
#[case("", Some("gpu"), "10.2.0.9", "- - [zen4+cuda=12.4]", Some("path gpu"))]
#[case("", Some("cli"), "192.0.2.1", "- - [aws/cli]", Some("path cli"))]
// What the configuration names and the catalog does not is refused to every caller.
#[case(
    "",
    Some("gone"),
    "10.2.0.9",
    "path gone: no profile is called 'nonsuch'",
    None
)]
#[tokio::test]
async fn a_login_without_hardware_takes_it_from_what_the_request_shows(
    #[case] user: &str,
    #[case] path: Option<&str>,
    #[case] client: &str,
    #[case] expected: &str,
    #[case] by: Option<&str>,
) {
    let maps = serde_json::json!({
        "path": {"gpu": "zen4+cuda=12.4", "cli": "aws/cli", "gone": "nonsuch"},
        "network": {"10.0.0.0/8": "icelake"},
    });
    let setup = setup(AuthConfig {
        profiles_by: serde_json::from_value(maps).unwrap(),
        ..AuthConfig::default()
    })
    .await;
    let identity = match user.split_once('/').map_or(user, |(account, _)| account) {
        "" => setup.authenticator.anonymous().unwrap(),
        "alice" => setup.login(user, "alice password").await.unwrap(),
        _ => setup.login(user, "").await.unwrap(),
    };
    let rights = format!("{:?}", identity.role());
    let path = path.map(|path| path.parse().unwrap());
    let arrival = Arrival {
        path: path.as_ref(),
        host: None,
        header: Some("zen3"),
        certificate: &[],
        client: client.parse().unwrap(),
    };
    match setup.authenticator.under_arrival(identity, &arrival) {
        Ok(identity) => {
            assert_eq!(describe(&identity), expected);
            assert_eq!(identity.profile_by(), by);
            assert_eq!(format!("{:?}", identity.role()), rights);
        }
        Err(error) => assert!(error.to_string().contains(expected), "{error}"),
    }
}
