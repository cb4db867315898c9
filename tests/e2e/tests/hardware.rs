//! Choosing by hardware, from outside: every CPU target as a login under a real Docker, what
//! images say of themselves, what a site adds, and the commands that show it.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test"
)]

use metahub_e2e::docker::{self, Docker};
use metahub_e2e::http::digest_of;
use metahub_e2e::metahub::{MetaHub, command};
use metahub_e2e::process::Outcome;
use metahub_e2e::pusher::{CONFIG, LAYER, MANIFEST, Pusher, descriptor};
use metahub_e2e::require;
use serde_json::{Value, json};

const CONFIG_FILE: &str = "anonymous: write\nallow_any_host: false\nupstreams: []\n";

/// What an image says of itself beside its platform.
#[derive(Default)]
struct Says<'a> {
    labels: Value,
    annotations: Value,
    env: &'a [&'a str],
    variant: Option<&'a str>,
}

/// Pushes an image whose only file tells its name, and returns its digest.
fn push(metahub: &MetaHub, name: &str, architecture: &str, says: &Says<'_>) -> String {
    let (repository, tag) = name.split_once(':').unwrap();
    let pusher = Pusher {
        host: metahub.host(),
        repository,
        login: None,
    };
    let layer = one_file("name", name.as_bytes());
    let config = json!({
        "architecture": architecture,
        "os": "linux",
        "variant": says.variant,
        "config": { "Env": says.env, "Labels": says.labels, "Cmd": ["/name"] },
        "rootfs": { "type": "layers", "diff_ids": [digest_of(&layer)] },
    });
    let config = serde_json::to_vec(&config).unwrap();
    pusher.blob(&layer);
    pusher.blob(&config);
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": descriptor(CONFIG, &config),
        "layers": [descriptor(LAYER, &layer)],
        "annotations": says.annotations,
    });
    let manifest = serde_json::to_vec(&manifest).unwrap();
    pusher.manifest(tag, MANIFEST, &manifest).expect(201);
    digest_of(&manifest)
}

/// A tar archive of one file.
fn one_file(name: &str, content: &[u8]) -> Vec<u8> {
    let mut header = [0_u8; 512];
    header[..name.len()].copy_from_slice(name.as_bytes());
    header[100..107].copy_from_slice(b"0000644");
    header[108..115].copy_from_slice(b"0000000");
    header[116..123].copy_from_slice(b"0000000");
    header[124..135].copy_from_slice(format!("{:011o}", content.len()).as_bytes());
    header[136..147].copy_from_slice(b"00000000000");
    header[156] = b'0';
    header[257..265].copy_from_slice(b"ustar\x0000");
    header[148..156].copy_from_slice(b"        ");
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
    let mut archive = header.to_vec();
    archive.extend_from_slice(content);
    archive.resize(archive.len().div_ceil(512) * 512 + 1024, 0);
    archive
}

/// The manifest that `login` ends with, and the whole answer; or what the refusal says.
fn resolve(metahub: &MetaHub, image: &str, login: &str) -> Result<(String, Value), String> {
    let answer = metahub
        .call("GET", &format!("/api/v1/resolve?image={image}"))
        .login(Some((login, "any")))
        .send();
    let body = answer.json();
    match answer.status {
        200 => Ok((body["manifest"].as_str().unwrap().to_owned(), body)),
        404 => Err(body["errors"][0]["message"].as_str().unwrap().to_owned()),
        other => panic!("{other}: {body}"),
    }
}

#[track_caller]
fn gives(metahub: &MetaHub, image: &str, login: &str, expected: &str) -> Value {
    let (manifest, answer) = resolve(metahub, image, login).unwrap();
    assert_eq!(manifest, expected, "{login}: {}", answer["why"]);
    answer
}

/// Builds for some targets only, and for none that every machine runs.
const BUILDS: &[(&str, &str)] = &[
    ("x86_64_v2", "amd64"),
    ("haswell", "amd64"),
    ("skylake_avx512", "amd64"),
    ("zen3", "amd64"),
    ("neoverse_n1", "arm64"),
    ("a64fx", "arm64"),
    ("power9le", "ppc64le"),
    ("armv8.2a", "arm64"),
];

