//! Bundles that are refused, and leave nothing behind.

use super::*;

#[test]
fn a_bundle_that_is_damaged_cut_off_or_incomplete_is_refused_and_leaves_nothing_to_see() {
    let Some(sites) = Sites::start() else { return };
    let (file, _) = sites.export(&["app:1"], "app.tar");
    let bytes = std::fs::read(&file).unwrap();
    let island = MetaHub::start(ISLAND, &[]);
    let refused = |name: &str, content: &[u8], why: &str| {
        let bad = sites.file(name);
        std::fs::write(&bad, content).unwrap();
        island.command(&["import"]).arg(&bad).fails().says(why);
        shows_nothing(&island);
    };
    // A layer is 200,000 equal bytes.
    let mut flipped = bytes.clone();
    let layer = flipped
        .windows(4096)
        .position(|w| w.iter().all(|b| *b == 3))
        .unwrap();
    flipped[layer + 2000] ^= 1;
    refused("flipped.tar", &flipped, "damaged");
    refused("cut.tar", &bytes[..bytes.len() / 2], "cut off");
    refused("text.tar", b"no archive at all", "bundle");
    refused("empty.tar", b"", "oci-layout");

    let folder = sites.file("unpacked");
    std::fs::create_dir(&folder).unwrap();
    Cmd::new("tar")
        .arg("-xf")
        .arg(&file)
        .arg("-C")
        .arg(&folder)
        .ok();
    let pack = |name: &str| {
        let packed = sites.file(name);
        Cmd::new("tar")
            .arg("-cf")
            .arg(&packed)
            .arg("-C")
            .arg(&folder)
            .arg(".")
            .ok();
        std::fs::read(&packed).unwrap()
    };
    let blob = folder
        .join("blobs/sha256")
        .join(digest_of(&[3; 200_000]).replace("sha256:", ""));
    let content = std::fs::read(&blob).unwrap();
    std::fs::remove_file(&blob).unwrap();
    refused("missing.tar", &pack("a.tar"), "incomplete");
    std::fs::write(&blob, &content[1..]).unwrap();
    refused(
        "short.tar",
        &pack("b.tar"),
        "199999 bytes instead of 200000",
    );
    std::fs::remove_file(&blob).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", &blob).unwrap();
    refused(
        "link.tar",
        &pack("c.tar"),
        "links and devices are not taken",
    );
    std::fs::remove_file(&blob).unwrap();
    std::fs::write(&blob, &content).unwrap();

    // As tar packs it, with its folders, it is as good as ours.
    let packed = sites.file("packed.tar");
    std::fs::write(&packed, pack("d.tar")).unwrap();
    island
        .command(&["import"])
        .arg(&packed)
        .ok()
        .says("collection app:1");
}

#[test]
fn documents_that_the_site_defines_otherwise_are_refused_or_left_out() {
    let Some(sites) = Sites::start() else { return };
    let (file, _) = sites.export(&["app:1"], "app.tar");
    let own = "manifests:\n  - name: app\n    tag: 1\n    manifests: [{image: lab/app:lake}]\n";
    let island = MetaHub::start(ISLAND, &[("own.yaml", own)]);
    island
        .command(&["import"])
        .arg(&file)
        .fails()
        .says("own.yaml")
        .says("--without-documents");
    shows_only_documents(&island);
    island
        .command(&["import", "--without-documents"])
        .arg(&file)
        .ok();
    pull(&island, None, "upstream.test/team/app", "any");
}

fn shows_only_documents(metahub: &MetaHub) {
    let catalog = get(metahub, Some("zen3"), "/v2/_catalog")
        .expect(200)
        .json();
    assert_eq!(
        catalog["repositories"],
        serde_json::json!(["app"]),
        "{catalog}"
    );
}
