//! What signs an image comes along where the image goes: by referrers, and by the tags under which
//! cosign keeps it at registries that know none.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test")]

use metahub_e2e::faulty::MANIFEST_TYPE;
use metahub_e2e::http::{Answer, digest_of};
use metahub_e2e::metahub::MetaHub;
use metahub_e2e::require;
use metahub_e2e::scripted::{INDEX_TYPE, Scripted};
use serde_json::{Value, json};
use tempfile::TempDir;

/// The digest of a manifest as cosign writes it in a tag.
fn tag_of(manifest: &[u8], kind: &str) -> String {
    format!("{}.{kind}", digest_of(manifest).replace(':', "-"))
}

/// An upstream with an index of two images that is signed, as is one of its images; and a site.
struct World {
    upstream: Scripted,
    site: MetaHub,
    /// The tags that belong to `team/app:1` for amd64, with their manifests and layers.
    signatures: Vec<(String, Vec<u8>, Vec<u8>)>,
    files: TempDir,
}

fn world() -> Option<World> {
    if !require::tools(&["setpriv"]) {
        return None;
    }
    let upstream = Scripted::start();
    let amd64 = upstream.put_for("team/app", "amd64", "for amd64", "amd64", &json!(null));
    let arm64 = upstream.put_for("team/app", "arm64", "for arm64", "arm64", &json!(null));
    let entry = |manifest: &[u8], architecture: &str| {
        json!({
            "mediaType": MANIFEST_TYPE, "digest": digest_of(manifest), "size": manifest.len(),
            "platform": {"os": "linux", "architecture": architecture},
        })
    };
    let index = json!({
        "schemaVersion": 2, "mediaType": INDEX_TYPE,
        "manifests": [entry(&amd64, "amd64"), entry(&arm64, "arm64")],
    })
    .to_string()
    .into_bytes();
    for reference in ["1", &digest_of(&index)] {
        let path = format!("/v2/team/app/manifests/{reference}");
        upstream.put_at(&path, INDEX_TYPE, &index);
    }
    let mut signatures = Vec::new();
    for (signed, kind) in [
        (&index, "sig"),
        (&amd64, "sig"),
        (&amd64, "att"),
        (&amd64, "sbom"),
    ] {
        let tag = tag_of(signed, kind);
        let text = format!("says {tag}");
        let manifest = upstream.put("team/app", &tag, &text);
        signatures.push((tag, manifest, text.into_bytes()));
    }
    // A signature may be signed itself.
    let (_, signature, _) = &signatures[1];
    let tag = tag_of(signature, "sig");
    let manifest = upstream.put("team/app", &tag, "signs a signature");
    signatures.push((tag, manifest, b"signs a signature".to_vec()));
    // Nobody wants that of another platform.
    upstream.put("team/app", &tag_of(&arm64, "sig"), "signs arm64");
    let config = format!(
        "anonymous: read\nupstreams: [{}]",
        upstream.entry("up.test", "retry: { attempts: 1 }")
    );
    let site = MetaHub::start(&config, &[]);
    Some(World {
        upstream,
        site,
        signatures,
        files: tempfile::tempdir().unwrap(),
    })
}

fn get(metahub: &MetaHub, path: &str) -> Answer {
    metahub
        .get(path)
        .header("Accept", format!("{INDEX_TYPE}, {MANIFEST_TYPE}"))
        .send_as_anybody()
}

/// Whether `metahub` gives everything that belongs to the image, without asking anybody.
fn has_all(metahub: &MetaHub, signatures: &[(String, Vec<u8>, Vec<u8>)]) {
    for (tag, manifest, layer) in signatures {
        let path = format!("/v2/up.test/team/app/manifests/{tag}");
        assert_eq!(&get(metahub, &path).expect(200).body, manifest, "{tag}");
        let path = format!("/v2/up.test/team/app/blobs/{}", digest_of(layer));
        assert_eq!(&get(metahub, &path).expect(200).body, layer, "{tag}");
    }
}

#[test]
fn signatures_by_tag_are_warmed_with_the_images_that_they_sign() {
    let Some(world) = world() else { return };
    let image = "up.test/team/app:1";
    let warm = ["warm", image, "--platform", "linux/amd64"];
    world.site.command(&warm).ok().says(image);
    let asked = world.upstream.asked();
    let other = asked
        .iter()
        .find(|line| line.contains(&digest_of(b"for arm64")[7..]));
    assert_eq!(other, None, "{asked:?}");
    let site = world.site.restart_with("offline: true");
    has_all(&site, &world.signatures);
    assert_eq!(world.upstream.asked(), Vec::<String>::new());
}

#[test]
fn signatures_by_tag_are_exported_and_found_by_their_tags_where_they_were_imported() {
    let Some(world) = world() else { return };
    let file = world.files.path().join("app.tar");
    let output = format!("--output={}", file.display());
    let export = [
        "export",
        "up.test/team/app:1",
        "--platform",
        "linux/amd64",
        "--format",
        "json",
    ];
    let exported = world.site.command(&export).arg(output).ok().ok_json();
    let names: Vec<&Value> = exported["images"]
        .as_array()
        .unwrap()
        .iter()
        .map(|i| &i["name"])
        .collect();
    for (tag, ..) in &world.signatures {
        let name = json!(format!("up.test/team/app:{tag}"));
        assert!(names.contains(&&name), "{name} in {names:?}");
    }
    let island = MetaHub::start(
        "anonymous: read\noffline: true\nupstreams: [{host: up.test}]",
        &[],
    );
    island.command(&["import"]).arg(&file).ok();
    has_all(&island, &world.signatures);
}

#[test]
fn a_signature_alone_is_no_image_for_a_platform() {
    let Some(world) = world() else { return };
    let warm = ["warm", "up.test/team/app:1", "--platform", "linux/riscv64"];
    world.site.command(&warm).fails().says("linux/riscv64");
}

#[test]
fn an_upstream_that_cannot_say_what_signs_an_image_is_named_and_the_image_comes() {
    let Some(world) = world() else { return };
    world.site.command(&["warm", "up.test/team/app:amd64"]).ok();
    world.upstream.fail(500, None);
    let again = world.site.command(&["warm", "up.test/team/app:amd64"]).ok();
    again
        .says("up.test/team/app:amd64")
        .says("what signs sha256:")
        .says("the upstream's own words");
}
