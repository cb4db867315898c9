//! The tests of `docs/curating.md`, run by the commands that it shows.

use metahub_testkit::http::digest_of;
use serde_json::{Value, json};

use super::*;

#[test]
fn the_tests_of_the_page_run_as_it_shows() {
    let page = blocks(&read(&root().join("docs/curating.md")));
    let block = |language: &str| {
        let mut all = page.iter();
        let (_, text) = all.find(|(of, _)| of == language).unwrap();
        text.clone()
    };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("site.yaml");
    std::fs::write(&file, block("yaml")).unwrap();
    let commands = block("sh");
    let mut outputs = Vec::new();
    for command in commands.lines() {
        let args: Vec<_> = command
            .strip_prefix("metahub ")
            .unwrap()
            .split(' ')
            .collect();
        let (code, out, error) = metahub(folder.path(), &args);
        assert_eq!(code, 0, "{command}: {out}{error}");
        outputs.push(out);
    }
    assert_eq!(outputs.len(), 4);
    assert_eq!(outputs[0], block("text"));

    // The failure that the page shows.
    let failing = block("yaml").replace("THREADS: 8}}", "THREADS: 8, DEBUG: 1}}");
    std::fs::write(&file, failing).unwrap();
    let (code, out, _) = metahub(folder.path(), &["profile", "test", "site.yaml"]);
    assert_eq!(code, 1, "{out}");
    let mut texts = page.iter().filter(|(of, _)| of == "text");
    let (_, failure) = texts.nth(1).unwrap();
    assert!(out.contains(failure.trim_end()), "{out}");
}

#[test]
fn the_rules_of_the_page_run_as_it_shows() {
    let page = blocks(&read(&root().join("docs/curating.md")));
    let at = |start: &str| {
        let found = page.iter().position(|(_, text)| text.starts_with(start));
        found.unwrap_or_else(|| panic!("no block begins with {start}"))
    };
    let folder = tempfile::tempdir().unwrap();
    let rules = at("profile:\n  name: site/rules\n");
    std::fs::write(folder.path().join("rules.yaml"), &page[rules].1).unwrap();
    let command = at("metahub profile test rules.yaml\n");
    let args: Vec<_> = page[command].1.split_whitespace().skip(1).collect();
    let (code, out, error) = metahub(folder.path(), &args);
    assert_eq!((code, &out), (0, &page[command + 1].1), "{error}");
    // The page's expectations would see a mistake.
    let text = page[rules].1.replace("drop: .*-debug, ", "");
    std::fs::write(folder.path().join("rules.yaml"), text).unwrap();
    let (code, out, _) = metahub(folder.path(), &args);
    assert_eq!(code, 1);
    assert!(
        out.contains("tags: expected [stable, v1], found [stable, v1, v1-debug]"),
        "{out}"
    );
}

#[test]
fn the_page_resolves_without_a_server() {
    let page = blocks(&read(&root().join("docs/curating.md")));
    let folder = tempfile::tempdir().unwrap();
    let site = &page
        .iter()
        .find(|(language, _)| language == "yaml")
        .unwrap()
        .1;
    std::fs::write(folder.path().join("site.yaml"), site).unwrap();
    image(&folder.path().join("app"), &["arch:zen2", "arch:zen3"]);
    image(&folder.path().join("tools"), &[]);
    std::fs::write(folder.path().join("metahub.yaml"), "offline: true\n").unwrap();
    let commands = page
        .iter()
        .find(|(_, text)| text.starts_with("metahub resolve "));
    let mut answers = Vec::new();
    for command in commands.unwrap().1.lines() {
        let args: Vec<_> = command.split_whitespace().skip(1).collect();
        let (code, out, error) = metahub(folder.path(), &args);
        if command.contains("--config") {
            // Nothing is fetched here, so that it is told that the image is not at hand.
            assert_eq!(code, 1, "{command}: {out}");
            assert!(error.contains("lab/app"), "{error}");
            continue;
        }
        assert_eq!(code, 0, "{command}: {error}");
        answers.push(out);
    }
    let [short, explained, json] = answers.as_slice() else {
        panic!("{answers:?}");
    };
    assert!(short.starts_with("lab/app@sha256:"), "{short}");
    assert!(explained.starts_with(short.as_str()), "{explained}");
    assert!(explained.contains("1 layers of site/tools"), "{explained}");
    let json: Value = serde_json::from_str(json).unwrap();
    assert_eq!(
        short.trim_end(),
        format!("lab/app@{}", json["digest"].as_str().unwrap())
    );
}

/// What `skopeo copy --all IMAGE dir:FOLDER` writes, without layers: an index of one image for each
/// feature, or a single image.
fn image(folder: &Path, features: &[&str]) {
    std::fs::create_dir(folder).unwrap();
    let hex = |text: &str| {
        digest_of(text.as_bytes())
            .trim_start_matches("sha256:")
            .to_owned()
    };
    let single = |name: &str| {
        let layer = digest_of(name.as_bytes());
        let config = json!({
            "architecture": "amd64", "os": "linux",
            "rootfs": {"type": "layers", "diff_ids": [layer]},
        })
        .to_string();
        std::fs::write(folder.join(hex(&config)), &config).unwrap();
        json!({
            "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": {
                "mediaType": "application/vnd.oci.image.config.v1+json",
                "digest": digest_of(config.as_bytes()), "size": config.len(),
            },
            "layers": [{
                "mediaType": "application/vnd.oci.image.layer.v1.tar",
                "digest": layer, "size": name.len(),
            }],
        })
        .to_string()
    };
    let entries: Vec<Value> = features
        .iter()
        .map(|feature| {
            let text = single(feature);
            std::fs::write(folder.join(hex(&text) + ".manifest.json"), &text).unwrap();
            json!({
                "mediaType": "application/vnd.oci.image.manifest.v1+json",
                "digest": digest_of(text.as_bytes()), "size": text.len(),
                "platform": {"os": "linux", "architecture": "amd64", "features": [feature]},
            })
        })
        .collect();
    let root = if entries.is_empty() {
        single("tools")
    } else {
        json!({
            "schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json",
            "manifests": entries,
        })
        .to_string()
    };
    std::fs::write(folder.join("manifest.json"), root).unwrap();
}