/// Which of them each target is given, as worked out from Python archspec's data.
const GIVEN: &[(&str, &str)] = &[
    (
        "-",
        "aarch64 arm armv8.1a core2 cortex_a72 i686 k10 nocona pentium2 pentium3 pentium4 power10 \
         power7 power8 power8le power9 ppc ppc64 ppc64le ppcle prescott riscv64 sparc sparc64 \
         thunderx2 u74mc x60 x86 x86_64",
    ),
    (
        "x86_64_v2",
        "bulldozer excavator ivybridge nehalem piledriver sandybridge steamroller westmere \
         x86_64_v2 x86_64_v3 x86_64_v4 zen zen2",
    ),
    (
        "haswell",
        "alderlake arrowlake arrowlake_s broadwell cannonlake haswell mic_knl skylake",
    ),
    (
        "skylake_avx512",
        "cascadelake cooperlake graniterapids icelake sapphirerapids skylake_avx512",
    ),
    ("zen3", "zen3 zen4 zen5 zen6"),
    ("power9le", "power10le power9le"),
    (
        "armv8.2a",
        "armv8.2a armv8.3a armv8.4a armv8.5a armv8.6a armv9.0a armv9.2a m1 m2 m3 m4 olympus",
    ),
    ("a64fx", "a64fx"),
    (
        "neoverse_n1",
        "ampere1 ampere1a neoverse_n1 neoverse_n2 neoverse_v1 neoverse_v2 neoverse_v3ae",
    ),
];

