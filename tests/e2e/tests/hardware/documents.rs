//! `metahub check` and `metahub coverage` with images.

use metahub_e2e::metahub::{MetaHub, command};
use metahub_e2e::process::Outcome;
use serde_json::json;

use crate::site::{CONFIG_FILE, Says, push};

/// `metahub COMMAND ... --server THIS`, with this server's documents.
fn ask(metahub: &MetaHub, args: &[&str], more: &[&str]) -> Outcome {
    let server = format!("http://{}", metahub.host());
    let folder = metahub.catalog();
    let folder = folder.to_str().unwrap();
    let mut all: Vec<&str> = args.to_vec();
    all.extend([folder, "--images", "--server", &server]);
    all.extend(more);
    command(&all).run()
}

#[test]
fn check_tells_where_entries_and_images_disagree() {
    let document = "
manifests:
  - name: app
    manifests:
      - {image: 'lab/app:wrong', platform: {features: ['arch:x86_64_v3']}}
      - {image: 'lab/app:right', platform: {features: ['arch:zen4']}}
      - {image: 'lab/app:arm', platform: {features: ['arch:zen2']}}
      - {image: 'lab/app:missing'}
";
    let metahub = MetaHub::start(CONFIG_FILE, &[("app.yaml", document)]);
    let zen3 = || Says {
        labels: json!({"io.archspec.cpu.target": "zen3"}),
        annotations: json!({"org.supercontainers.hardware.gpu.cuda.version": "new"}),
        ..Says::default()
    };
    push(&metahub, "lab/app:wrong", "amd64", &zen3());
    push(&metahub, "lab/app:right", "amd64", &zen3());
    push(&metahub, "lab/app:arm", "arm64", &Says::default());
    let said = ask(&metahub, &["check"], &["--format", "short"]);
    assert_eq!(said.code, Some(0), "{said}");
    let lines: Vec<&str> = said.stdout.lines().collect();
    assert_eq!(lines.len(), 5, "{said}");
    for (line, at, says) in [
        (
            lines[0],
            "app.yaml:5:9: warning: ",
            "it requires arch:zen3, and the entry asks for arch:x86_64_v3 only",
        ),
        (
            lines[1],
            "app.yaml:5:9: warning: ",
            "says \"new\"; expected a version without an operator",
        ),
        (
            lines[2],
            "app.yaml:6:9: warning: ",
            "says \"new\"; expected a version without an operator",
        ),
        (
            lines[3],
            "app.yaml:7:9: warning: ",
            "is for linux/amd64, and lab/app:arm was built for linux/arm64",
        ),
        (
            lines[4],
            "app.yaml:8:9: warning: ",
            "lab/app:missing could not be read",
        ),
    ] {
        assert!(line.contains(at) && line.contains(says), "{line}\n{says}");
    }
}

#[test]
fn coverage_reads_images_for_what_documents_do_not_say() {
    let document = "
manifests:
  - name: app
    manifests:
      - {image: 'lab/app:zen3'}
      - {image: 'lab/app:arm'}
";
    let metahub = MetaHub::start(CONFIG_FILE, &[("app.yaml", document)]);
    let says = Says {
        labels: json!({"io.archspec.cpu.target": "zen3"}),
        ..Says::default()
    };
    push(&metahub, "lab/app:zen3", "amd64", &says);
    push(&metahub, "lab/app:arm", "arm64", &Says::default());
    let targets = "zen3,zen5,icelake,neoverse_v1";
    let said = ask(
        &metahub,
        &["coverage", "--targets", targets, "--catalog"],
        &["--format", "json"],
    );
    let table = said.ok_json();
    let cells = table["rows"][0]["cells"].as_array().unwrap().clone();
    let kinds: Vec<&str> = cells
        .iter()
        .map(|cell| cell["kind"].as_str().unwrap())
        .collect();
    assert_eq!(kinds, ["exact", "fallback", "none", "generic"], "{table}");
    assert_eq!(cells[1]["to"], "zen3");
    let page = ask(
        &metahub,
        &["coverage", "--targets", targets, "--catalog"],
        &["--format", "html"],
    );
    assert_eq!(page.code, Some(0), "{page}");
    page.says("<!doctype html>").says("class=\"exact\"");
}
