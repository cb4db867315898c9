//! A registry with images that no demo built: one in Docker's format with gzip layers, the same in
//! the OCI format with zstd layers, and a layer image.

use metahub_e2e::docker::{self, Docker};
use metahub_e2e::metahub::MetaHub;
use metahub_e2e::podman;
use metahub_e2e::process::Cmd;
use metahub_e2e::require;
use metahub_e2e::skopeo::{self, Skopeo};

pub(crate) const PROFILES: &str = "
profiles:
  - name: site/wrapped
    actions:
      - name: config-set
        event: post-manifest-get
        when: {repository: 'lab/(gzip|zstd)', not: {label: {plain: 'yes'}}}
        args:
          wrap: [/bin/echo, launched]
          env: {set: {SIMD: AVX2}, prepend: {PATH: '/opt/bin:'}}
          working_dir: /bin
          labels: {site: here}
      - {name: annotate, event: post-manifest-get, args: {annotations: {org.example.site: here}}}
  - name: site/tools
    actions:
      - {name: manifest-add, event: post-manifest-get, args: {layers: [lab/tools], position: after}}
  - name: site/moved
    actions:
      - {name: redirect, event: pre-manifest-get, args: {repository: lab/old, to: lab/gzip}}
  - name: site/closed
    actions:
      - {name: deny, event: pre-manifest-get, when: {repository: lab/gzip}, args: {message: not on this cluster}}
  - name: site/tags
    actions:
      - {name: tags-filter, event: post-tags-list-get, args: {repository: lab/gzip, drop: '.*-debug', add: [stable]}}
";

/// A MetaHub that holds `lab/gzip`, `lab/zstd` and the layer image `lab/tools`.
pub(crate) fn lab(tools: &[&str]) -> Option<MetaHub> {
    let needs = [
        docker::NEEDS,
        podman::NEEDS,
        skopeo::NEEDS,
        &["busybox"],
        tools,
    ]
    .concat();
    if !require::root_and(&needs) {
        return None;
    }
    let config = "anonymous: write\noffline: true\nupstreams: []";
    let metahub = MetaHub::start(config, &[("lab.yaml", PROFILES)]);
    let work = tempfile::tempdir().unwrap();
    let at = |name: &str| work.path().join(name);
    let busybox = require::find("busybox").unwrap();
    for folder in ["base/bin", "tools/opt/bin"] {
        std::fs::create_dir_all(at(folder)).unwrap();
    }
    std::fs::copy(&busybox, at("base/bin/busybox")).unwrap();
    for name in ["sh", "echo", "pwd", "env", "cat"] {
        std::os::unix::fs::symlink("busybox", at("base/bin").join(name)).unwrap();
    }
    std::fs::write(at("tools/opt/bin/note"), "from the layer\n").unwrap();
    for (folder, archive) in [("base", "base.tar"), ("tools", "tools.tar")] {
        let archive = at(archive);
        let mut tar = Cmd::new("tar")
            .arg("-C")
            .arg(at(folder))
            .arg("-cf")
            .arg(archive);
        tar = tar.arg(".");
        tar.ok();
    }
    let docker = Docker::start();
    for (archive, image, change) in [
        (
            "base.tar",
            "lab/gzip:v1",
            r#"ENTRYPOINT ["/bin/echo", "app"]"#,
        ),
        ("tools.tar", "lab/tools:latest", "LABEL layer=tools"),
    ] {
        let image = metahub.image(image);
        let import = docker.cli("builder").args(["import", "--change", change]);
        import.arg(at(archive)).arg(&image).ok();
        assert_eq!(docker.push("builder", &image).code, Some(0));
    }
    // The same image in the other format, its layers compressed anew.
    let skopeo = Skopeo::new();
    let from = format!("docker://{}", metahub.image("lab/gzip:v1"));
    let to = format!("docker://{}", metahub.image("lab/zstd:v1"));
    skopeo
        .cli()
        .args(["copy", "--src-tls-verify=false", "--dest-tls-verify=false"])
        .args(["--format=oci", "--dest-compress-format=zstd"])
        .args([&from, &to])
        .ok();
    Some(metahub)
}