/// A collection of [`BUILDS`], and the digest of each.
fn partial() -> (MetaHub, Vec<(&'static str, String)>) {
    let entries: Vec<String> = BUILDS
        .iter()
        .map(|(target, _)| {
            format!(
                "      - {{image: 'lab/app:{target}', platform: {{features: ['arch:{target}']}}}}\n"
            )
        })
        .collect();
    let document = format!(
        "manifests:\n  - name: app\n    tag: 1.0\n    manifests:\n{}",
        entries.concat()
    );
    let metahub = MetaHub::start(CONFIG_FILE, &[("app.yaml", &document)]);
    let digests = BUILDS
        .iter()
        .map(|(target, architecture)| {
            let name = format!("lab/app:{target}");
            (
                *target,
                push(&metahub, &name, architecture, &Says::default()),
            )
        })
        .collect();
    (metahub, digests)
}

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
fn what_an_image_says_it_requires_is_heeded() {
    let document = "
manifests:
  - name: gpu
    manifests:
      - image: lab/gpu:cuda
      - image: lab/gpu:labelled
      - {image: 'lab/gpu:plain', platform: {features: []}}
";
    let metahub = MetaHub::start(CONFIG_FILE, &[("gpu.yaml", document)]);
    let cuda = push(
        &metahub,
        "lab/gpu:cuda",
        "amd64",
        &Says {
            env: &[
                "NVIDIA_REQUIRE_CUDA=cuda>=12.4 brand=tesla,driver>=470,driver<471",
                "NVIDIA_REQUIRE_ARCH=arch>=7.0",
            ],
            ..Says::default()
        },
    );
    let labelled = push(
        &metahub,
        "lab/gpu:labelled",
        "amd64",
        &Says {
            labels: json!({"io.archspec.cpu.target": "zen3"}),
            ..Says::default()
        },
    );
    let plain = push(
        &metahub,
        "lab/gpu:plain",
        "amd64",
        &Says {
            labels: json!({"io.archspec.cpu.target": "zen4"}),
            variant: Some("v4"),
            ..Says::default()
        },
    );
    gives(&metahub, "gpu", "x86_64_v2", &plain);
    gives(&metahub, "gpu", "zen3", &labelled);
    gives(&metahub, "gpu", "x86_64_v2+driver=550+cc=8.0", &cuda);
    gives(&metahub, "gpu", "x86_64_v2+driver=550+cc=6.0", &plain);
    gives(
        &metahub,
        "gpu",
        "x86_64_v2+driver=470.57+cc=8.0+brand=tesla",
        &cuda,
    );
    let answer = gives(
        &metahub,
        "gpu",
        "x86_64_v2+driver=470.57+cc=8.0+brand=geforce",
        &plain,
    );
    let entries = answer["explanation"]["entries"].to_string();
    assert!(entries.contains("nvidia-require:cuda>=12.4"), "{entries}");
    assert!(entries.contains("is not met by"), "{entries}");
}

#[test]
fn a_compatibility_artifact_that_refers_to_an_image_is_heeded() {
    let document = "
manifests:
  - name: app
    manifests:
      - image: lab/app:fast
      - image: lab/app:slow
";
    let metahub = MetaHub::start(CONFIG_FILE, &[("app.yaml", document)]);
    let fast = push(&metahub, "lab/app:fast", "amd64", &Says::default());
    let slow = push(&metahub, "lab/app:slow", "amd64", &Says::default());
    let pusher = Pusher {
        host: metahub.host(),
        repository: "lab/app",
        login: None,
    };
    let rules = b"version: v1alpha1
compatibilities:
- description: needs AVX-512 and a module
  tag: preferred
  weight: 10
  rules:
  - name: cpu
    matchFeatures:
    - feature: cpu.cpuid
      matchExpressions:
        AVX512F: {op: Exists}
  - name: kernel
    matchAny:
    - matchFeatures:
      - feature: kernel.loadedmodule
        matchName: {op: InRegexp, value: ['^vfio']}
    - matchFeatures:
      - feature: kernel.version
        matchExpressions:
          full: {op: Ge, value: ['6.6'], type: version}
          major: {op: GeLe, value: ['6', '9']}
";
    pusher.blob(rules);
    pusher.blob(b"{}");
    let subject = pusher
        .call("GET", &format!("manifests/{fast}"))
        .login(Some(("zen3", "any")))
        .header("Accept", MANIFEST)
        .send()
        .expect(200);
    let artifact = json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "artifactType": "application/vnd.nfd.image-compatibility.v1alpha1",
        "config": descriptor("application/vnd.oci.empty.v1+json", b"{}"),
        "layers": [descriptor("application/vnd.nfd.image-compatibility.spec.v1alpha1+yaml", rules)],
        "subject": descriptor(MANIFEST, &subject.body),
    });
    let artifact = serde_json::to_vec(&artifact).unwrap();
    pusher
        .manifest(&digest_of(&artifact), MANIFEST, &artifact)
        .expect(201);

    gives(&metahub, "app", "zen4+kernel=6.8", &fast);
    gives(&metahub, "app", "zen4+kernel.loadedmodule=vfio-pci", &fast);
    gives(&metahub, "app", "zen4+kernel=6.1", &slow);
    gives(&metahub, "app", "zen4", &slow);
    let answer = gives(&metahub, "app", "zen3+kernel=6.8", &slow);
    let entries = answer["explanation"]["entries"].to_string();
    assert!(entries.contains("cpu.cpuid AVX512F Exists"), "{entries}");
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

