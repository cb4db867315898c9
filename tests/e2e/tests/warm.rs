//! Images that are fetched before anybody pulls them: by command, by list, on schedule.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test"
)]

use std::time::Duration;

use metahub_e2e::daemon::Daemon;
use metahub_e2e::faulty::{Fault, Faulty, Image};
use metahub_e2e::http::digest_of;
use metahub_e2e::metahub::MetaHub;
use metahub_e2e::process::wait_until;
use metahub_e2e::pusher::{INDEX, MANIFEST, Pusher};
use metahub_e2e::require;
use metahub_e2e::scripted::Scripted;
use rustix::process::Signal;
use serde_json::{Value, json};

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
    // What was told of the images must survive, too.
    let site = site.restart();
    let get = |path: String| site.get(&path).login(Some(("zen3", "any"))).send();
    // The one image that the login gets of the index is served itself.
    let manifest = get("/v2/team/app/manifests/1".to_owned())
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

/// The layer of an image that can be had: large enough for a file of its own.
fn the_image() -> String {
    "the image ".repeat(10_000)
}

/// An index with an image, an attestation and an artifact of which nothing but their names is
/// there, and an image whose layer is gone.
fn incomplete() -> Scripted {
    let upstream = Scripted::start();
    let image = upstream.put("team/app", "image", &the_image());
    let lost = |text: &str| digest_of(text.as_bytes());
    let entry =
        |digest: &str, size: usize| json!({"mediaType": MANIFEST, "digest": digest, "size": size});
    let mut runs = entry(&digest_of(&image), image.len());
    runs["platform"] = json!({"os": "linux", "architecture": "amd64"});
    let mut attestation = entry(&lost("attestation"), 7);
    attestation["platform"] = json!({"os": "unknown", "architecture": "unknown"});
    attestation["annotations"] = json!({
        "vnd.docker.reference.type": "attestation-manifest",
        "vnd.docker.reference.digest": digest_of(&image),
    });
    let mut artifact = entry(&lost("artifact"), 8);
    artifact["artifactType"] = json!("application/vnd.example.sbom");
    let index = json!({
        "schemaVersion": 2, "mediaType": INDEX, "manifests": [runs, attestation, artifact],
    });
    let bytes = index.to_string();
    upstream.put_at("/v2/team/app/manifests/1", INDEX, bytes.as_bytes());
    let path = format!("/v2/team/app/manifests/{}", lost(&bytes));
    upstream.put_at(&path, INDEX, bytes.as_bytes());
    let broken = upstream.put("team/broken", "1", "a layer that is gone");
    let manifest: Value = serde_json::from_slice(&broken).unwrap();
    let layer = manifest["layers"][0]["digest"].as_str().unwrap();
    upstream.remove_at(&format!("/v2/team/broken/blobs/{layer}"));
    upstream
}

fn before(upstream: &Scripted) -> MetaHub {
    let config = format!(
        "allow_any_host: false\nupstreams: [{}]\n",
        upstream.entry("upstream.test", "default: true, retry: {attempts: 1}")
    );
    MetaHub::start(&config, &[])
}

#[test]
fn what_is_attached_and_missing_is_left_out_with_a_warning() {
    if !require::tools(&["setpriv"]) {
        return;
    }
    let upstream = incomplete();
    let site = before(&upstream);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("bundle.tar");
    for platform in [&["--platform", "linux/amd64"][..], &["--all-platforms"]] {
        let warm = [&["warm", "team/app:1"], platform].concat();
        let warmed = site.command(&warm).ok();
        warmed
            .says("the attestation")
            .says("is left out")
            .says("the artifact");
        let output = format!("--output={}", file.display());
        let export = [&["export", "team/app:1", output.as_str()], platform].concat();
        site.command(&export).ok().says("the attestation");
    }
    assert!(site.holds(the_image().as_bytes()));
    // The bundle says itself that it is not all of it, so another site takes it in.
    let other = MetaHub::start("offline: true\nupstreams: []", &[]);
    let bundle = file.display().to_string();
    other.command(&["import", &bundle]).ok();
    assert!(other.holds(the_image().as_bytes()));
}

#[test]
fn an_image_that_cannot_be_had_is_no_matter_of_the_others() {
    if !require::tools(&["setpriv"]) {
        return;
    }
    let upstream = incomplete();
    let site = before(&upstream);
    let images = ["team/broken:1", "team/app:image", "team/none:1"];
    let warmed = site
        .command(&[&["warm", "--format=json"], &images[..]].concat())
        .fails();
    assert_eq!(warmed.code, Some(4), "{warmed}");
    assert!(site.holds(the_image().as_bytes()));
    let report: Value = serde_json::from_str(&warmed.stdout).unwrap();
    let failed = report["failed"].as_array().unwrap();
    assert_eq!(failed.len(), 2, "{report}");
    for (failure, image) in failed.iter().zip(["team/none:1", "team/broken:1"]) {
        assert!(failure.as_str().unwrap().starts_with(image), "{report}");
    }

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("bundle.tar").display().to_string();
    let export = [&["export", "-o", &file], &images[..]].concat();
    let exported = site.command(&export).fails();
    assert_eq!(exported.code, Some(4), "{exported}");
    exported
        .says("team/app:image")
        .says("team/broken:1")
        .says("team/none:1");
    let other = MetaHub::start("offline: true\nupstreams: []", &[]);
    other
        .command(&["import", &file])
        .ok()
        .says("team/app:image");

    let none = site
        .command(&["warm", "team/broken:1", "team/none:1"])
        .fails();
    assert_eq!(none.code, Some(1), "{none}");
}

#[test]
fn a_command_that_is_interrupted_says_what_is_left() {
    if !require::tools(&["setpriv"]) {
        return;
    }
    let upstream = Faulty::start();
    let layer = Image::blob(&upstream.image.layer);
    upstream.break_path(&layer, Fault::Pause(1000));
    let config = format!(
        "upstreams: [{{host: upstream.test, url: \"http://{}\", plain_http: true, default: true}}]",
        upstream.host()
    );
    let mut site = MetaHub::start(&config, &[]);
    let warm = ["warm", "team/app:1.0", "--all-platforms"];
    // Through the server, and then by itself.
    for served in [true, false] {
        if !served {
            site.terminate();
        }
        let asked = upstream.times_asked(&layer);
        let mut command = Daemon::start("warm", &site.command(&warm));
        let asks = || upstream.times_asked(&layer) > asked;
        assert!(
            wait_until(Duration::from_secs(30), asks),
            "{}",
            command.log()
        );
        command.signal(Signal::INT);
        // Ends by itself, so the second signal meets nobody.
        assert!(command.says("interrupted"), "{}", command.log());
        let code = command.terminate().and_then(|status| status.code());
        let log = command.log();
        assert_eq!(code, Some(130), "{log}");
        assert!(log.contains("interrupted: "), "{log}");
        assert!(log.contains("the same command fetches the rest"), "{log}");
        assert!(!log.contains("panicked"), "{log}");
    }
    upstream.mend();
    site.command(&warm).ok().says("team/app:1.0");
}
