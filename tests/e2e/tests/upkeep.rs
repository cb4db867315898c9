//! `metahub gc` and `metahub scrub`, with a server on the folder and without one.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test"
)]

use metahub_e2e::http::digest_of;
use metahub_e2e::metahub::MetaHub;
use metahub_e2e::pusher::{MANIFEST, Pusher};
use metahub_e2e::require;
use serde_json::json;

const ALONE: &str = "anonymous: write\noffline: true\nupstreams: []";

/// A server that holds one image, whose layer is returned, and one blob that nothing names.
fn with_garbage() -> Option<(MetaHub, Vec<u8>, Vec<u8>)> {
    if !require::tools(&["setpriv"]) {
        return None;
    }
    let metahub = MetaHub::start(ALONE, &[]);
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
