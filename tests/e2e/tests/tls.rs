//! TLS from outside: what curl and Skopeo negotiate and are told, and a certificate that is
//! replaced while the server runs.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test"
)]

use std::path::Path;
use std::time::Duration;

use metahub_e2e::http::digest_of;
use metahub_e2e::metahub::{self, MetaHub};
use metahub_e2e::process::{Cmd, wait_until};
use metahub_e2e::pusher::{CONFIG, LAYER, MANIFEST, descriptor};
use metahub_e2e::require;
use metahub_e2e::site::Site;
use metahub_e2e::skopeo::{self, Skopeo};
use rcgen::KeyPair;
use rustix::process::Signal;

const SOON: Duration = Duration::from_secs(30);

fn serve(site: &Site, config: &str) -> MetaHub {
    let config = format!("offline: true\nupstreams: []\n{}{config}", site.tls_key());
    MetaHub::start(&config, &[])
}

/// curl(1), which prints the answer's head and the version that was spoken.
fn trusting_curl(site: &Site, args: &[&str]) -> Cmd {
    curl(args).arg("--cacert").arg(site.path("trusted/ca.crt"))
}

/// The certificate that a server shows.
fn shown_by(site: &Site, metahub: &MetaHub) -> String {
    let shown = Cmd::new("openssl")
        .args(["s_client", "-connect", metahub.host(), "-CAfile"])
        .arg(site.path("trusted/ca.crt"))
        .run()
        .stdout;
    let begin = shown.find("-----BEGIN CERTIFICATE-----").unwrap_or(0);
    let end = "-----END CERTIFICATE-----";
    let end = shown.find(end).map_or(0, |at| at + end.len());
    shown[begin..end].replace('\r', "")
}

fn curl(args: &[&str]) -> Cmd {
    Cmd::new("curl")
        .args(["--silent", "--show-error", "--include", "--max-time", "60"])
        .args(["--write-out", "\nspoken: HTTP/%{http_version}\n"])
        .args(args)
        .env_clear_of_proxies()
}

/// Writes an image of one layer as Skopeo's `dir:` has it, and gives the layer's digest in hex.
fn write_image(folder: &Path, layer: &[u8]) -> String {
    let hex = |bytes: &[u8]| digest_of(bytes).split_off("sha256:".len());
    let config = serde_json::json!({
        "architecture": "amd64",
        "os": "linux",
        "rootfs": { "type": "layers", "diff_ids": [digest_of(layer)] },
    })
    .to_string();
    let manifest = serde_json::json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": descriptor(CONFIG, config.as_bytes()),
        "layers": [descriptor(LAYER, layer)],
    })
    .to_string();
    std::fs::create_dir_all(folder).unwrap();
    for (name, content) in [
        ("version", b"Directory Transport Version: 1.1\n".as_slice()),
        ("manifest.json", manifest.as_bytes()),
        (&hex(config.as_bytes()), config.as_bytes()),
        (&hex(layer), layer),
    ] {
        std::fs::write(folder.join(name), content).unwrap();
    }
    hex(layer)
}

fn needs(tools: &[&str]) -> bool {
    require::tools(&[&["setpriv", "curl", "openssl"], tools].concat())
}

#[test]
fn both_versions_of_http_are_spoken_over_tls_and_the_realm_says_https() {
    if !needs(&[]) {
        return;
    }
    let site = Site::new();
    let metahub = serve(&site, "");
    let url = format!("https://{}/v2/", metahub.host());
    let realm = format!("realm=\"https://{}/token\"", metahub.host());
    for (option, spoken) in [("--http2", "HTTP/2"), ("--http1.1", "HTTP/1.1")] {
        trusting_curl(&site, &[option, &url])
            .ok()
            .says(&format!("spoken: {spoken}\n"))
            .says(" 401")
            .says(&realm);
        trusting_curl(&site, &[option, "-u", "zen3:any", &url])
            .ok()
            .says(" 200");
    }
    // A name that the certificate does not have.
    let port = metahub.host().rsplit_once(':').unwrap().1;
    trusting_curl(
        &site,
        &["--resolve", &format!("other.test:{port}:127.0.0.1")],
    )
    .arg(format!("https://other.test:{port}/v2/"))
    .fails();
}

#[test]
fn plain_http_to_a_tls_port_is_told_so() {
    if !needs(&[]) {
        return;
    }
    let metahub = serve(&Site::new(), "");
    curl(&[&format!("http://{}/v2/", metahub.host())])
        .ok()
        .says("400")
        .says("use https://");
}

#[test]
fn http2_is_spoken_in_the_clear_to_who_knows() {
    if !needs(&[]) {
        return;
    }
    let metahub = MetaHub::start("offline: true\nupstreams: []", &[]);
    let url = format!("http://{}/v2/", metahub.host());
    curl(&["--http2-prior-knowledge", &url])
        .ok()
        .says("spoken: HTTP/2\n")
        .says(&format!("realm=\"http://{}/token\"", metahub.host()));
}

