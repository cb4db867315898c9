//! What is counted, and who may read it.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test"
)]

use metahub_e2e::metahub::MetaHub;
use metahub_e2e::process::wait_until;
use metahub_e2e::pusher::Pusher;
use metahub_e2e::require;
use std::time::Duration;

const PASSWORD: &str = "correct horse battery staple";

fn start(config: &str) -> Option<MetaHub> {
    let config = format!("offline: true\nupstreams: []\n{config}");
    require::tools(&["setpriv"]).then(|| MetaHub::start(&config, &[]))
}

#[test]
fn only_whom_the_configuration_lets_reads_metrics() {
    for (access, nobody, profile, account) in [
        ("accounts", 401, 403, 200),
        ("everybody", 200, 200, 200),
        ("nobody", 404, 404, 404),
    ] {
        let Some(metahub) = start(&format!("metrics: {access}")) else {
            return;
        };
        metahub.add_account("prometheus", "reader", PASSWORD);
        for (login, status) in [
            (None, nobody),
            (Some(("zen3", "any")), profile),
            (Some(("prometheus", PASSWORD)), account),
        ] {
            let answer = metahub.get("/metrics").login(login).send();
            assert_eq!(answer.status, status, "{access} {login:?}: {answer}");
        }
    }
}

#[test]
fn a_push_and_pulls_are_counted_by_operation_and_profile() {
    let Some(metahub) = start("anonymous: write\nmetrics: everybody") else {
        return;
    };
    let pusher = Pusher {
        host: metahub.host(),
        repository: "site/app",
        login: None,
    };
    let _ = pusher.image("1", "amd64", &[7; 1000]);
    for login in ["zen3", "zen3", "cascadelake"] {
        let image = metahub.get("/v2/site/app/manifests/1");
        image.login(Some((login, "any"))).send().expect(200);
    }
    let absent = metahub.get("/v2/site/app/manifests/2");
    absent.login(Some(("zen3", "any"))).send().expect(404);
    metahub.get("/elsewhere").send().expect(404);
    let expected = [
        "metahub_requests_total{operation=\"get-manifest\",status=\"200\"} 3",
        "metahub_requests_total{operation=\"get-manifest\",status=\"404\"} 1",
        "metahub_requests_total{operation=\"put-manifest\",status=\"201\"} 1",
        "metahub_requests_total{operation=\"unknown\",status=\"404\"} 1",
        "metahub_answer_seconds_count{operation=\"get-manifest\"} 4",
        "metahub_pulls_total{profile=\"zen3\"} 2",
        "metahub_pulls_total{profile=\"cascadelake\"} 1",
    ];
    let mut text = String::new();
    // An answer is counted when its last byte has left, which its client may see first.
    let counted = wait_until(Duration::from_secs(20), || {
        let answer = metahub.get("/metrics").send().expect(200);
        assert!(
            answer
                .header("content-type")
                .starts_with("application/openmetrics-text")
        );
        text = answer.text();
        expected
            .iter()
            .all(|line| text.lines().any(|found| found == *line))
    });
    assert!(counted, "{text}");
    let received = text
        .lines()
        .find_map(|line| line.strip_prefix("metahub_received_bytes_total "))
        .unwrap();
    assert!(received.parse::<u64>().unwrap() > 1000, "{received}");
}
