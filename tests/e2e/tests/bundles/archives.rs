//! Bundles and other tools' archives, and exports that broke off.

use super::*;

#[test]
fn skopeo_opens_what_was_exported_by_the_names_that_export_prints() {
    let Some(sites) = Sites::start() else { return };
    if !require::tools(skopeo::NEEDS) {
        return;
    }
    let (file, exported) = sites.export(&["app:1", "lab/app:lake", "--as", "zen3"], "app.tar");
    let skopeo = Skopeo::new();
    let images = exported["images"].as_array().unwrap();
    let names: Vec<&str> = images.iter().map(|i| i["name"].as_str().unwrap()).collect();
    assert!(
        names.contains(&"app:1") && names.contains(&"lab/app:lake"),
        "{names:?}"
    );
    assert!(names.contains(&"upstream.test/team/app:zen3"), "{names:?}");
    for (number, image) in images.iter().enumerate() {
        let name = image["name"].as_str().unwrap();
        let folder = skopeo.path(&format!("image-{number}"));
        let from = format!("oci-archive:{}:{name}", file.display());
        let done = skopeo.copy(&from, &format!("dir:{}", folder.display()), false);
        assert_eq!(done.code, Some(0), "{done}");
        let manifest: Value =
            serde_json::from_slice(&std::fs::read(folder.join("manifest.json")).unwrap()).unwrap();
        for layer in manifest["layers"].as_array().unwrap() {
            let digest = layer["digest"].as_str().unwrap();
            let bytes = std::fs::read(folder.join(digest.replace("sha256:", ""))).unwrap();
            assert_eq!(digest_of(&bytes), digest);
        }
    }
}

#[test]
fn an_archive_that_skopeo_made_is_imported_under_its_name_or_the_one_that_is_given() {
    let Some(sites) = Sites::start() else { return };
    if !require::tools(skopeo::NEEDS) {
        return;
    }
    let skopeo = Skopeo::new();
    let from = format!("docker://{}", sites.site.image("lab/app:lake"));
    let (named, unnamed) = (sites.file("named.tar"), sites.file("unnamed.tar"));
    for (file, name) in [(&named, ":upstream.test/other/app:2"), (&unnamed, "")] {
        let to = format!("oci-archive:{}{name}", file.display());
        let copy = ["copy", "--src-tls-verify=false", "--preserve-digests"];
        skopeo.cli().args(copy).args([&from, &to]).ok();
    }
    let island = MetaHub::start(ISLAND, &[]);
    island.command(&["import"]).arg(&named).ok();
    island
        .command(&["import"])
        .arg(&unnamed)
        .fails()
        .says("--name");
    island
        .command(&["import", "--name", "own/app:3"])
        .arg(&unnamed)
        .ok();
    let there = pull(&sites.site, None, "lab/app", "lake");
    assert_eq!(pull(&island, None, "upstream.test/other/app", "2"), there);
    assert_eq!(pull(&island, None, "own/app", "3"), there);
}

#[test]
fn an_export_that_broke_off_goes_on_where_it_was_and_ends_with_the_same_file() {
    let Some(sites) = Sites::start() else { return };
    let (whole, first) = sites.export(&["app:1"], "whole.tar");
    assert_eq!(first["resumed"], 0, "{first}");
    let bytes = std::fs::read(&whole).unwrap();
    for (name, cut) in [
        ("half.tar", bytes.len() / 2),
        ("start.tar", 700),
        ("empty.tar", 0),
    ] {
        let partial = sites.file(&format!("{name}.partial"));
        std::fs::write(&partial, &bytes[..cut]).unwrap();
        let (file, report) = sites.export(&["app:1"], name);
        assert_eq!(
            report["resumed"].as_u64().unwrap() > 0,
            cut > 1000,
            "{report}"
        );
        assert!(std::fs::read(&file).unwrap() == bytes, "{name} differs");
        assert!(!partial.exists());
    }
    // What was written and is wrong is written again.
    let mut wrong = bytes[..bytes.len() / 2].to_vec();
    wrong[3000] ^= 1;
    std::fs::write(sites.file("wrong.tar.partial"), &wrong).unwrap();
    let (file, _) = sites.export(&["app:1"], "wrong.tar");
    assert!(std::fs::read(file).unwrap() == bytes);
}
