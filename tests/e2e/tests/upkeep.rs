//! `metahub gc` and `metahub scrub`, with a server on the folder and without one.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test"
)]

use std::time::Duration;

use metahub_e2e::faulty::{Faulty, Image};
use metahub_e2e::http::digest_of;
use metahub_e2e::metahub::{MetaHub, command};
use metahub_e2e::process::wait_until;
use metahub_e2e::pusher::{MANIFEST, Pusher};
use metahub_e2e::require;
use metahub_e2e::world::config;
use serde_json::json;

const ALONE: &str = "anonymous: write\noffline: true\nupstreams: []";

/// A server that holds one image, whose layer is returned, and one blob that nothing names.
fn with_garbage() -> Option<(MetaHub, Vec<u8>, Vec<u8>)> {
    with_garbage_and("")
}

/// The same with more configuration.
fn with_garbage_and(more: &str) -> Option<(MetaHub, Vec<u8>, Vec<u8>)> {
    if !require::tools(&["setpriv"]) {
        return None;
    }
    let metahub = MetaHub::start(&format!("{ALONE}\n{more}"), &[]);
    let (layer, garbage) = (vec![7; 300_000], vec![9; 200_000]);
    {
        let lab = Pusher {
            host: metahub.host(),
            repository: "lab/app",
            login: None,
        };
        let config =
            br#"{"os":"linux","architecture":"amd64","rootfs":{"type":"layers","diff_ids":[]}}"#;
        lab.blob(config);
        lab.blob(&layer);
        lab.blob(&garbage);
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": { "mediaType": "application/vnd.oci.image.config.v1+json", "digest": digest_of(config), "size": config.len() },
            "layers": [{ "mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": digest_of(&layer), "size": layer.len() }],
        });
        lab.manifest("1", MANIFEST, &serde_json::to_vec(&manifest).unwrap())
            .expect(201);
    }
    Some((metahub, layer, garbage))
}

fn status_of(metahub: &MetaHub, content: &[u8]) -> u16 {
    let token = metahub
        .get("/token?scope=repository:lab/app:pull")
        .send()
        .json();
    metahub
        .get(&format!("/v2/lab/app/blobs/{}", digest_of(content)))
        .header(
            "Authorization",
            format!("Bearer {}", token["token"].as_str().unwrap()),
        )
        .send()
        .status
}

#[test]
fn garbage_goes_while_the_server_runs_and_what_is_needed_stays() {
    let Some((metahub, layer, garbage)) = with_garbage() else {
        return;
    };
    let young = metahub.command(&["gc", "--format", "json"]).ok().ok_json();
    assert_eq!(
        young["blobs"], 0,
        "the grace period protects what just came: {young}"
    );
    let would = metahub
        .command(&["gc", "--grace", "0s", "--dry-run", "--format", "json"])
        .ok()
        .ok_json();
    assert_eq!(
        status_of(&metahub, &garbage),
        200,
        "a dry run removes nothing: {would}"
    );
    let gone = metahub
        .command(&["gc", "--grace", "0s", "--format", "json"])
        .ok()
        .ok_json();
    assert_eq!(gone["blobs"], 1, "{gone}");
    assert_eq!(gone["blob_bytes"], garbage.len(), "{gone}");
    assert_eq!(status_of(&metahub, &garbage), 404);
    assert_eq!(status_of(&metahub, &layer), 200);
    assert!(!metahub.holds(&garbage));
}

#[test]
fn a_folder_without_a_server_is_collected_by_the_command_itself() {
    let Some((mut metahub, _, garbage)) = with_garbage() else {
        return;
    };
    assert!(metahub.terminate().unwrap().success());
    metahub.command(&["gc", "--grace", "0s"]).ok().says("freed");
    assert!(!metahub.holds(&garbage));
}

#[test]
fn a_flipped_bit_is_found_set_aside_and_named() {
    let Some((metahub, layer, _)) = with_garbage() else {
        return;
    };
    let whole = metahub
        .command(&["scrub", "--format", "json"])
        .ok()
        .ok_json();
    assert_eq!(whole["whole"], true, "{whole}");
    flip_a_bit(&metahub, &layer);
    let outcome = metahub.command(&["scrub"]).fails();
    outcome.says(&digest_of(&layer)).says("lab/app");
    assert_eq!(
        status_of(&metahub, &layer),
        404,
        "what is damaged is not served"
    );
}

fn flip_a_bit(metahub: &MetaHub, content: &[u8]) {
    let name = digest_of(content).replace("sha256:", "");
    let mut folders = vec![metahub.data()];
    while let Some(folder) = folders.pop() {
        for path in std::fs::read_dir(&folder)
            .unwrap()
            .map(|entry| entry.unwrap().path())
        {
            if path.is_dir() {
                folders.push(path);
            } else if path
                .file_name()
                .is_some_and(|file| file.to_string_lossy() == name)
            {
                let mut bytes = std::fs::read(&path).unwrap();
                bytes[1000] ^= 1;
                std::fs::write(&path, bytes).unwrap();
                return;
            }
        }
    }
    panic!("no file of that name");
}

/// Whether a line of the metrics is exactly this, soon.
fn counts(metahub: &MetaHub, line: &str) -> bool {
    wait_until(Duration::from_secs(30), || {
        let text = metahub.get("/metrics").send().expect(200).text();
        text.lines().any(|found| found == line)
    })
}

