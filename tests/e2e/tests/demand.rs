//! Which builds lack, by what real clients pulled.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test"
)]

use metahub_e2e::docker::{self, Docker};
use metahub_e2e::metahub::{MetaHub, command};
use metahub_e2e::pusher::Pusher;
use metahub_e2e::require;
use metahub_e2e::skopeo::{self, Skopeo};
use serde_json::{Value, json};

const PASSWORD: &str = "correct horse battery staple";

/// A registry with an index of three builds: for zen3, for any amd64, for any arm64.
fn start() -> Option<MetaHub> {
    if !require::root_and(&[docker::NEEDS, skopeo::NEEDS].concat()) {
        return None;
    }
    let config = "anonymous: write\noffline: true\nupstreams: []\nnodes: {join: true}";
    let metahub = MetaHub::start(config, &[]);
    {
        let pusher = Pusher {
            host: metahub.host(),
            repository: "lab/app",
            login: None,
        };
        let zen3 = pusher.image("zen3", "amd64", &[3; 1000]);
        let any = pusher.image("any", "amd64", &[1; 500]);
        let arm = pusher.image("arm", "arm64", &[8; 500]);
        pusher.index(
            "1",
            &[
                (&zen3, "amd64", &["arch:zen3"]),
                (&any, "amd64", &[]),
                (&arm, "arm64", &[]),
            ],
        );
    }
    Some(metahub)
}

fn demand(metahub: &MetaHub, more: &[&str]) -> Value {
    let args = [&["demand", "--format", "json"], more].concat();
    metahub.command(&args).ok().ok_json()
}

/// Target, what it got, and how often it was pulled.
fn rows(demand: &Value) -> Vec<(String, String, u64)> {
    let rows = demand["rows"].as_array().unwrap().iter();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    rows.map(|row| {
        assert_eq!(row["image"], "lab/app:1", "{row}");
        (
            text(&row["target"]),
            text(&row["got"]),
            row["pulls"].as_u64().unwrap(),
        )
    })
    .collect()
}

#[test]
fn what_docker_and_skopeo_pulled_and_did_not_get_is_shown_and_outlives_the_server() {
    let Some(metahub) = start() else {
        return;
    };
    metahub
        .command(&["demand"])
        .ok()
        .says("no pull is recorded");
    let image = metahub.image("lab/app:1");
    let docker = Docker::start();
    // One node falls back, another gets its build.
    for (node, login) in [("node1", "zen4+cc=9.0"), ("node2", "zen3")] {
        let done = docker.login(node, metahub.host(), login, "any");
        assert_eq!(done.code, Some(0), "{done}");
        // Nothing is in these layers, so it does not unpack them.
        let _ = docker.pull(node, &image);
    }
    for login in ["zen4+cc=9.0", "haswell", "power9le"] {
        let skopeo = Skopeo::new();
        let done = skopeo.login(metahub.host(), login, "any");
        assert_eq!(done.code, Some(0), "{done}");
        let shown = skopeo.inspect_raw(&image);
        assert_eq!(shown.code == Some(0), login != "power9le", "{shown}");
    }
    let shown = demand(&metahub, &[]);
    let expected = [
        ("zen4", "zen3", 2),
        ("haswell", "generic", 1),
        ("power9le", "none", 1),
    ]
    .map(|(target, got, pulls)| (target.to_owned(), got.to_owned(), pulls));
    assert_eq!(rows(&shown), expected, "{shown}");
    let (first, told) = (&shown["rows"][0], ["pulls", "fell_back", "nothing"]);
    assert_eq!(
        (&first["gpu"], &first["bytes"]),
        (&"cc:9.0".into(), &2000.into())
    );
    assert_eq!(
        told.map(|key| shown[key].as_u64().unwrap()),
        [5, 3, 1],
        "{shown}"
    );
    assert_eq!(rows(&demand(&metahub, &["--image", "other/.*"])), []);
    assert_eq!(
        rows(&demand(&metahub, &["--image", "lab/.*", "--since", "7d"])).len(),
        3
    );
    let table = metahub.command(&["demand"]).ok();
    table
        .says("zen4+cc:9.0")
        .says("of 5 pulls by logins that name a processor 3 got a lesser build and 1 none");
    let csv = metahub.command(&["demand", "--format", "csv"]).ok();
    csv.says("lab/app:1,zen4,cc:9.0,zen3,fallback,0,false,2,2000");
    // A server that ends writes what it counted last, and the command reads it without one.
    let skopeo = Skopeo::new();
    let done = skopeo.login(metahub.host(), "haswell", "any");
    assert_eq!(done.code, Some(0), "{done}");
    let shown = skopeo.inspect_raw(&image);
    assert_eq!(shown.code, Some(0), "{shown}");
    let mut metahub = metahub;
    metahub.terminate();
    assert_eq!(rows(&demand(&metahub, &[]))[1].2, 2);
    let missing = command(&["demand", "--data", "/nonexistent"]).run();
    assert_eq!(missing.code, Some(1), "{missing}");
}

