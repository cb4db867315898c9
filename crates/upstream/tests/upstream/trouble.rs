//! Upstreams that are slow, busy, broken or gone.

use std::time::{Duration, Instant};

use metahub_upstream::{Problem, RetryPolicy, UpstreamConfig, Upstreams, UpstreamsConfig, Waiting};

use crate::fake::*;

#[tokio::test]
async fn a_busy_upstream_is_asked_again_when_it_says() {
    let fake = Fake::start(|seen| match seen.before {
        0 => Answer::new(429, "").header("retry-after", "1"),
        _ => Answer::manifest(&manifest()),
    })
    .await;
    let started = Instant::now();
    let found = fake.upstream().manifest(&name("a/b"), &tag("1")).await;
    assert!(found.unwrap().is_some());
    assert!(started.elapsed() >= Duration::from_secs(1));
}

#[tokio::test]
async fn a_wait_beyond_our_patience_is_an_error_at_once() {
    let fake = Fake::start(|_| {
        let body = r#"{"errors":[{"code":"TOOMANYREQUESTS","message":"pull rate limit"}]}"#;
        Answer::new(429, body).header("retry-after", "3600")
    })
    .await;
    let upstream = fake.upstream();
    let error = upstream
        .manifest(&name("a/b"), &tag("1"))
        .await
        .unwrap_err();
    assert_eq!(error.retry_after(), Some(Duration::from_secs(3600)));
    assert!(error.to_string().contains("pull rate limit"), "{error}");
    assert_eq!(fake.seen().len(), 1);

    // Another reader learns it without asking, but a HEAD is not limited with it.
    let error = upstream
        .manifest(&name("c/d"), &tag("1"))
        .await
        .unwrap_err();
    assert!(
        matches!(error.problem(), Problem::RateLimited { .. }),
        "{error}"
    );
    assert_eq!(fake.seen().len(), 1);
    let _ = upstream.head(&name("a/b"), &tag("1")).await;
    assert_eq!(fake.seen().len(), 2);
}

#[tokio::test]
async fn failures_of_a_moment_are_tried_again() {
    let fake = Fake::start(|seen| match seen.before {
        0 => Answer::new(503, ""),
        1 => Answer::new(500, "oops"),
        _ => Answer::manifest(&manifest()),
    })
    .await;
    let found = fake.upstream().manifest(&name("a/b"), &tag("1")).await;
    assert!(found.unwrap().is_some());
    assert_eq!(fake.seen().len(), 3);
}

#[tokio::test]
async fn a_manifest_that_breaks_off_is_asked_for_again() {
    let fake = Fake::start(|seen| match seen.before {
        0 => Answer::streamed(200, vec![Piece::Bytes(manifest().slice(..9)), Piece::Cut])
            .header("content-length", manifest().len()),
        _ => Answer::manifest(&manifest()),
    })
    .await;
    let found = fake.upstream().manifest(&name("a/b"), &tag("1")).await;
    assert!(found.unwrap().is_some());
}

#[tokio::test]
async fn attempts_end_and_the_error_holds_the_upstreams_words() {
    let fake = Fake::start(|_| {
        Answer::new(502, "<html><h1>Bad\r\nGateway</h1>").header("content-type", "text/html")
    })
    .await;
    let error = fake
        .upstream()
        .manifest(&name("a/b"), &tag("1"))
        .await
        .unwrap_err();
    assert!(matches!(
        error.problem(),
        Problem::Status { status: 502, .. }
    ));
    assert!(
        error.to_string().contains("an HTML page: Bad Gateway"),
        "{error}"
    );
    assert_eq!(fake.seen().len(), 4);
}

#[tokio::test]
async fn refusals_are_not_tried_again() {
    let fake = Fake::start(|_| {
        Answer::new(
            400,
            r#"{"errors":[{"code":"NAME_INVALID","message":"no"}]}"#,
        )
    })
    .await;
    let error = fake
        .upstream()
        .manifest(&name("a/b"), &tag("1"))
        .await
        .unwrap_err();
    let Problem::Status { status, code, .. } = error.problem() else {
        panic!("{error}");
    };
    assert_eq!((*status, code.as_deref()), (400, Some("NAME_INVALID")));
    assert_eq!(fake.seen().len(), 1);
}

