//! How long an upstream's tag is believed, and what is served when the upstream has trouble.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test")]

use metahub_e2e::faulty::MANIFEST_TYPE;
use metahub_e2e::http::{Answer, digest_of};
use metahub_e2e::metahub::MetaHub;
use metahub_e2e::require;
use metahub_e2e::scripted::Scripted;
use rstest::rstest;

const TAG: &str = "/v2/team/app/manifests/1";

fn start(upstream: &Scripted, more: &str, config: &str) -> Option<MetaHub> {
    let more = format!("default: true, retry: {{ attempts: 2, first_wait: 10ms }}, {more}");
    let config = format!(
        "anonymous: read\nallow_any_host: false\nmetrics: everybody\n{config}upstreams: [{}]\n",
        upstream.entry("up.test", &more)
    );
    require::tools(&["setpriv"]).then(|| MetaHub::start(&config, &[]))
}

fn get(metahub: &MetaHub, path: &str) -> Answer {
    metahub
        .get(path)
        .header("Accept", MANIFEST_TYPE)
        .send_as_anybody()
}

#[test]
fn an_unchanged_tag_costs_one_head_however_many_ask_at_once() {
    let upstream = Scripted::start();
    let manifest = upstream.put("team/app", "1", "one");
    // Not even a lifetime of nothing makes two of what is asked at once.
    let Some(metahub) = start(&upstream, "tag_lifetime: 0s", "") else {
        return;
    };
    get(&metahub, TAG).expect(200);
    assert_eq!(upstream.asked(), [format!("GET {TAG}")]);
    get(&metahub, TAG).expect(200);
    assert_eq!(upstream.asked(), [format!("HEAD {TAG}")]);
    let Some(metahub) = start(&upstream, "tag_lifetime: 1h", "") else {
        return;
    };
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..100)
            .map(|_| scope.spawn(|| get(&metahub, TAG).expect(200).body))
            .collect();
        for client in clients {
            assert_eq!(client.join().unwrap(), manifest);
        }
    });
    assert_eq!(upstream.asked(), [format!("GET {TAG}")]);
}

#[test]
fn lifetimes_are_by_upstream_and_pattern() {
    let upstream = Scripted::start();
    let rules = "tag_lifetime: 1h, tags: [{ match: '.*:latest', lifetime: 0s }, \
                 { match: 'team/.*:v[0-9.]+', lifetime: immutable }]";
    let Some(metahub) = start(&upstream, rules, "tag_lifetime: 0s\n") else {
        return;
    };
    for (tag, asked_again) in [("latest", true), ("v1.2", false), ("nightly", false)] {
        let old = upstream.put("team/app", tag, "old");
        let path = format!("/v2/team/app/manifests/{tag}");
        assert_eq!(get(&metahub, &path).expect(200).body, old);
        let new = upstream.put("team/app", tag, "new");
        let _ = upstream.asked();
        let served = get(&metahub, &path).expect(200).body;
        assert_eq!(served == new, asked_again, "{tag}");
        assert_eq!(upstream.asked().is_empty(), !asked_again, "{tag}");
    }
}

/// The upstream's trouble: a status, with or without a wait that it asks for.
#[rstest]
#[case::limits_the_rate(429, Some(3600))]
#[case::fails(500, None)]
#[case::is_a_gateway_to_nothing(503, None)]
#[case::refuses_us(401, None)]
#[case::forbids(403, None)]
#[case::has_it_no_more(404, None)]
fn trouble_is_answered_for_by_the_kept_copy_with_a_warning(
    #[case] status: u16,
    #[case] retry_after: Option<u64>,
) {
    let upstream = Scripted::start();
    let manifest = upstream.put("team/app", "1", "one");
    let Some(metahub) = start(&upstream, "tag_lifetime: 0s", "") else {
        return;
    };
    assert_eq!(get(&metahub, TAG).expect(200).header("warning"), "");
    upstream.fail(status, retry_after);
    let answer = get(&metahub, TAG).expect(200);
    assert_eq!(answer.body, manifest);
    let warning = answer.header("warning");
    assert!(
        warning.starts_with("299 - \"the kept copy is served") && warning.contains("up.test"),
        "{answer}"
    );
    let metrics = metahub.get("/metrics").send().expect(200).text();
    assert!(
        metrics.contains("metahub_upstream_tags_total{answer=\"stale\"} 1"),
        "{metrics}"
    );
    // By digest nobody is asked.
    let _ = upstream.asked();
    let digest = format!("/v2/team/app/manifests/{}", digest_of(&manifest));
    assert_eq!(get(&metahub, &digest).expect(200).body, manifest);
    assert_eq!(upstream.asked(), Vec::<String>::new());
}