#[test]
fn garbage_goes_by_itself_when_its_time_has_come() {
    let schedule = "metrics: everybody\ngc: {every: 50ms, grace: 1s}";
    let Some((metahub, layer, garbage)) = with_garbage_and(schedule) else {
        return;
    };
    assert!(counts(&metahub, "metahub_gc_removed_blobs_total 1"));
    assert_eq!(status_of(&metahub, &garbage), 404);
    assert_eq!(status_of(&metahub, &layer), 200);
    let freed = format!("metahub_gc_freed_bytes_total {}", garbage.len());
    assert!(counts(&metahub, &freed));
}

#[test]
fn a_flipped_bit_is_found_by_itself_when_its_time_has_come() {
    let schedule = "metrics: everybody\nscrub: {every: 50ms, rate: 100 MiB}";
    let Some((metahub, layer, _)) = with_garbage_and(schedule) else {
        return;
    };
    flip_a_bit(&metahub, &layer);
    let quarantine = metahub.data().join("quarantine");
    let set_aside = wait_until(Duration::from_secs(30), || {
        std::fs::read_dir(&quarantine).is_ok_and(|files| files.count() == 1)
    });
    assert!(set_aside, "what is damaged is set aside");
    assert_eq!(status_of(&metahub, &layer), 404);
    // The round that set it aside counts when it has ended.
    let counted = wait_until(Duration::from_secs(30), || {
        let text = metahub.get("/metrics").send().expect(200).text();
        !text.contains("metahub_scrub_findings_total{state=\"found\"} 0")
    });
    assert!(counted, "what a scheduled scrub finds is counted");
}

#[test]
fn damaged_content_that_came_from_an_upstream_is_fetched_again() {
    if !require::tools(&["setpriv"]) {
        return;
    }
    let upstream = Faulty::start();
    let metahub = MetaHub::start(&config(upstream.host(), "read"), &[]);
    let image = &upstream.image;
    let pull = |path: &str| {
        let zen3 = Some(("zen3", "any"));
        let answer = metahub.get(path).login(zen3).header("Accept", MANIFEST);
        answer.send().expect(200)
    };
    let layer = Image::blob(&image.layer);
    pull(Image::TAG);
    assert_eq!(pull(&layer).body, image.layer);
    flip_a_bit(&metahub, &image.layer);
    let scrubbed = metahub.command(&["scrub"]).ok();
    scrubbed
        .says(&digest_of(&image.layer))
        .says("fetched again")
        .says("team/app");
    assert_eq!(pull(&layer).body, image.layer);
    let quarantine = std::fs::read_dir(metahub.data().join("quarantine")).unwrap();
    assert_eq!(quarantine.count(), 1, "the damaged file is kept aside");
    metahub.command(&["scrub"]).ok().says("everything is whole");
}

#[test]
fn a_backup_is_made_while_the_server_runs_and_is_restored_whole() {
    let Some((metahub, layer, _)) = with_garbage() else {
        return;
    };
    metahub.add_account("alice", "admin", "a long password");
    let folder = tempfile::tempdir().unwrap();
    let (backup, new) = (folder.path().join("backup"), folder.path().join("new"));
    let (backup, new) = (backup.to_str().unwrap(), new.to_str().unwrap());
    let made = |copied: u64| {
        let report = metahub
            .command(&["backup", backup, "--format", "json"])
            .ok()
            .ok_json();
        assert_eq!(
            (&report["whole"], &report["blobs"], &report["copied"]),
            (&json!(true), &json!(2), &json!(copied)),
            "{report}"
        );
    };
    made(2);
    made(0);
    let data = metahub.data();
    metahub
        .command(&["backup", data.to_str().unwrap()])
        .fails()
        .says("choose another folder");
    let restore = ["restore", backup, "--data", new, "--verify"];
    command(&restore).ok().says("everything is whole");
    command(&restore).fails().says("it is not empty");
    command(&["scrub", "--data", new])
        .ok()
        .says("everything is whole");
    command(&["account", "list", "--data", new])
        .ok()
        .says("alice");
    assert_eq!(status_of(&metahub, &layer), 200);
}

#[test]
fn a_server_does_not_start_while_its_blobs_are_away_and_loses_nothing() {
    let Some((mut metahub, layer, _)) = with_garbage() else {
        return;
    };
    let (blobs, away) = (metahub.data().join("blobs"), metahub.data().join("away"));
    // While it runs: out of reach, not unknown; nothing is stored where a mount would hide it.
    std::fs::rename(&blobs, &away).unwrap();
    assert_eq!(status_of(&metahub, &layer), 503);
    metahub
        .command(&["scrub"])
        .fails()
        .says("does not hold what the database names");
    metahub
        .command(&["gc", "--grace", "0s"])
        .fails()
        .says("does not hold");
    assert!(metahub.terminate().unwrap().success());
    for order in [
        &["serve", "--listen", "127.0.0.1:0"][..],
        &["scrub"],
        &["gc"],
    ] {
        metahub
            .command(order)
            .fails()
            .says("does not hold what the database names");
    }
    std::fs::rename(&away, &blobs).unwrap();
    metahub.command(&["scrub"]).ok().says("everything is whole");
    let metahub = metahub.restart();
    assert_eq!(status_of(&metahub, &layer), 200);
}
