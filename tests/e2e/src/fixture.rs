//! The upstream's content: images built by real tools from real software, pushed to a real
//! registry that is not ours.
//!
//! Built once and kept under the target folder, keyed by everything that goes in; afterwards it
//! is only ever served read-only. MetaHub has no part in making it.

use std::fs::File;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::buildah::Buildah;
use crate::docker::Docker;
use crate::http::{call, digest_of, get};
use crate::process::Cmd;
use crate::registry::Registry;
use crate::require;
use crate::skopeo::Skopeo;

mod awscli;

/// Beside the container tools: the compiler, the package tools and a static BusyBox.
pub const NEEDS: &[&str] = &[
    "docker",
    "dockerd",
    "containerd",
    "runc",
    "setpriv",
    "docker-registry",
    "buildah",
    "skopeo",
    "gcc",
    "busybox",
    "apt-get",
    "dpkg",
];

/// One build of `featuretest`: its tag, the name it prints, and the compiler's `-march`.
#[derive(Debug, Clone, Copy)]
pub struct Build {
    /// The tag in `qnib/featuretest`.
    pub tag: &'static str,
    /// What it prints after `arch:`, and what the index requires.
    pub target: &'static str,
    /// The compiler's name for it.
    pub march: &'static str,
}

/// Every build in `qnib/featuretest`, in the order of the index, the most general first.
pub const BUILDS: &[Build] = &[
    Build {
        tag: "x86_64_v2",
        target: "x86_64_v2",
        march: "x86-64-v2",
    },
    Build {
        tag: "skylake",
        target: "skylake",
        march: "skylake",
    },
    Build {
        tag: "cascadelake",
        target: "cascadeLake",
        march: "cascadelake",
    },
    Build {
        tag: "zen3",
        target: "zen3",
        march: "znver3",
    },
];

/// The images of the slides' collection: repository, tag and `-march`.
pub const GROMACS: &[(&str, &str, &str)] = &[
    ("qnib/gromacs-2021.5_gcc-7.3.1", "x86_64_v4", "x86-64-v4"),
    ("qnib/gromacs-2021.5_gcc-11.3.0", "zen3", "znver3"),
];

const SOURCE: &str = include_str!("../images/featuretest.c");
const INDEX_TYPE: &str = "application/vnd.oci.image.index.v1+json";

/// The folder that a [`Registry`] is to serve, built first where it is absent.
///
/// # Panics
/// When a tool fails; the message says which and shows what it printed.
#[must_use]
pub fn content() -> PathBuf {
    let compiler = Cmd::new("gcc").arg("--version").ok().stdout;
    let inputs = [
        SOURCE,
        include_str!("fixture.rs"),
        awscli::SOURCE,
        &compiler,
    ]
    .join("\n");
    let key = digest_of(inputs.as_bytes())[7..23].to_owned();
    let folder = target_folder().join("e2e-upstream");
    std::fs::create_dir_all(&folder).expect("the target folder is writable");
    // Test programs may run at the same time: the first builds, the others wait for it.
    let lock = File::create(folder.join("lock")).expect("the target folder is writable");
    lock.lock().expect("the target folder supports locks");
    let done = folder.join(&key);
    if !done.exists() {
        // What earlier inputs gave, and what an interrupted build left.
        for old in std::fs::read_dir(&folder)
            .expect("it was made above")
            .filter_map(Result::ok)
        {
            let _ = std::fs::remove_dir_all(old.path());
        }
        let partial = folder.join("partial");
        build(&partial);
        std::fs::rename(&partial, &done).expect("both are in one folder");
    }
    done
}

/// `target/`, found from where the test program is (`target/PROFILE/deps/PROGRAM`).
///
/// # Panics
/// When the program is somewhere else.
#[must_use]
pub fn target_folder() -> PathBuf {
    let program = std::env::current_exe().expect("a program knows its own path");
    let folder = program
        .ancestors()
        .nth(3)
        .expect("a test program is in target/PROFILE/deps");
    folder.to_owned()
}