#[test]
fn the_api_tells_admins_alone() {
    let Some(metahub) = start() else {
        return;
    };
    metahub.add_account("root", "admin", PASSWORD);
    metahub.add_account("curator", "curator", PASSWORD);
    let pull = metahub.get("/v2/lab/app/manifests/1");
    pull.login(Some(("icelake", "any"))).send().expect(200);
    for (login, status) in [
        (None, 401),
        (Some(("icelake", "any")), 403),
        (Some(("curator", PASSWORD)), 403),
        (Some(("root", PASSWORD)), 200),
    ] {
        let answer = metahub.get("/api/v1/demand?days=7").login(login).send();
        assert_eq!(answer.status, status, "{login:?}: {answer}");
        if status == 200 {
            let told = answer.json();
            assert_eq!(
                rows(&told),
                [("icelake".into(), "generic".into(), 1)],
                "{told}"
            );
        }
    }
    for wrong in ["days=x", "image=("] {
        let path = format!("/api/v1/demand?{wrong}");
        let answer = metahub.get(&path).login(Some(("root", PASSWORD))).send();
        assert_eq!(answer.status, 400, "{wrong}: {answer}");
    }
}

#[test]
fn nodes_that_have_shown_who_they_are_are_told_apart() {
    let Some(metahub) = start() else {
        return;
    };
    let join = |node: &str| {
        let made = metahub.command(&["node", "token"]).ok();
        let token = made.stdout.lines().next().unwrap().trim();
        let body = json!({"name": node, "token": token}).to_string();
        let call = metahub.call("POST", "/api/v1/nodes/join").body(body);
        let joined = call.send().expect(201).json();
        joined["token"].as_str().unwrap().to_owned()
    };
    let (one, other) = (join("n1"), join("n2"));
    for password in [&one, &one, &other, "any"] {
        let pull = metahub.get("/v2/lab/app/manifests/1");
        pull.login(Some(("icelake", password))).send().expect(200);
    }
    let told = demand(&metahub, &[]);
    let row = &told["rows"][0];
    assert_eq!(
        (&row["nodes"], &row["pulls"]),
        (&2.into(), &4.into()),
        "{told}"
    );
    let report = json!({"features": ["arch:icelake", "kernel:6.1"], "version": "1"});
    for token in [&one, &other] {
        let call = metahub.call("POST", "/api/v1/nodes/report");
        let call = call.login(Some(("icelake", token.as_str())));
        call.body(report.to_string()).send().expect(202);
    }
    // What a server saw of nodes is written at the latest when it ends.
    let mut metahub = metahub;
    metahub.terminate();
    let document = metahub.catalog().join("app.yaml");
    let app = "
manifests:
  - name: app
    manifests: [{image: lab/app, platform: {os: linux, architecture: amd64, features: [arch:haswell]}}]
";
    std::fs::write(&document, app).unwrap();
    let document = document.display().to_string();
    let covered = metahub.command(&["coverage", "--fleet", "--catalog", &document]);
    let _ = covered.ok().says("icelake (2 nodes)").says("→ haswell");
}