#[test]
fn what_just_failed_is_not_waited_for_by_the_next_pull() {
    let upstream = Scripted::start();
    upstream.put("team/app", "1", "one");
    let Some(metahub) = start(&upstream, "tag_lifetime: 0s", "") else {
        return;
    };
    get(&metahub, TAG).expect(200);
    upstream.fail(500, None);
    get(&metahub, TAG).expect(200);
    let _ = upstream.asked();
    let answer = get(&metahub, TAG).expect(200);
    assert!(answer.header("warning").contains("kept copy"), "{answer}");
    assert_eq!(upstream.asked(), Vec::<String>::new());
}

#[test]
fn a_tag_that_vanishes_is_forgotten_where_that_is_wanted() {
    let upstream = Scripted::start();
    upstream.put("team/app", "1", "one");
    let Some(metahub) = start(&upstream, "tag_lifetime: 0s, gone: follow", "") else {
        return;
    };
    get(&metahub, TAG).expect(200);
    upstream.remove("team/app", "1");
    get(&metahub, TAG).expect_error(404, "MANIFEST_UNKNOWN");
}

#[rstest]
#[case::limits_the_rate(429, Some(3600), 503, "UNAVAILABLE")]
#[case::fails(500, None, 503, "UNAVAILABLE")]
#[case::forbids(403, None, 403, "DENIED")]
fn without_a_copy_the_error_holds_the_upstreams_own(
    #[case] status: u16,
    #[case] retry_after: Option<u64>,
    #[case] ours: u16,
    #[case] code: &str,
) {
    let upstream = Scripted::start();
    let Some(metahub) = start(&upstream, "", "") else {
        return;
    };
    upstream.fail(status, retry_after);
    let answer = get(&metahub, TAG).expect_error(ours, code);
    let error = &answer.json()["errors"][0];
    assert_eq!(error["detail"]["upstream"], "up.test", "{answer}");
    assert_eq!(error["detail"]["status"], status, "{answer}");
    assert_eq!(
        error["detail"]["message"], "the upstream's own words",
        "{answer}"
    );
    assert!(error["message"].as_str().unwrap().contains("up.test"));
    // What may pass says when to ask again, in the upstream's words where it has some.
    let again = answer.header("retry-after");
    assert_eq!(again.is_empty(), ours != 503, "{answer}");
    assert!(
        retry_after.is_none_or(|seconds| again == seconds.to_string()),
        "{answer}"
    );
}

#[test]
fn offline_nobody_is_asked_whatever_is_wanted() {
    let upstream = Scripted::start();
    let manifest = upstream.put("team/app", "1", "one");
    let Some(metahub) = start(&upstream, "tag_lifetime: 0s", "") else {
        return;
    };
    get(&metahub, TAG).expect(200);
    let metahub = metahub.restart_with("offline: true\nallow_any_host: true\n");
    let _ = upstream.asked();
    let answer = get(&metahub, TAG).expect(200);
    assert_eq!(answer.body, manifest);
    assert_eq!(answer.header("warning"), "", "it is meant so");
    let digest = digest_of(&manifest);
    for path in [
        "/v2/team/app/manifests/2".to_owned(),
        format!("/v2/team/app/manifests/sha256:{}", "0".repeat(64)),
        format!("/v2/team/app/blobs/{}", digest_of(b"one")),
        "/v2/team/app/manifests/1?ns=quay.io".to_owned(),
        "/v2/quay.io/team/app/manifests/1".to_owned(),
    ] {
        let status = get(&metahub, &path).status;
        assert_eq!(status, 404, "{path}");
    }
    get(&metahub, "/v2/team/app/tags/list").expect(200);
    get(&metahub, &format!("/v2/team/app/referrers/{digest}")).expect(200);
    get(&metahub, "/api/v1/resolve?image=up.test/team/app:2").expect(404);
    metahub.command(&["scrub"]).ok();
    assert_eq!(upstream.asked(), Vec::<String>::new());
}