#[test]
fn a_pull_works_over_both_versions_and_through_skopeo() {
    if !needs(skopeo::NEEDS) {
        return;
    }
    let site = Site::new();
    let metahub = serve(&site, "anonymous: write");
    let skopeo = Skopeo::new();
    let source = skopeo.path("image");
    let layer = vec![7_u8; 3_000_000];
    let digest = write_image(&source, &layer);
    skopeo
        .cli()
        .args(["copy", "--preserve-digests", "--dest-cert-dir"])
        .arg(site.path("trusted"))
        .arg(format!("dir:{}", source.display()))
        .arg(format!("docker://{}/site/app:1", metahub.host()))
        .ok();
    skopeo
        .cli()
        .args(["copy", "--src-cert-dir"])
        .arg(site.path("trusted"))
        .arg(format!("docker://{}/site/app:1", metahub.host()))
        .arg(format!("dir:{}", skopeo.path("back").display()))
        .ok();
    let back = std::fs::read(skopeo.path("back").join(&digest)).unwrap();
    assert!(back == layer, "the layer came back as it went");
    for option in ["--http2", "--http1.1"] {
        let file = site.path("blob");
        trusting_curl(&site, &[option, "-u", "zen3:any", "--no-include"])
            .arg("--output")
            .arg(&file)
            .arg(format!(
                "https://{}/v2/site/app/blobs/sha256:{}",
                metahub.host(),
                digest
            ))
            .ok();
        assert!(std::fs::read(&file).unwrap() == layer, "{option}");
    }
    // MetaHub's own commands take the site's authority, too.
    let server = format!("https://{}", metahub.host());
    let resolve = |arguments: &[&str]| {
        let command = metahub::command(&["resolve", "site/app:1", "--as", "zen3"]);
        command
            .args(["--server", &server])
            .args(arguments.iter().copied())
            .run()
    };
    let authority = site.path("trusted/ca.crt");
    let authority = authority.to_str().unwrap();
    let trusting = resolve(&["--ca-file", authority]);
    assert_eq!(trusting.code, Some(0), "{}", trusting.stderr);
    assert!(
        trusting.stdout.starts_with("site/app@sha256:"),
        "{}",
        trusting.stdout
    );
    assert_eq!(
        resolve(&[]).code,
        Some(1),
        "nobody vouches for the certificate"
    );
    let absent = resolve(&["--ca-file", "/nowhere.pem"]);
    assert!(
        absent.stderr.contains("cannot read /nowhere.pem"),
        "{}",
        absent.stderr
    );
}

#[test]
fn a_replaced_certificate_is_shown_and_one_that_does_not_fit_is_not() {
    if !needs(&[]) {
        return;
    }
    let site = Site::new();
    let mut metahub = serve(&site, "reload_interval: 100ms");
    let first = shown_by(&site, &metahub);
    assert!(first.contains("BEGIN CERTIFICATE"), "{first}");

    let second = site.issue();
    let shown = wait_until(SOON, || shown_by(&site, &metahub).trim() == second.trim());
    assert!(shown, "{}", metahub.log());
    assert_ne!(first.trim(), second.trim());

    let other = KeyPair::generate().unwrap().serialize_pem();
    std::fs::write(site.path("tls.key"), &other).unwrap();
    let told = wait_until(SOON, || {
        metahub.log().contains("keeping the previous certificate")
    });
    assert!(told, "{}", metahub.log());
    let secret = other.lines().nth(1).unwrap();
    assert!(!metahub.log().contains(secret), "no key in the log");
    assert_eq!(shown_by(&site, &metahub).trim(), second.trim());

    let third = site.issue();
    metahub.signal(Signal::HUP);
    let shown = wait_until(SOON, || shown_by(&site, &metahub).trim() == third.trim());
    assert!(shown, "{}", metahub.log());
}

#[test]
fn a_certificate_that_cannot_be_used_stops_the_start_and_is_named() {
    let site = Site::new();
    std::fs::write(site.path("tls.crt"), "not PEM").unwrap();
    let config = site.path("metahub.yaml");
    std::fs::write(
        &config,
        "tls: {certificate: tls.crt, key: tls.key}\nlisten: 127.0.0.1:0\n",
    )
    .unwrap();
    metahub::command(&["serve", "--config"])
        .arg(&config)
        .arg("--data")
        .arg(site.path("data"))
        .limit(Duration::from_secs(20))
        .fails()
        .says("tls.crt")
        .says("BEGIN CERTIFICATE");
}

#[test]
fn behind_a_proxy_the_realm_is_the_one_outside() {
    if !needs(&[]) {
        return;
    }
    let challenge = |config: &str| {
        let metahub = MetaHub::start(&format!("offline: true\nupstreams: []\n{config}"), &[]);
        let answer = metahub
            .get("/v2/")
            .header("X-Forwarded-Proto", "https")
            .header("X-Forwarded-Host", "hub.test")
            .send()
            .expect_error(401, "UNAUTHORIZED");
        let challenge = answer.header("www-authenticate").to_owned();
        challenge.replace(metahub.host(), "HOST")
    };
    for (config, realm) in [
        ("", "http://HOST/token"),
        ("trust_forwarded: true", "https://hub.test/token"),
        ("trust_forwarded: [127.0.0.0/8]", "https://hub.test/token"),
        ("trust_forwarded: [10.0.0.0/8]", "http://HOST/token"),
        (
            "public_url: https://hub.example.org",
            "https://hub.example.org/token",
        ),
    ] {
        let found = challenge(config);
        assert!(
            found.contains(&format!("realm=\"{realm}\"")),
            "{config}: {found}"
        );
    }
}
