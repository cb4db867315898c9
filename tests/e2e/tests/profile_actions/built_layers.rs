//! A layer image that `metahub layer build` made, added by a profile and run by real clients.

use metahub_e2e::docker::Docker;
use metahub_e2e::metahub::command;
use metahub_e2e::podman::Podman;
use metahub_e2e::skopeo::Skopeo;

use crate::lab::lab;

#[test]
fn docker_and_podman_run_images_with_a_layer_that_metahub_built() {
    let Some(metahub) = lab(&[]) else { return };
    let work = tempfile::tempdir().unwrap();
    let folder = work.path().join("tools");
    std::fs::create_dir_all(folder.join("opt/bin")).unwrap();
    std::fs::write(folder.join("opt/bin/note"), "built without an engine\n").unwrap();
    std::os::unix::fs::symlink("note", folder.join("opt/bin/link")).unwrap();
    let source = folder.to_str().unwrap();
    // In place of the one that Docker made.
    let image = metahub.image("lab/tools:latest");
    let build = [
        "layer",
        "build",
        source,
        "-t",
        &image,
        "--plain-http",
        "--format",
        "json",
    ];
    let pushed = command(&build)
        .dir(work.path())
        .env("HOME", work.path())
        .ok();
    let again = command(&build)
        .dir(work.path())
        .env("HOME", work.path())
        .ok();
    assert_eq!(pushed.stdout, again.stdout);
    let digest = pushed.ok_json()["digest"].clone();

    let (docker, podman) = (Docker::start(), Podman::new());
    let user = "site/tools";
    assert_eq!(
        docker.login(user, metahub.host(), user, "any").code,
        Some(0)
    );
    assert_eq!(
        podman.login(user, metahub.host(), user, "any").code,
        Some(0)
    );
    let shell = ["run", "--rm", "--network=host", "--entrypoint=/bin/sh"];
    let read = ["-c", "cat /opt/bin/note /opt/bin/link"];
    let expected = "built without an engine\nbuilt without an engine\n";
    let gzip = metahub.image("lab/gzip:v1");
    assert_eq!(docker.pull(user, &gzip).code, Some(0));
    let told = docker.cli(user).args(shell).arg(&gzip).args(read).ok();
    assert_eq!(told.stdout, expected);
    let zstd = metahub.image("lab/zstd:v1");
    assert_eq!(podman.pull(user, &zstd).code, Some(0));
    // The default limits are above what a nested machine allows.
    let limits = ["--ulimit=nofile=1024:1024", "--ulimit=nproc=1024:1024"];
    let run = podman.cli(user).args(shell).args(limits);
    let told = run.arg(&zstd).args(read).ok();
    assert_eq!(told.stdout, expected);

    // Other tools read the layout, and what they push is the same image.
    let layout = format!("oci:{}", work.path().join("layout").display());
    let build = [
        "layer",
        "build",
        source,
        "-t",
        "lab/tools:1",
        "--to",
        &layout,
    ];
    command(&build).ok();
    let copy = metahub.image("lab/copied:1");
    let (from, to) = (format!("{layout}:lab/tools:1"), format!("docker://{copy}"));
    let copied = Skopeo::new().copy(&from, &to, true);
    assert_eq!(copied.code, Some(0), "{copied}");
    let copied = metahub
        .get("/v2/lab/copied/manifests/1")
        .login(Some(("site/moved", "any")));
    let copied = copied.send().expect(200);
    assert_eq!(
        copied.header("docker-content-digest"),
        digest.as_str().unwrap()
    );
}
