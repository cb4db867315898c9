//! The container image as people run it: without root, on a root file system that cannot be
//! written, with its data in a volume that outlives the container.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test"
)]

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use metahub_e2e::daemon::Daemon;
use metahub_e2e::metahub::listening;
use metahub_e2e::podman::{self, Podman};
use metahub_e2e::process::Cmd;
use metahub_e2e::pusher::Pusher;
use metahub_e2e::{buildah, metahub, require};

const VOLUME: &str = "metahub-data:/var/lib/metahub";
/// The user of the image.
const USER: u32 = 65532;

fn script() -> Cmd {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    Cmd::new(folder.join("../../scripts/build-image")).shown("scripts/build-image")
}

/// Runs the image as `docs/install.md` says, on a port of its own, and gives its address.
fn run(podman: &Podman, options: &[&str], image: &str) -> (Daemon, String) {
    let command = podman
        .cli("any")
        .args(["run", "--rm", "--read-only", "--read-only-tmpfs=false"])
        .args(["--cap-drop=all", "--security-opt=no-new-privileges"])
        .args(["--volume", VOLUME, "--network=host"])
        .args(["--ulimit=nofile=1024:1024", "--ulimit=nproc=1024:1024"])
        .args(["--env=METAHUB_LISTEN=127.0.0.1:0", "--env=NO_COLOR=1"])
        .args(options)
        .arg(image);
    let mut daemon = Daemon::start("podman run metahub", &command);
    let host = listening(&mut daemon);
    (daemon, host)
}

fn lab(host: &str) -> Pusher<'_> {
    Pusher {
        host,
        repository: "lab/app",
        login: Some(("zen3", "any")),
    }
}

#[test]
fn the_image_serves_without_root_and_its_volume_outlives_it() {
    let tools = [podman::NEEDS, buildah::NEEDS, &["setpriv", "strip"]].concat();
    if !require::root_and(&tools) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| -> PathBuf { folder.path().join(name) };
    Cmd::new("strip")
        .arg(metahub::program())
        .arg("-o")
        .arg(path("metahub"))
        .ok();
    let build = || {
        script()
            .arg("--binary")
            .arg(path("metahub"))
            .arg("--out")
            .arg(path("image.tar"))
    };
    let dynamic = std::fs::read(path("metahub")).unwrap();
    let dynamic = dynamic.windows(8).any(|bytes| bytes == b"ld-linux");
    if dynamic {
        // What has no libraries in the image would not start.
        build().fails().says("is not static");
        build().arg("--libraries").ok();
    } else {
        build().ok();
    }
    let podman = Podman::new();
    podman
        .cli("any")
        .args(["load", "--quiet", "--input"])
        .arg(path("image.tar"))
        .ok();
    let image = format!("localhost/metahub:{}", env!("CARGO_PKG_VERSION"));

    let (mut first, host) = run(&podman, &["--env=METAHUB_ANONYMOUS=write"], &image);
    let answer = metahub_e2e::http::get(&host, "/v2/").send();
    assert_eq!(answer.status, 401, "{answer}");
    let layer = vec![7; 300_000];
    let pushed = lab(&host).image("1.0", "amd64", &layer);
    let digest = pushed["digest"].as_str().unwrap();
    first.terminate();
    assert!(first.log().contains("MetaHub listens"), "{}", first.log());

    // A new container, another configuration, and the same content.
    std::fs::write(
        path("site.yaml"),
        "data: /var/lib/metahub\nread_only: true\n",
    )
    .unwrap();
    let mount = format!(
        "--volume={}:/etc/metahub/metahub.yaml:ro",
        path("site.yaml").display()
    );
    let (mut second, host) = run(&podman, &[&mount], &image);
    let manifest = format!("manifests/{digest}");
    lab(&host).call("GET", &manifest).send().expect(200);
    lab(&host).call("POST", "blobs/uploads/").send().expect(405);
    second.terminate();

    let volume = podman
        .cli("any")
        .args([
            "volume",
            "inspect",
            "--format",
            "{{.Mountpoint}}",
            "metahub-data",
        ])
        .ok();
    let volume = PathBuf::from(volume.stdout.trim());
    let mut seen = 0;
    for entry in std::fs::read_dir(&volume).unwrap() {
        let found = entry.unwrap().metadata().unwrap();
        assert_eq!((found.uid(), found.mode() & 0o077), (USER, 0), "{volume:?}");
        seen += 1;
    }
    assert!(seen > 1, "{volume:?} has {seen} entries");
}