#[tokio::test]
async fn an_upstream_that_is_not_there_is_named() {
    // A port that was free a moment ago.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let upstream = upstream(UpstreamConfig {
        plain_http: true,
        default: true,
        retry: RetryPolicy {
            attempts: 2,
            first_wait: Duration::from_millis(1),
            ..RetryPolicy::default()
        },
        ..UpstreamConfig::new(address.to_string().parse().unwrap())
    });
    let error = upstream
        .manifest(&name("a/b"), &tag("1"))
        .await
        .unwrap_err();
    assert!(
        matches!(error.problem(), Problem::Unreachable(_)),
        "{error:?}"
    );
    assert!(error.to_string().contains(&address.to_string()), "{error}");
    assert!(error.is_transient());
}

#[tokio::test]
async fn an_upstream_that_does_not_answer_is_a_timeout() {
    let fake = Fake::start(|_| Answer::Never).await;
    let error = fake
        .hasty_upstream()
        .manifest(&name("a/b"), &tag("1"))
        .await
        .unwrap_err();
    let Problem::Timeout { waiting, .. } = error.problem() else {
        panic!("{error}");
    };
    assert_eq!(*waiting, Waiting::Answer);
}

#[tokio::test]
async fn a_manifest_that_stalls_is_a_timeout() {
    let fake = Fake::start(|_| {
        Answer::streamed(200, vec![Piece::Bytes(manifest().slice(..9)), Piece::Stall])
    })
    .await;
    let error = fake
        .hasty_upstream()
        .manifest(&name("a/b"), &tag("1"))
        .await
        .unwrap_err();
    let Problem::Timeout { waiting, .. } = error.problem() else {
        panic!("{error}");
    };
    assert_eq!(*waiting, Waiting::Bytes);
}

#[tokio::test]
async fn an_upstream_that_fails_again_and_again_is_left_alone() {
    let fake = Fake::start(|_| Answer::new(503, "at work")).await;
    let upstream = fake.upstream();
    for _ in 0..2 {
        let result = upstream.manifest(&name("a/b"), &tag("1")).await;
        assert!(result.is_err());
    }
    let before = fake.seen().len();
    assert!(before <= 6, "{before}");
    let error = upstream
        .manifest(&name("a/b"), &tag("1"))
        .await
        .unwrap_err();
    assert!(
        matches!(error.problem(), Problem::Resting { .. }),
        "{error}"
    );
    assert!(error.retry_after().is_some());
    assert_eq!(fake.seen().len(), before);
}

#[tokio::test]
async fn one_object_that_fails_does_not_take_the_upstream_away() {
    let fake = Fake::start(|seen| match seen.path.as_str() {
        "/v2/broken/x/manifests/1" => Answer::new(500, ""),
        _ => Answer::manifest(&manifest()),
    })
    .await;
    let upstream = fake.upstream();
    for _ in 0..4 {
        let result = upstream.manifest(&name("broken/x"), &tag("1")).await;
        assert!(result.is_err());
    }
    let found = upstream.manifest(&name("a/b"), &tag("1")).await;
    assert!(found.unwrap().is_some());
}

#[tokio::test]
async fn offline_nobody_is_asked() {
    let fake = Fake::start(|_| Answer::manifest(&manifest())).await;
    let upstreams = Upstreams::new(&UpstreamsConfig {
        upstreams: vec![fake.config()],
        offline: true,
        ..UpstreamsConfig::default()
    });
    let route = upstreams.unwrap().route(None, &name("a/b")).unwrap();
    let error = route
        .upstream
        .manifest(&route.name, &tag("1"))
        .await
        .unwrap_err();
    assert_eq!(error.problem(), &Problem::Offline);
    assert!(fake.seen().is_empty());
}

#[tokio::test]
async fn a_reader_that_goes_away_leaves_no_trace() {
    let fake = Fake::start(|seen| match seen.path.as_str() {
        "/v2/slow/x/manifests/1" => Answer::Never,
        _ => Answer::manifest(&manifest()),
    })
    .await;
    let upstream = fake.upstream();
    let impatient = Duration::from_millis(50);
    let (slow, reference) = (name("slow/x"), tag("1"));
    for _ in 0..8 {
        let reading = upstream.manifest(&slow, &reference);
        assert!(tokio::time::timeout(impatient, reading).await.is_err());
    }
    assert!(
        upstream
            .manifest(&name("a/b"), &reference)
            .await
            .unwrap()
            .is_some()
    );
}
