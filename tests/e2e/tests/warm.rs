//! Images that are fetched before anybody pulls them: by command, by list, on schedule.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test"
)]

use std::time::Duration;

use metahub_e2e::http::digest_of;
use metahub_e2e::metahub::MetaHub;
use metahub_e2e::process::wait_until;
use metahub_e2e::pusher::Pusher;
use metahub_e2e::require;
use serde_json::Value;

const OPEN: &str = "anonymous: write\noffline: true\nupstreams: []";

/// Layers of the images `zen3` and `lake`, and of the one for another architecture.
static ZEN3: [u8; 100_000] = [3; 100_000];
static LAKE: [u8; 100_000] = [1; 100_000];
static ARM: [u8; 100_000] = [8; 100_000];

/// A registry with an index of three images.
fn upstream() -> Option<MetaHub> {
    if !require::tools(&["setpriv"]) {
        return None;
    }
    let upstream = MetaHub::start(OPEN, &[]);
    {
        let pusher = Pusher {
            host: upstream.host(),
            repository: "team/app",
            login: None,
        };
        let zen3 = pusher.image("zen3", "amd64", &ZEN3);
        let lake = pusher.image("lake", "amd64", &LAKE);
        let arm = pusher.image("arm", "arm64", &ARM);
        pusher.index(
            "1",
            &[
                (&zen3, "amd64", &["arch:zen3"]),
                (&lake, "amd64", &["arch:cascadelake"]),
                (&arm, "arm64", &[]),
            ],
        );
    }
    Some(upstream)
}

fn site(upstream: &MetaHub, more: &str) -> MetaHub {
    let config = format!(
        "upstreams: [{{host: upstream.test, url: \"http://{}\", plain_http: true, default: true}}]\n{more}",
        upstream.host()
    );
    MetaHub::start(&config, &[])
}

fn held(site: &MetaHub) -> [bool; 3] {
    [&ZEN3, &LAKE, &ARM].map(|layer| site.holds(layer))
}

#[test]
fn what_was_warmed_is_pulled_without_the_upstream() {
    let Some(mut upstream) = upstream() else {
        return;
    };
    let site = site(&upstream, "");
    site.command(&["warm", "team/app:1", "--platform", "linux/amd64"])
        .ok()
        .says("team/app:1");
    assert_eq!(held(&site), [true, true, false]);
    upstream.terminate();
    let index = site
        .get("/v2/team/app/manifests/1")
        .login(Some(("zen3", "any")))
        .send()
        .expect(200)
        .json();
    let child = index["manifests"][0]["digest"].as_str().unwrap();
    let get = |path: String| site.get(&path).login(Some(("zen3", "any"))).send();
    let manifest = get(format!("/v2/team/app/manifests/{child}"))
        .expect(200)
        .json();
    let layer = manifest["layers"][0]["digest"].as_str().unwrap();
    let bytes = get(format!("/v2/team/app/blobs/{layer}")).expect(200).body;
    assert_eq!(digest_of(&bytes), digest_of(&ZEN3));
}

#[test]
fn a_login_warms_what_it_gets_and_nothing_else() {
    let Some(upstream) = upstream() else { return };
    let site = site(&upstream, "");
    let warm = [
        "warm",
        "team/app:1",
        "--as",
        "cascadelake",
        "--all-platforms",
    ];
    site.command(&warm).ok();
    assert_eq!(
        held(&site),
        [false, true, false],
        "a cascadelake is no ARM machine"
    );
    let nothing = [
        "warm",
        "team/app:1",
        "--as",
        "power9le",
        "--platform",
        "linux/amd64",
    ];
    let outcome = site.command(&nothing).fails();
    assert_eq!(outcome.code, Some(3), "{outcome}");
}

#[test]
fn a_list_is_read_from_a_file_and_a_mistake_in_it_is_told_by_its_line() {
    let Some(upstream) = upstream() else { return };
    let mut site = site(&upstream, "");
    // Without a server on the folder the command fetches by itself.
    site.terminate();
    let list = site.catalog().join("list");
    std::fs::write(&list, "# ours\nteam/app:zen3   # one\n").unwrap();
    let of = format!("--list={}", list.display());
    let platform = "--platform=linux/amd64";
    let report: Value = site
        .command(&["warm", &of, platform, "--format", "json"])
        .ok()
        .ok_json();
    assert_eq!(
        report["images"],
        serde_json::json!(["team/app:zen3"]),
        "{report}"
    );
    assert_eq!(held(&site), [true, false, false]);
    std::fs::write(&list, "team/app:zen3\nno image\n").unwrap();
    site.command(&["warm", &of]).fails().says(":2: ");
    site.command(&["warm", "team/app:none", platform])
        .fails()
        .says("team/app");
}

#[test]
fn a_server_fetches_what_its_configuration_names_before_anybody_asks() {
    let Some(upstream) = upstream() else { return };
    let warm = "warm: [{images: [team/app:1], as: zen3, platforms: [linux/amd64], every: 1h}]";
    let site = site(&upstream, warm);
    let warm = wait_until(Duration::from_secs(30), || site.holds(&ZEN3));
    assert!(warm, "{}", site.log());
    assert_eq!(held(&site), [true, false, false]);
}
