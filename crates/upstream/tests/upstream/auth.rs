//! Presenting ourselves: what is sent, and to whom it is not.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use metahub_oci::Host;
use metahub_upstream::{
    Credentials, CredentialsConfig, Problem, Secret, UpstreamConfig, UpstreamError,
};

use crate::fake::*;

/// A registry that wants a token, and serves tokens itself under `/token`.
async fn registry_with_token(answer: &'static str) -> Fake {
    Fake::start(move |seen| match seen.path.as_str() {
        "/token" => Answer::new(200, answer).header("content-type", "application/json"),
        _ if seen.header("authorization") == Some("Bearer good") => Answer::manifest(&manifest()),
        path => {
            let host = seen.header("host").unwrap();
            let scope = path.trim_start_matches("/v2/").split("/manifests").next().unwrap();
            Answer::challenge(&format!(
                r#"Bearer realm="http://{host}/token",service="fake",scope="repository:{scope}:pull""#
            ))
        }
    })
    .await
}

fn problem<T: std::fmt::Debug>(result: Result<T, UpstreamError>) -> Problem {
    let error = result.unwrap_err();
    let text = format!("{error} {error:?}");
    assert!(!text.contains(PASSWORD), "no secret in {text}");
    error.problem().clone()
}

#[tokio::test]
async fn an_anonymous_token_is_fetched_once_and_used_again() {
    for answer in [
        r#"{"token":"good","expires_in":300}"#,
        r#"{"access_token":"good"}"#,
        r#"{"token":"","access_token":"good","expires_in":300.5,"issued_at":"x","more":1}"#,
    ] {
        let fake = registry_with_token(answer).await;
        let upstream = fake.upstream();
        for _ in 0..3 {
            let found = upstream.manifest(&name("a/b"), &tag("1")).await.unwrap();
            assert_eq!(found.unwrap().document.bytes(), &manifest());
        }
        let tokens = fake.seen_at("/token");
        assert_eq!(tokens.len(), 1, "{answer}");
        assert_eq!(
            tokens[0].query,
            "service=fake&scope=repository%3Aa%2Fb%3Apull"
        );
        assert_eq!(tokens[0].header("authorization"), None);
        // One 401 in all: later requests carry the token at once.
        assert_eq!(fake.seen().len(), 1 + 1 + 3);
    }
}

