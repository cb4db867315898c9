//! Refresh tokens that a token server replaces each time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use metahub_upstream::{Credentials, Problem, Secret, Upstream, UpstreamConfig};
use parking_lot::Mutex;

use crate::fake::*;

/// A registry whose token server takes each refresh token once: `r0`, then what it gave last. Its
/// tokens hold for the repository that they were asked for.
#[derive(Clone, Default)]
struct Rotating {
    spent: Arc<AtomicUsize>,
    /// Refresh tokens that were sent and are not the one that holds.
    refused: Arc<AtomicUsize>,
}

impl Rotating {
    fn answer(&self, seen: &Seen) -> Answer {
        if seen.path != "/token" {
            let repository = seen.path.trim_start_matches("/v2/");
            let repository = repository.split("/manifests").next().unwrap();
            let good = format!("Bearer for repository:{repository}:pull");
            return match seen.header("authorization") {
                Some(sent) if sent == good => Answer::manifest(&manifest()),
                _ => Answer::challenge(r#"Bearer realm="/token",service="fake""#),
            };
        }
        let form: std::collections::HashMap<_, _> = url::form_urlencoded::parse(&seen.body)
            .into_owned()
            .collect();
        let holds = format!("r{}-secret", self.spent.load(Ordering::SeqCst));
        if form.get("refresh_token") != Some(&holds) {
            self.refused.fetch_add(1, Ordering::SeqCst);
            return Answer::new(400, r#"{"error":"invalid_grant"}"#);
        }
        let next = self.spent.fetch_add(1, Ordering::SeqCst) + 1;
        let scope = &form["scope"];
        Answer::new(
            200,
            format!(
                r#"{{"access_token":"for {scope}","expires_in":300,"refresh_token":"r{next}-secret"}}"#
            ),
        )
    }
}

fn known_by(fake: &Fake, refresh_token: &str) -> Arc<Upstream> {
    upstream(UpstreamConfig {
        given_credentials: Some(Credentials::IdentityToken(Secret::new(refresh_token))),
        ..fake.config()
    })
}

#[tokio::test]
async fn a_refresh_token_that_was_replaced_is_not_sent_again() {
    let server = Rotating::default();
    let rotating = server.clone();
    let fake = Fake::start(move |seen| rotating.answer(seen)).await;
    let upstream = known_by(&fake, "r0-secret");
    for repository in ["a/b", "c/d", "e/f", "a/b"] {
        let found = upstream.manifest(&name(repository), &tag("1")).await;
        assert!(found.unwrap().is_some(), "{repository}");
    }
    assert_eq!(server.spent.load(Ordering::SeqCst), 3);
    assert_eq!(server.refused.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn readers_of_many_repositories_spend_no_refresh_token_twice() {
    let server = Rotating::default();
    let rotating = server.clone();
    let fake = Fake::start(move |seen| rotating.answer(seen)).await;
    let upstream = known_by(&fake, "r0-secret");
    let readers = (0..24).map(|number| {
        let upstream = Arc::clone(&upstream);
        let repository = name(&format!("team/app{}", number % 8));
        tokio::spawn(async move { upstream.manifest(&repository, &tag("1")).await })
    });
    for reader in futures_util::future::join_all(readers).await {
        assert!(reader.unwrap().unwrap().is_some());
    }
    assert_eq!(server.spent.load(Ordering::SeqCst), 8);
    assert_eq!(server.refused.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_reader_that_goes_away_does_not_take_the_new_refresh_token_along() {
    let server = Rotating::default();
    let reader: Arc<Mutex<Option<tokio::task::AbortHandle>>> = Arc::default();
    let (rotating, first) = (server.clone(), Arc::clone(&reader));
    let fake = Fake::start(move |seen| {
        // It is gone before it can have read that its refresh token is spent.
        if seen.path == "/token"
            && let Some(reader) = first.lock().take()
        {
            reader.abort();
        }
        rotating.answer(seen)
    })
    .await;
    let upstream = known_by(&fake, "r0-secret");
    let task = {
        let upstream = Arc::clone(&upstream);
        let mut handle = reader.lock();
        let task =
            tokio::spawn(async move { upstream.manifest(&name("a/b"), &tag("1")).await.unwrap() });
        *handle = Some(task.abort_handle());
        task
    };
    assert!(task.await.unwrap_err().is_cancelled());
    let found = upstream.manifest(&name("c/d"), &tag("1")).await;
    assert!(found.unwrap().is_some());
    assert_eq!(server.spent.load(Ordering::SeqCst), 2);
    assert_eq!(server.refused.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_server_that_forgot_what_it_gave_is_asked_with_what_is_written() {
    let server = Rotating::default();
    let rotating = server.clone();
    let fake = Fake::start(move |seen| rotating.answer(seen)).await;
    let upstream = known_by(&fake, "r0-secret");
    let found = upstream.manifest(&name("a/b"), &tag("1")).await;
    assert!(found.unwrap().is_some());
    server.spent.store(0, Ordering::SeqCst);
    let found = upstream.manifest(&name("c/d"), &tag("1")).await;
    assert!(found.unwrap().is_some());
    assert_eq!(server.refused.load(Ordering::SeqCst), 1);
    assert_eq!(server.spent.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_refresh_token_that_is_refused_is_named_and_not_shown() {
    let refuses = Arc::new(AtomicBool::new(true));
    let server = Rotating::default();
    let rotating = server.clone();
    let fake = Fake::start(move |seen| match seen.path.as_str() {
        "/token" if refuses.load(Ordering::SeqCst) => {
            let sent = String::from_utf8_lossy(&seen.body).into_owned();
            let body = serde_json::json!({"error": "invalid_grant", "error_description": sent});
            Answer::new(400, body.to_string())
        }
        _ => rotating.answer(seen),
    })
    .await;
    let upstream = known_by(&fake, "r0-secret");
    let error = upstream
        .manifest(&name("a/b"), &tag("1"))
        .await
        .unwrap_err();
    let text = format!("{error} {error:?}");
    assert!(matches!(error.problem(), Problem::Auth(_)), "{text}");
    assert!(
        text.contains("token server") && !text.contains("r0-secret"),
        "{text}"
    );
}
