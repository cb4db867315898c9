//! Servers with images for some machines, and what a login gets of them.

use metahub_e2e::http::digest_of;
use metahub_e2e::metahub::MetaHub;
use metahub_e2e::pusher::{CONFIG, LAYER, MANIFEST, Pusher, descriptor};
use serde_json::{Value, json};

pub(crate) const CONFIG_FILE: &str = "anonymous: write\nallow_any_host: false\nupstreams: []\n";

/// What an image says of itself beside its platform.
#[derive(Default)]
pub(crate) struct Says<'a> {
    pub(crate) labels: Value,
    pub(crate) annotations: Value,
    pub(crate) env: &'a [&'a str],
    pub(crate) variant: Option<&'a str>,
}

/// Pushes an image whose only file tells its name, and returns its digest.
pub(crate) fn push(metahub: &MetaHub, name: &str, architecture: &str, says: &Says<'_>) -> String {
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
pub(crate) fn one_file(name: &str, content: &[u8]) -> Vec<u8> {
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
pub(crate) fn resolve(
    metahub: &MetaHub,
    image: &str,
    login: &str,
) -> Result<(String, Value), String> {
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
pub(crate) fn gives(metahub: &MetaHub, image: &str, login: &str, expected: &str) -> Value {
    let (manifest, answer) = resolve(metahub, image, login).unwrap();
    assert_eq!(manifest, expected, "{login}: {}", answer["why"]);
    answer
}

/// Builds for some targets only, and for none that every machine runs.
pub(crate) const BUILDS: &[(&str, &str)] = &[
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
pub(crate) const GIVEN: &[(&str, &str)] = &[
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
pub(crate) fn partial() -> (MetaHub, Vec<(&'static str, String)>) {
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