#[tokio::test]
async fn a_second_repository_gets_its_own_token_without_another_challenge() {
    let fake = registry_with_token(r#"{"token":"good","expires_in":300}"#).await;
    let upstream = fake.upstream();
    for repository in ["a/b", "c/d"] {
        let found = upstream.manifest(&name(repository), &tag("1")).await;
        assert!(found.unwrap().is_some());
    }
    let tokens = fake.seen_at("/token");
    assert_eq!(tokens.len(), 2);
    assert!(tokens[1].query.contains("c%2Fd"));
    assert_eq!(fake.seen_at("/v2/c/d/manifests/1").len(), 1);
}

#[tokio::test]
async fn many_readers_share_one_token_request() {
    let fake = registry_with_token(r#"{"token":"good","expires_in":300}"#).await;
    let upstream = fake.upstream();
    let readers = (0..32).map(|_| {
        let upstream = Arc::clone(&upstream);
        tokio::spawn(async move { upstream.manifest(&name("a/b"), &tag("1")).await })
    });
    for reader in futures_util::future::join_all(readers).await {
        assert!(reader.unwrap().unwrap().is_some());
    }
    assert_eq!(fake.seen_at("/token").len(), 1);
}

#[tokio::test]
async fn an_expired_token_is_fetched_anew() {
    let fake = registry_with_token(r#"{"token":"good","expires_in":0.01}"#).await;
    let upstream = fake.upstream();
    let (repository, reference) = (name("a/b"), tag("1"));
    // However often it takes until the clock has moved on.
    while fake.seen_at("/token").len() < 3 {
        let found = upstream.manifest(&repository, &reference).await;
        assert!(found.unwrap().is_some());
    }
}

#[tokio::test]
async fn a_token_that_is_refused_early_is_replaced_once() {
    let issued = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&issued);
    let fake = Fake::start(move |seen| {
        if seen.path == "/token" {
            let number = counter.fetch_add(1, Ordering::SeqCst) + 1;
            return Answer::new(200, format!(r#"{{"token":"t{number}","expires_in":900}}"#));
        }
        // The first token is good for one request only.
        let good = match seen.header("authorization") {
            Some("Bearer t1") => seen.before < 2,
            Some("Bearer t2") => true,
            _ => false,
        };
        if good {
            Answer::manifest(&manifest())
        } else {
            Answer::challenge(r#"Bearer realm="/token",service="s",error="invalid_token""#)
        }
    })
    .await;
    let upstream = fake.upstream();
    for _ in 0..3 {
        let found = upstream.manifest(&name("a/b"), &tag("1")).await;
        assert!(found.unwrap().is_some());
    }
    assert_eq!(issued.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn several_scopes_are_asked_for_each_on_its_own() {
    let fake = Fake::start(|seen| match seen.path.as_str() {
        "/token" => Answer::new(200, r#"{"token":"good"}"#),
        _ if seen.header("authorization").is_some() => Answer::manifest(&manifest()),
        _ => Answer::challenge(
            r#"Bearer realm="/token?x=1", scope="repository:a/b:pull repository:c/d:pull,push""#,
        ),
    })
    .await;
    let found = fake.upstream().manifest(&name("a/b"), &tag("1")).await;
    assert!(found.unwrap().is_some());
    assert_eq!(
        fake.seen_at("/token")[0].query,
        "x=1&scope=repository%3Aa%2Fb%3Apull&scope=repository%3Ac%2Fd%3Apull%2Cpush"
    );
}

#[tokio::test]
async fn credentials_go_to_a_token_server_on_the_same_host() {
    let fake = registry_with_token(r#"{"token":"good","expires_in":300}"#).await;
    let upstream = fake.upstream_of_alice();
    let found = upstream.manifest(&name("a/b"), &tag("1")).await.unwrap();
    assert!(found.is_some());
    let token = &fake.seen_at("/token")[0];
    assert_eq!(token.header("authorization"), Some(ALICE_BASIC));
    let to_registry = fake.seen_at("/manifests/1");
    assert_eq!(to_registry[0].header("authorization"), None);
    assert_eq!(to_registry[1].header("authorization"), Some("Bearer good"));
}

#[tokio::test]
async fn credentials_never_go_to_a_realm_elsewhere_unless_it_is_listed() {
    let thief = Fake::start(|_| Answer::new(200, r#"{"token":"good"}"#)).await;
    let realm = thief.url("/token");
    let fake = Fake::start(move |seen| {
        if seen.header("authorization") == Some("Bearer good") {
            Answer::manifest(&manifest())
        } else {
            Answer::challenge(&format!(r#"Bearer realm="{realm}",service="s""#))
        }
    })
    .await;

    let result = fake
        .upstream_of_alice()
        .manifest(&name("a/b"), &tag("1"))
        .await;
    let Problem::Auth(why) = problem(result) else {
        panic!("refused");
    };
    assert!(
        why.contains("realm_hosts") && why.contains(&thief.address.to_string()),
        "{why}"
    );
    assert!(thief.seen().is_empty(), "the realm was not even asked");

    // Without credentials there is nothing to steal, and many registries work like this.
    let found = fake.upstream().manifest(&name("a/b"), &tag("1")).await;
    assert!(found.unwrap().is_some());
    assert_eq!(thief.seen()[0].header("authorization"), None);

    let listed: Host = thief.address.to_string().parse().unwrap();
    let trusting = upstream(UpstreamConfig {
        given_credentials: Some(alice()),
        realm_hosts: vec![listed],
        ..fake.config()
    });
    assert!(
        trusting
            .manifest(&name("a/b"), &tag("1"))
            .await
            .unwrap()
            .is_some()
    );
    assert_eq!(thief.seen()[1].header("authorization"), Some(ALICE_BASIC));
}

#[tokio::test]
async fn a_realm_that_is_no_web_address_or_leads_inside_is_refused() {
    for realm in [
        "",
        "ftp://x/token",
        "http://alice:x@127.0.0.1/token",
        "http://169.254.169.254/latest/api/token",
        "http://10.0.0.1/token",
        "file:///etc/passwd",
    ] {
        let challenge = format!(r#"Bearer realm="{realm}",service="s""#);
        let fake = Fake::start(move |_| Answer::challenge(&challenge)).await;
        let result = fake.upstream().manifest(&name("a/b"), &tag("1")).await;
        let problem = problem(result);
        assert!(
            matches!(problem, Problem::Auth(_) | Problem::Refused(_)),
            "{realm}: {problem:?}"
        );
    }
}

#[tokio::test]
async fn basic_credentials_are_sent_when_asked_for_and_then_at_once() {
    let fake = Fake::start(|seen| match seen.header("authorization") {
        Some(ALICE_BASIC) => Answer::manifest(&manifest()),
        _ => Answer::challenge(r#"Negotiate, Basic realm="fake""#),
    })
    .await;
    let upstream = fake.upstream_of_alice();
    for _ in 0..2 {
        let found = upstream.manifest(&name("a/b"), &tag("1")).await;
        assert!(found.unwrap().is_some());
    }
    assert_eq!(fake.seen().len(), 3);
    let without = fake.upstream().manifest(&name("a/b"), &tag("1")).await;
    let Problem::Denied {
        with_credentials,
        message,
        ..
    } = problem(without)
    else {
        panic!("denied");
    };
    assert!(!with_credentials);
    assert_eq!(message.as_deref(), Some("authentication required"));
}

#[tokio::test]
async fn wrong_basic_credentials_are_sent_once() {
    let fake = Fake::start(|_| Answer::challenge(r#"Basic realm="fake""#)).await;
    let result = fake
        .upstream_of_alice()
        .manifest(&name("a/b"), &tag("1"))
        .await;
    let Problem::Denied {
        with_credentials: true,
        ..
    } = problem(result)
    else {
        panic!("denied");
    };
    assert_eq!(fake.seen().len(), 2);
}

#[tokio::test]
async fn a_token_server_that_refuses_says_why() {
    let fake = Fake::start(|seen| match seen.path.as_str() {
        "/token" => Answer::new(401, r#"{"details":"incorrect username or password"}"#),
        _ => Answer::challenge(r#"Bearer realm="/token",service="s""#),
    })
    .await;
    let result = fake
        .upstream_of_alice()
        .manifest(&name("a/b"), &tag("1"))
        .await;
    let Problem::Auth(why) = problem(result) else {
        panic!("no token");
    };
    assert!(why.contains("incorrect username or password"), "{why}");
    let anonymous = fake.upstream().manifest(&name("a/b"), &tag("1")).await;
    assert!(matches!(
        problem(anonymous),
        Problem::Denied { status: 401, .. }
    ));
}

#[tokio::test]
async fn a_token_answer_that_is_none_is_a_clear_error() {
    for answer in [
        "<html>",
        "{}",
        r#"{"token":""}"#,
        r#"{"token":"a\nb"}"#,
        "[]",
    ] {
        let fake = registry_with_token(answer).await;
        let result = fake.upstream().manifest(&name("a/b"), &tag("1")).await;
        let Problem::BadAnswer(why) = problem(result) else {
            panic!("{answer}");
        };
        assert!(why.contains("token server"), "{why}");
    }
}

#[tokio::test]
async fn a_token_that_does_not_help_ends_in_denied() {
    let fake = registry_with_token(r#"{"token":"reduced"}"#).await;
    let result = fake.upstream().manifest(&name("a/b"), &tag("1")).await;
    assert!(matches!(
        problem(result),
        Problem::Denied { status: 401, .. }
    ));
    assert_eq!(fake.seen().len(), 3);
}

#[tokio::test]
async fn an_identity_token_is_exchanged_by_form() {
    let fake = registry_with_token(r#"{"access_token":"good"}"#).await;
    let upstream = upstream(UpstreamConfig {
        given_credentials: Some(Credentials::IdentityToken(Secret::new(PASSWORD))),
        ..fake.config()
    });
    let found = upstream.manifest(&name("a/b"), &tag("1")).await.unwrap();
    assert!(found.is_some());
    let token = &fake.seen_at("/token")[0];
    assert_eq!(token.method, http::Method::POST);
    let body = String::from_utf8(token.body.to_vec()).unwrap();
    assert!(body.contains("grant_type=refresh_token"), "{body}");
    assert!(
        body.contains("service=fake") && body.contains(PASSWORD),
        "{body}"
    );
}

#[tokio::test]
async fn another_identity_has_its_own_tokens() {
    let fake = registry_with_token(r#"{"token":"good","expires_in":300}"#).await;
    let anonymous = fake.upstream();
    let alice = anonymous.acting_as(Some(alice()));
    for upstream in [&*anonymous, &alice] {
        let found = upstream.manifest(&name("a/b"), &tag("1")).await;
        assert!(found.unwrap().is_some());
    }
    let tokens = fake.seen_at("/token");
    assert_eq!(tokens[0].header("authorization"), None);
    assert_eq!(tokens[1].header("authorization"), Some(ALICE_BASIC));
}

#[tokio::test]
async fn what_an_upstream_repeats_of_our_secrets_is_covered() {
    let fake = Fake::start(|seen| {
        let sent = seen.header("authorization").unwrap_or("").to_owned();
        match (seen.path.as_str(), sent.is_empty()) {
            ("/token", _) => Answer::new(200, r#"{"token":"s3cr3t-token"}"#),
            (_, true) => Answer::challenge(r#"Bearer realm="/token",service="s""#),
            _ => Answer::new(
                403,
                format!(r#"{{"errors":[{{"code":"{sent}","message":"{sent}"}}]}}"#),
            ),
        }
    })
    .await;
    let result = fake
        .upstream_of_alice()
        .manifest(&name("a/b"), &tag("1"))
        .await;
    let text = format!("{:?}", problem(result));
    assert!(
        text.contains("Bearer ***") && !text.contains("s3cr3t"),
        "{text}"
    );

    let fake = Fake::start(|seen| match seen.header("authorization") {
        None => Answer::challenge("Basic realm=x"),
        Some(sent) => Answer::new(500, format!("{sent} {PASSWORD}")),
    })
    .await;
    let result = fake
        .upstream_of_alice()
        .manifest(&name("a/b"), &tag("1"))
        .await;
    let text = format!("{:?}", problem(result));
    assert!(text.contains("Basic *** ***"), "{text}");
}

#[tokio::test]
async fn a_rotated_password_is_found_without_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("password");
    std::fs::write(&file, "outdated").unwrap();
    let fake = Fake::start(|seen| match seen.header("authorization") {
        Some(ALICE_BASIC) => Answer::manifest(&manifest()),
        _ => Answer::challenge("Basic realm=x"),
    })
    .await;
    let upstream = upstream(UpstreamConfig {
        credentials: Some(CredentialsConfig {
            username: Some("alice".into()),
            password_file: Some(file.clone()),
            ..CredentialsConfig::default()
        }),
        ..fake.config()
    });
    let result = upstream.manifest(&name("a/b"), &tag("1")).await;
    assert!(matches!(problem(result), Problem::Denied { .. }));
    std::fs::write(&file, PASSWORD).unwrap();
    let found = upstream.manifest(&name("a/b"), &tag("1")).await;
    assert!(found.unwrap().is_some());
}
