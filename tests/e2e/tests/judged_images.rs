//! A single image that the hardware cannot run is refused to real clients, and a builder that
//! states no hardware gets it as it is.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test"
)]

use metahub_e2e::docker::{self, Docker};
use metahub_e2e::http::digest_of;
use metahub_e2e::metahub::{MetaHub, command};
use metahub_e2e::pusher::{CONFIG, LAYER, MANIFEST, Pusher, descriptor};
use metahub_e2e::require;
use metahub_e2e::skopeo::{self, Skopeo};
use serde_json::{Value, json};

const CONFIG_FILE: &str = "anonymous: write\nallow_any_host: false\nupstreams: []\n";

/// Pushes an image without files, and returns its descriptor.
fn push(metahub: &MetaHub, tag: &str, architecture: &str, labels: &Value, env: &[&str]) -> Value {
    let pusher = Pusher {
        host: metahub.host(),
        repository: "lab/app",
        login: None,
    };
    let layer = vec![0_u8; 1024];
    let config = json!({
        "architecture": architecture, "os": "linux",
        "config": {"Labels": labels, "Env": env, "Cmd": ["/none"]},
        "rootfs": {"type": "layers", "diff_ids": [digest_of(&layer)]},
    });
    let config = serde_json::to_vec(&config).unwrap();
    pusher.blob(&layer);
    pusher.blob(&config);
    let manifest = json!({
        "schemaVersion": 2, "mediaType": MANIFEST, "config": descriptor(CONFIG, &config),
        "layers": [descriptor(LAYER, &layer)],
    });
    let manifest = serde_json::to_vec(&manifest).unwrap();
    pusher.manifest(tag, MANIFEST, &manifest).expect(201);
    descriptor(MANIFEST, &manifest)
}

#[test]
fn docker_is_refused_what_the_machine_of_its_login_cannot_run() {
    if !require::root_and(docker::NEEDS) {
        return;
    }
    let metahub = MetaHub::start(CONFIG_FILE, &[]);
    push(&metahub, "arm", "arm64", &json!({}), &[]);
    push(
        &metahub,
        "zen4",
        "amd64",
        &json!({"io.archspec.cpu.target": "zen4"}),
        &[],
    );
    push(
        &metahub,
        "v3",
        "amd64",
        &json!({"io.archspec.cpu.target": "x86_64_v3"}),
        &[],
    );
    let docker = Docker::start();
    for (login, tag, refused) in [
        ("haswell", "arm", true),
        ("haswell", "zen4", true),
        ("haswell", "v3", false),
        ("zen5", "zen4", false),
        ("any", "zen4", false),
    ] {
        let _ = docker.login(login, metahub.host(), login, "any");
        let image = metahub.image(&format!("lab/app:{tag}"));
        let pulled = docker.cli(login).args(["pull", "--quiet", &image]).run();
        if refused {
            assert_eq!(pulled.code, Some(1), "{login} {tag}: {pulled}");
            pulled.says("no image fits").says(login);
        } else {
            assert_eq!(pulled.code, Some(0), "{login} {tag}: {pulled}");
        }
    }
}