fn build(root: &Path) {
    std::fs::create_dir_all(root).expect("the target folder is writable");
    let work = tempfile::tempdir().expect("the temporary folder is writable");
    let base = work.path().join("base");
    base_userland(&base);
    let registry = Registry::writable(root);
    let host = registry.host();
    let docker = Docker::start();
    for build in BUILDS {
        compile(build.target, build.march, &work.path().join("featuretest"));
        build_with_docker(
            &docker,
            work.path(),
            &format!("{host}/qnib/featuretest:{}", build.tag),
        );
    }
    push_index(host);
    awscli::build(
        &docker,
        work.path(),
        &format!("{host}/qnib/layer-awscli:latest"),
    );
    let buildah = Buildah::new();
    for (repository, tag, march) in GROMACS {
        let program = work.path().join("gmx/usr/bin");
        std::fs::create_dir_all(&program).expect("the temporary folder is writable");
        compile(tag, march, &program.join("gmx"));
        let name = format!(
            "{}:{tag}",
            repository.rsplit('/').next().unwrap_or(repository)
        );
        buildah.build(&name, &[&base, &work.path().join("gmx")], "gmx");
        let image = format!("{host}/{repository}:{tag}");
        assert!(
            buildah.push(&name, &image).code == Some(0),
            "buildah could not push {image}"
        );
    }
    let copied = Skopeo::new().copy(
        &format!("docker://{host}/qnib/featuretest:x86_64_v2"),
        &format!("docker://{host}/library/plain:1.0"),
        true,
    );
    assert!(copied.code == Some(0), "skopeo could not copy:\n{copied}");
}

/// A userland of one static BusyBox.
fn base_userland(root: &Path) {
    let bin = root.join("bin");
    for folder in ["bin", "tmp", "etc", "usr/bin"] {
        std::fs::create_dir_all(root.join(folder)).expect("the temporary folder is writable");
    }
    let busybox = require::find("busybox").expect("its presence is required before");
    std::fs::copy(busybox, bin.join("busybox")).expect("the temporary folder is writable");
    Cmd::new("chroot")
        .arg(root)
        .args(["/bin/busybox", "--install", "-s", "/bin"])
        .ok();
    std::fs::write(root.join("etc/passwd"), "root:x:0:0:root:/:/bin/sh\n")
        .expect("the temporary folder is writable");
}

fn compile(target: &str, march: &str, program: &Path) {
    let source = program.with_extension("c");
    std::fs::write(&source, SOURCE).expect("the temporary folder is writable");
    Cmd::new("gcc")
        .args(["-O2", "-static", "-s", &format!("-march={march}")])
        .arg(format!("-DTARGET=\"{target}\""))
        .arg(&source)
        .arg("-o")
        .arg(program)
        .ok();
    std::fs::remove_file(source).expect("it was written just before");
}

/// Two layers, as on the slides: the userland, then the program.
fn build_with_docker(docker: &Docker, context: &Path, image: &str) {
    let file = "FROM scratch\nCOPY base/ /\nCOPY featuretest /usr/bin/featuretest\n\
                ENV PATH=/usr/local/bin:/usr/bin:/bin\nCMD [\"featuretest\"]\n";
    build_and_push(docker, context, file, image);
}

fn build_and_push(docker: &Docker, context: &Path, file: &str, image: &str) {
    std::fs::write(context.join("Dockerfile"), file).expect("the temporary folder is writable");
    docker
        .cli("builder")
        .args(["build", "--quiet", "--tag", image])
        .arg(context)
        .ok();
    docker.cli("builder").args(["push", "--quiet", image]).ok();
}

/// `qnib/featuretest:latest`: an index whose entries carry `platform.features`, which no client
/// tool writes.
fn push_index(host: &str) {
    let entries: Vec<Value> = BUILDS
        .iter()
        .map(|build| {
            let manifest = manifest_of(host, "qnib/featuretest", build.tag);
            json!({
                "mediaType": manifest.0,
                "size": manifest.1.len(),
                "digest": digest_of(&manifest.1),
                "platform": {
                    "architecture": "amd64",
                    "os": "linux",
                    "features": [format!("arch:{}", build.target)],
                },
            })
        })
        .collect();
    let index = json!({ "schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": entries });
    call(host, "PUT", "/v2/qnib/featuretest/manifests/latest")
        .header("Content-Type", INDEX_TYPE)
        .body(serde_json::to_vec_pretty(&index).expect("it is plain JSON"))
        .send()
        .expect(201);
}

/// Media type and bytes of the manifest under `reference`, of whatever type the registry holds.
#[must_use]
pub fn manifest_of(host: &str, repository: &str, reference: &str) -> (String, Vec<u8>) {
    let types = "application/vnd.oci.image.index.v1+json, \
                 application/vnd.oci.image.manifest.v1+json, \
                 application/vnd.docker.distribution.manifest.list.v2+json, \
                 application/vnd.docker.distribution.manifest.v2+json";
    let answer = get(host, &format!("/v2/{repository}/manifests/{reference}"))
        .header("Accept", types)
        .send()
        .expect(200);
    (answer.header("content-type").to_owned(), answer.body)
}