#[test]
fn a_choice_is_explained_entry_by_entry() {
    let document = "
manifests:
  - name: app
    manifests:
      - {image: 'lab/app:v3', platform: {features: ['arch:x86_64_v3']}}
      - {image: 'lab/app:zen3', platform: {features: ['arch:zen3']}}
      - {image: 'lab/app:zen2', platform: {features: ['arch:zen2', 'mpi:openmpi']}}
      - {image: 'lab/app:cuda', platform: {features: ['arch:zen3', 'cuda:12.4']}}
";
    let metahub = MetaHub::start(CONFIG_FILE, &[("app.yaml", document)]);
    let pushed = |name: &str| {
        push(
            &metahub,
            &format!("lab/app:{name}"),
            "amd64",
            &Says::default(),
        )
    };
    let v3 = pushed("v3");
    let zen3 = ["zen3", "zen2", "cuda"].map(pushed)[0].clone();
    assert_ne!(v3, zen3);
    let answer = gives(&metahub, "app", "zen4+mpi=mpich+driver=470.57", &zen3);
    let entries = answer["explanation"]["entries"].as_array().unwrap().clone();
    let told: Vec<(bool, Value, bool, &str)> = entries
        .iter()
        .map(|entry| {
            let is = |key: &str| entry[key].as_bool().unwrap();
            let reason = entry["reason"].as_str().unwrap();
            (is("kept"), entry["rank"].clone(), is("runner_up"), reason)
        })
        .collect();
    assert_eq!(
        told,
        [
            (
                false,
                json!(2),
                true,
                "fits: arch:x86_64_v3 is met by arch:zen4: it descends from it in 4 steps; the \
                 runner-up"
            ),
            (
                true,
                json!(1),
                false,
                "fits: arch:zen3 is met by arch:zen4: it descends from it in 1 step; chosen over \
                 lab/app:v3: its CPU target is nearer"
            ),
            (
                false,
                Value::Null,
                false,
                "does not fit: mpi:openmpi is not met by mpi:mpich"
            ),
            (
                false,
                Value::Null,
                false,
                "does not fit: cuda:12.4 is not met by driver:470.57"
            ),
        ]
    );
    let server = format!("http://{}", metahub.host());
    let login = "zen4+mpi=mpich+driver=470.57";
    let said = command(&[
        "resolve",
        "app",
        "--as",
        login,
        "--explain",
        "--server",
        &server,
    ])
    .run();
    assert_eq!(said.code, Some(0), "{said}");
    for part in [
        "RANK",
        "✓",
        "the runner-up",
        "cuda:12.4 is not met by driver:470.57",
    ] {
        said.says(part);
    }
}

#[test]
fn options_of_a_profile_change_the_choice_and_an_override_warns() {
    let document = "
manifests:
  - name: app
    manifests:
      - {image: 'lab/app:v4', weight: 5, platform: {features: ['arch:x86_64_v4']}}
      - {image: 'lab/app:root', platform: {features: ['arch:x86_64']}}
profiles:
  - name: site/masked
    features: ['arch:x86_64_v3']
    actions:
      - {name: manifest-select, event: post-manifest-list-get, args: {override: ['arch:x86_64_v4']}}
  - name: site/heavy
    actions:
      - {name: manifest-select, event: post-manifest-list-get, args: {minimum_weight: 5}}
  - name: site/lenient
    actions:
      - {name: manifest-select, event: post-manifest-list-get, args: {none_fits: generic}}
";
    let metahub = MetaHub::start(CONFIG_FILE, &[("app.yaml", document)]);
    let v4 = push(&metahub, "lab/app:v4", "amd64", &Says::default());
    let root = push(&metahub, "lab/app:root", "amd64", &Says::default());
    gives(&metahub, "app", "zen3", &root);
    assert!(resolve(&metahub, "app", "site/heavy+zen3").is_err());
    // Not even the generic one is taken below the weight that the profile asks for.
    assert!(resolve(&metahub, "app", "site/heavy+site/lenient+zen3").is_err());
    gives(&metahub, "app", "site/lenient+zen3", &root);
    let answer = gives(&metahub, "app", "site/masked", &v4);
    let warning = answer["warning"].as_str().unwrap();
    assert!(
        warning.contains("overrides with arch:x86_64_v4"),
        "{warning}"
    );
    // A second time it is found again, warning and all; and a pull is told as well.
    for _ in 0..2 {
        let pulled = metahub
            .call("GET", "/v2/app/manifests/latest")
            .login(Some(("site/masked", "any")))
            .send()
            .expect(200);
        let warning = pulled.header("warning");
        assert!(
            warning.contains("overrides with arch:x86_64_v4"),
            "{warning}"
        );
    }
}

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