#[test]
fn skopeo_is_shown_the_reason_and_copies_what_is_not_refused() {
    if !require::tools(skopeo::NEEDS) {
        return;
    }
    let metahub = MetaHub::start(CONFIG_FILE, &[]);
    let zen4 = json!({"io.archspec.cpu.target": "zen4"});
    push(&metahub, "zen4", "amd64", &zen4, &[]);
    let cuda = ["NVIDIA_REQUIRE_CUDA=cuda>=12.4"];
    push(&metahub, "cuda", "amd64", &json!({}), &cuda);
    for (login, tag, served) in [
        ("haswell", "zen4", false),
        ("zen5", "zen4", true),
        ("any", "zen4", true),
        ("haswell", "cuda", true),
        ("haswell+cuda=11.8", "cuda", false),
        ("haswell+cuda=12.8", "cuda", true),
    ] {
        let skopeo = Skopeo::new();
        let logged_in = skopeo.login(metahub.host(), login, "any");
        assert_eq!(logged_in.code, Some(0), "{logged_in}");
        let image = format!("docker://{}", metahub.image(&format!("lab/app:{tag}")));
        let layout = format!("oci:{}:copied", skopeo.path("layout").display());
        let copied = skopeo.copy(&image, &layout, true);
        assert_eq!(copied.code == Some(0), served, "{login} {tag}: {copied}");
        if !served {
            copied.says("no image fits").says(login);
        }
    }
    // The warning of an image that may not run is in the answer, for clients that show it.
    let manifest = |login: &str| {
        metahub
            .get("/v2/lab/app/manifests/cuda")
            .header("Accept", MANIFEST)
            .login(Some((login, "any")))
            .send()
            .expect(200)
    };
    let warning = manifest("haswell").header("warning").to_owned();
    assert!(warning.contains("the login states nothing"), "{warning}");
    assert_eq!(manifest("haswell+cuda=12.8").header("warning"), "");
    assert_eq!(manifest("any").header("warning"), "");
}

#[test]
fn the_command_tells_of_a_single_image_what_it_is_and_why_it_is_refused() {
    let metahub = MetaHub::start(CONFIG_FILE, &[]);
    push(&metahub, "arm", "arm64", &json!({}), &[]);
    push(
        &metahub,
        "cuda",
        "amd64",
        &json!({}),
        &["NVIDIA_REQUIRE_CUDA=cuda>=12.4"],
    );
    let server = format!("http://{}", metahub.host());
    let resolve = |tag: &str, login: &str| {
        let image = format!("lab/app:{tag}");
        command(&[
            "resolve",
            &image,
            "--as",
            login,
            "--explain",
            "--server",
            &server,
        ])
        .run()
    };
    let refused = resolve("arm", "haswell");
    assert_eq!(refused.code, Some(3), "{refused}");
    refused.says("is for arm64, and the machine is amd64");
    let served = resolve("arm", "neoverse_v1");
    assert_eq!(served.code, Some(0), "{served}");
    served.says("linux/arm64");
    let served = resolve("cuda", "haswell");
    assert_eq!(served.code, Some(0), "{served}");
    served.says("of which the login states nothing");
}

#[test]
fn of_two_builds_in_one_index_each_machine_gets_its_own_by_their_labels() {
    let metahub = MetaHub::start(CONFIG_FILE, &[]);
    let zen3 = push(
        &metahub,
        "a",
        "amd64",
        &json!({"io.archspec.cpu.target": "zen3"}),
        &[],
    );
    let v3 = push(
        &metahub,
        "b",
        "amd64",
        &json!({"io.archspec.cpu.target": "x86_64_v3"}),
        &[],
    );
    let entry = |image: &Value| {
        let mut entry = image.clone();
        entry["platform"] = json!({"os": "linux", "architecture": "amd64"});
        entry
    };
    let media_type = "application/vnd.oci.image.index.v1+json";
    let index = json!({
        "schemaVersion": 2, "mediaType": media_type, "manifests": [entry(&zen3), entry(&v3)],
    });
    let pusher = Pusher {
        host: metahub.host(),
        repository: "lab/app",
        login: None,
    };
    let index = serde_json::to_vec(&index).unwrap();
    pusher.manifest("both", media_type, &index).expect(201);
    for (login, expected) in [("haswell", &v3), ("zen4", &zen3)] {
        let answer = metahub
            .call("GET", "/api/v1/resolve?image=lab/app:both")
            .login(Some((login, "any")))
            .send()
            .expect(200)
            .json();
        assert_eq!(
            answer["manifest"], expected["digest"],
            "{login}: {}",
            answer["why"]
        );
        assert_eq!(answer["explanation"]["entries"][0]["read"], true);
    }
    let refused = metahub
        .call("GET", "/api/v1/resolve?image=lab/app:both")
        .login(Some(("x86_64_v2", "any")))
        .send();
    assert_eq!(refused.status, 404);
}
