//! CPU targets as logins: those that are known, those that a site adds, and other names for them.

use metahub_e2e::docker::{self, Docker};
use metahub_e2e::http::digest_of;
use metahub_e2e::metahub::MetaHub;
use metahub_e2e::require;

use crate::site::{BUILDS, CONFIG_FILE, GIVEN, Says, gives, one_file, partial, push, resolve};

#[test]
fn every_cpu_target_is_a_login_that_gets_the_right_image_under_docker() {
    if !require::root_and(docker::NEEDS) {
        return;
    }
    let (metahub, digests) = partial();
    let docker = Docker::start();
    let image = metahub.image("app:1.0");
    let mut looked_at = 0;
    for (given, targets) in GIVEN {
        let architecture = BUILDS.iter().find(|(target, _)| target == given);
        for target in targets.split_whitespace() {
            looked_at += 1;
            let login = docker.login(target, metahub.host(), target, "any");
            assert_eq!(login.code, Some(0), "{login}");
            let platform =
                architecture.map_or("linux/amd64".to_owned(), |(_, a)| format!("linux/{a}"));
            let pulled = docker
                .cli(target)
                .args(["pull", "--quiet", "--platform", &platform, &image])
                .run();
            let Some((_, digest)) = digests.iter().find(|(target, _)| target == given) else {
                assert_eq!(pulled.code, Some(1), "{pulled}");
                pulled.says("no image fits").says(target);
                continue;
            };
            assert_eq!(pulled.code, Some(0), "{pulled}");
            let shown = docker
                .cli(target)
                .args([
                    "image",
                    "inspect",
                    "--format",
                    "{{.Architecture}} {{json .RootFS.Layers}}",
                    &image,
                ])
                .ok();
            let file = one_file("name", format!("lab/app:{given}").as_bytes());
            shown.says(&digest_of(&file));
            shown.says(architecture.unwrap().1);
            let served = resolve(&metahub, &format!("app:1.0&platform={platform}"), target);
            assert_eq!(&served.unwrap().0, digest, "{target}");
        }
    }
    assert!(looked_at >= 80);
}

#[test]
fn a_site_adds_targets_aliases_and_fallbacks() {
    let config = format!(
        "{CONFIG_FILE}hardware:\n  targets:\n    zen9: {{from: [zen5], vendor: AuthenticAMD}}\n  \
         aliases: {{our-nodes: zen9}}\n  fallbacks: {{grace: [neoverse_v1]}}\n"
    );
    let document = "
manifests:
  - name: app
    manifests:
      - {image: 'lab/app:v1', platform: {features: ['arch:neoverse_v1']}}
      - {image: 'lab/app:zen5', platform: {features: ['arch:zen5']}}
      - {image: 'lab/app:zen9', platform: {features: ['arch:our-nodes']}}
";
    let metahub = MetaHub::start(&config, &[("app.yaml", document)]);
    let v1 = push(&metahub, "lab/app:v1", "arm64", &Says::default());
    let zen5 = push(&metahub, "lab/app:zen5", "amd64", &Says::default());
    let zen9 = push(&metahub, "lab/app:zen9", "amd64", &Says::default());
    for login in ["our-nodes", "zen9", "Zen-9"] {
        gives(&metahub, "app", login, &zen9);
    }
    gives(&metahub, "app", "zen6", &zen5);
    for login in ["grace", "neoverse_v2"] {
        let answer = gives(&metahub, "app&platform=linux/arm64", login, &v1);
        let why = answer["why"].as_str().unwrap();
        assert!(why.contains("the site's configuration says so"), "{why}");
    }
    // Without the site's word, nobody may say so.
    let error = resolve(&metahub, "app&platform=linux/arm64", "neoverse_n2").unwrap_err();
    assert!(error.contains("no image fits"), "{error}");
    // Neither docker nor anybody else needs to know of it to be refused an unknown name.
    let unknown = metahub
        .call("GET", "/api/v1/resolve?image=app")
        .login(Some(("zen99", "any")))
        .send();
    assert_eq!(unknown.status, 401);
}

#[test]
fn hardware_is_called_what_people_call_it() {
    let document = "
manifests:
  - name: app
    manifests:
      - {image: 'lab/app:v3', platform: {features: ['arch:amd64/v3']}}
      - {image: 'lab/app:zen3', platform: {features: ['arch:x86_64/amd/zen3']}}
      - {image: 'lab/app:skx', platform: {features: ['cpu:skylake-avx512']}}
      - {image: 'lab/app:gpu', platform: {features: ['arch:znver3', 'cc:sm_90']}}
      - {image: 'lab/app:grace', platform: {features: ['arch:aarch64/nvidia/grace']}}
";
    let metahub = MetaHub::start(CONFIG_FILE, &[("app.yaml", document)]);
    let pushed = |name: &str, architecture: &str| {
        push(
            &metahub,
            &format!("lab/app:{name}"),
            architecture,
            &Says::default(),
        )
    };
    let (v3, zen3) = (pushed("v3", "amd64"), pushed("zen3", "amd64"));
    let (skx, gpu) = (pushed("skx", "amd64"), pushed("gpu", "amd64"));
    let grace = pushed("grace", "arm64");
    for (logins, expected) in [
        (
            &[
                "amd64/v3",
                "x86-64-v3",
                "linux/amd64/v3",
                "haswell",
                "cpu=x86_64/amd/zen2",
            ][..],
            &v3,
        ),
        (
            &[
                "x86_64/amd/zen3",
                "znver3",
                "Zen-3",
                "EPYC-Milan",
                "x86_64/amd/zen4",
            ],
            &zen3,
        ),
        (
            &[
                "icelake_server",
                "Icelake-Client",
                "skylake-avx512",
                "x86_64/intel/cascadelake",
            ],
            &skx,
        ),
        (&["x86_64/amd/zen4+accel/nvidia/cc90"], &gpu),
    ] {
        for login in logins {
            gives(&metahub, "app", login, expected);
        }
    }
    for login in ["aarch64/nvidia/grace", "neoverse-v2", "graviton4"] {
        gives(&metahub, "app&platform=linux/arm64", login, &grace);
    }
}
