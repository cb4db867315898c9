//! Tests of settings, and of the errors for mistakes in them.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::time::Duration;

use metahub_auth::AnonymousAccess;
use rstest::rstest;

use super::yaml::parse;
use super::*;

const EXAMPLE: &str = include_str!("../../../../metahub.example.yaml");

fn load(file: &Path, variables: &[(&str, &str)], flags: Layer) -> Result<Config, ConfigError> {
    let variables: BTreeMap<_, _> = variables.iter().copied().collect();
    Config::load(
        Some(file),
        &|name| variables.get(name).map(OsString::from),
        flags,
    )
}

fn file(text: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("metahub.yaml");
    std::fs::write(&file, text).unwrap();
    (folder, file)
}

fn from_variables(variables: &[(&str, &str)]) -> Result<Config, ConfigError> {
    let variables: BTreeMap<_, _> = variables.iter().copied().collect();
    Config::load(
        None,
        &|name| variables.get(name).map(OsString::from),
        Layer::default(),
    )
}

#[test]
fn the_example_file_says_exactly_the_defaults() {
    let example = parse(EXAMPLE).map_err(|problem| problem.message).unwrap();
    let config = Config::of(example).unwrap();
    let libraries = Config::default();
    assert_eq!(format!("{config:#?}"), format!("{libraries:#?}"));
    let config = Config::of(Layer::default()).unwrap();
    assert_eq!(format!("{config:#?}"), format!("{:#?}", Config::default()));
}

/// Every key of the file, those within others as `outer.inner`.
fn keys() -> Vec<String> {
    let mut keys = Vec::new();
    for key in Layer::declared() {
        let within = (key.within)();
        if within.is_empty() {
            keys.push(key.key.to_owned());
        }
        keys.extend(
            within
                .iter()
                .map(|below| format!("{}.{}", key.key, below.key)),
        );
    }
    keys
}

fn variable_of(key: &str) -> String {
    format!("METAHUB_{}", key.replace('.', "_").to_uppercase())
}

#[test]
fn flags_win_over_variables_and_those_over_the_file() {
    let (_folder, file) = file("listen: 127.0.0.1:1\nanonymous: none\ntoken_lifetime: 2m\n");
    let variables = [
        ("METAHUB_LISTEN", "127.0.0.1:2"),
        ("METAHUB_ANONYMOUS", "write"),
    ];
    let flags = Layer {
        listen: "127.0.0.1:3".parse().ok(),
        ..Layer::default()
    };
    let config = load(&file, &variables, flags).unwrap();
    assert_eq!(config.listen.port(), 3);
    assert_eq!(config.auth.anonymous, AnonymousAccess::Write);
    assert_eq!(config.auth.token_lifetime, Duration::from_secs(120));
}

#[test]
fn paths_in_the_file_start_at_the_files_folder() {
    let (folder, file) = file("data: d\ncatalog: [c, /srv/c]\n");
    let config = load(&file, &[], Layer::default()).unwrap();
    assert_eq!(config.data, folder.path().join("d"));
    assert_eq!(
        paths(&config.catalog),
        [folder.path().join("c"), PathBuf::from("/srv/c")]
    );
}

/// A value other than the default for each key.
const OTHER_VALUES: [(&str, &str); 67] = [
    ("inspection", "enforce"),
    ("inspection_rate", "1 MiB"),
    ("inspection_wait", "1s"),
    (
        "inspection_lifted",
        "['sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855@zen3']",
    ),
    ("listen", "[::1]:80"),
    ("data", "/srv/metahub"),
    ("public_url", "https://hub.example.org"),
    ("trust_forwarded", "[10.0.0.0/8, '::1']"),
    ("catalog", "/a:/b"),
    ("reload_interval", "0s"),
    ("hardware", "{fallbacks: {zen5: [zen2]}}"),
    ("anonymous", "none"),
    ("profile_password", "account"),
    ("profile_header", "true"),
    ("profiles_by", "{network: {10.2.0.0/16: zen3}}"),
    ("token_lifetime", "1h"),
    ("nodes.join", "true"),
    ("nodes.munge", "/run/munge/other.socket"),
    (
        "nodes.slurm_jwt",
        "{jwks_file: /srv/jwks.json, users: [slurm]}",
    ),
    // It needs authorities.
    ("nodes.certificate", "['*.nodes.example']"),
    ("nodes.limit", "7"),
    ("metrics", "everybody"),
    ("gc.every", "0s"),
    ("gc.grace", "1h"),
    ("scrub.every", "24h"),
    ("scrub.rate", "1 MiB"),
    ("limits.connections", "7"),
    ("limits.requests", "7"),
    ("limits.requests_per_client", "7"),
    ("limits.documents", "64 MiB"),
    ("limits.header_timeout", "1s"),
    ("limits.idle_timeout", "1s"),
    ("limits.stall_timeout", "1s"),
    ("limits.drain_timeout", "1s"),
    ("limits.upload_idle", "1h"),
    ("limits.manifest_size", "1 MiB"),
    ("limits.name_length", "63"),
    ("limits.page_size", "100"),
    ("read_only", "true"),
    ("send_blobs", "read"),
    ("delete", "false"),
    ("immutable_tags", "['prod/.*:v[0-9.]+']"),
    ("sparse", "true"),
    ("tag_lifetime", "0s"),
    ("local", "last"),
    ("unstated", "refuse"),
    ("unknown_requirements", "serve"),
    ("upstreams", "[{host: quay.io, default: true}]"),
    ("allow_any_host", "false"),
    ("proxied_private", "refuse"),
    ("offline", "true"),
    ("warm", "[{images: [gromacs]}]"),
    ("cache.size", "500 GiB"),
    ("cache.keep_free", "50 GiB"),
    ("cache.largest_blob", "10 GiB"),
    ("cache.anonymous_share", "100%"),
    ("cache.pinned", "['quay.io/.*']"),
    ("cache.spare", "1h"),
    ("cache.derived", "64 MiB"),
    ("cache.keep_derived", "30d"),
    ("demand.limit", "0"),
    ("demand.keep", "7d"),
    // One means nothing without the other.
    ("signing.key", ""),
    ("signing.password_file", ""),
    ("tls.certificate", ""),
    ("tls.key", ""),
    ("tls.client_authorities", ""),
];

#[test]
fn every_key_has_a_variable_that_sets_it() {
    let defaults = format!("{:?}", Config::default());
    let mut tried: Vec<&str> = OTHER_VALUES.iter().map(|(key, _)| *key).collect();
    let mut keys = keys();
    tried.sort_unstable();
    keys.sort();
    assert_eq!(tried, keys);
    for (key, value) in OTHER_VALUES {
        let variable = variable_of(key);
        let empty = from_variables(&[(&variable, "")]).unwrap();
        assert_eq!(format!("{empty:?}"), defaults, "{variable}: empty is unset");
        let set = match key {
            "nodes.certificate" => from_variables(&[
                (&variable, value),
                ("METAHUB_TLS_CERTIFICATE", "/a"),
                ("METAHUB_TLS_KEY", "/b"),
                ("METAHUB_TLS_CLIENT_AUTHORITIES", "/c"),
            ]),
            "tls.certificate" | "tls.key" | "tls.client_authorities" => from_variables(&[
                ("METAHUB_TLS_CERTIFICATE", "/a"),
                ("METAHUB_TLS_KEY", "/b"),
                ("METAHUB_TLS_CLIENT_AUTHORITIES", "/c"),
            ]),
            "signing.key" | "signing.password_file" => from_variables(&[
                ("METAHUB_SIGNING_KEY", "/a"),
                ("METAHUB_SIGNING_PASSWORD_FILE", "/b"),
            ]),
            _ => from_variables(&[(&variable, value)]),
        };
        assert_ne!(format!("{:?}", set.unwrap()), defaults, "{variable}");
    }
}

#[test]
fn a_certificate_and_its_key_may_come_from_two_places_and_need_each_other() {
    let (folder, file) = file("tls:\n  certificate: tls.crt\n");
    let config = load(&file, &[("METAHUB_TLS_KEY", "/srv/key")], Layer::default()).unwrap();
    let tls = config.tls.files().unwrap();
    assert_eq!(tls.certificate, folder.path().join("tls.crt"));
    assert_eq!(tls.key, Path::new("/srv/key"));
    let error = load(&file, &[], Layer::default()).unwrap_err();
    assert!(error.to_string().contains("tls.key"), "{error}");
    let error = from_variables(&[("METAHUB_SIGNING_PASSWORD_FILE", "/b")]).unwrap_err();
    assert!(error.to_string().contains("signing.key"), "{error}");
}

#[test]
fn upstreams_in_a_variable_must_go_with_each_other_too() {
    let wrong = "[{host: a.org, default: true, pass_through: {}}]";
    let error = from_variables(&[("METAHUB_UPSTREAMS", wrong)]).unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("METAHUB_UPSTREAMS") && text.contains("a.org"),
        "{text}"
    );
}

#[test]
fn a_wrong_variable_is_named() {
    let error = from_variables(&[("METAHUB_LISTEN", "everywhere")]).unwrap_err();
    assert!(error.to_string().contains("METAHUB_LISTEN"), "{error}");
}

#[rstest]
#[case("listen: 127.0.0.1:0\nanonymus: read\n", 2, 1, "anonymus")]
#[case("anonymous: read\nanonymous: write\n", 2, 1, "duplicate")]
#[case("anonymous: sometimes\n", 1, 12, "sometimes")]
#[case("listen: 5000\n", 1, 9, "socket address")]
#[case("delete: yes\n", 1, 9, "bool")]
#[case("public_url: hub.example.org\n", 1, 13, "https://HOST")]
#[case("trust_forwarded: [10.0.0.0/99]\n", 1, 18, "10.0.0.0/99")]
#[case("limits:\n  page_size: 0\n", 2, 14, "from 1 to")]
#[case("limits:\n  name_length: 256\n", 2, 16, "1 to 255")]
#[case("limits:\n  manifest_size: 5 MiB\n", 2, 18, "4 MiB")]
#[case("limits:\n  documents: 1 MiB\n", 2, 14, "at least 16 MiB")]
#[case("limits:\n  requests: 0\n", 2, 13, "from 1 to")]
#[case("limits:\n  connection: 1\n", 2, 3, "connection")]
#[case("immutable_tags: ['a(']\n", 1, 17, "regular expression")]
#[case("tls: {cert: a}\n", 1, 7, "cert")]
#[case("profiles_by: {networks: {10.0.0.0/8: zen3}}\n", 1, 15, "networks")]
#[case("profiles_by:\n  path: {GPU: zen3}\n", 2, 10, "GPU")]
#[case("upstreams:\n  - host: quay.io\n    user: x\n", 3, 5, "user")]
#[case("upstreams:\n  - url: https://quay.io\n", 2, 5, "host")]
#[case("tag_lifetime: soon\n", 1, 15, "soon")]
#[case(
    "upstreams: [{host: a.org, tags: [{match: 'a(', lifetime: 1m}]}]\n",
    1,
    33,
    "a("
)]
#[case("upstreams: [{host: a.org, gone: perhaps}]\n", 1, 33, "perhaps")]
#[case(
    "upstreams: [{host: a.org, parallel: 17}]\n",
    1,
    37,
    "expected 1 to 16"
)]
#[case("upstreams: [{host: a.org, pass_through: true}]\n", 1, 41, "mapping")]
#[case(
    "upstreams:\n  - host: a.org\n  - host: b.org\n    default: true\n    pass_through: {}\n",
    3,
    5,
    "upstream b.org: pass_through and default"
)]
#[case(
    "upstreams:\n  - {host: a.org}\n  - {host: a.org, pass_through: {}}\n",
    3,
    5,
    "needs the host for one upstream alone"
)]
#[case("local: never\n", 1, 8, "never")]
#[case("listen: [\n", 1, 9, "string")]
#[case("- listen\n", 1, 1, "")]
#[case("anonymous: \"read\n", 1, 12, "")]
fn a_mistake_in_the_file_is_shown_with_its_place(
    #[case] text: &str,
    #[case] line: u64,
    #[case] column: u64,
    #[case] words: &str,
) {
    let (_folder, file) = file(text);
    let error = load(&file, &[], Layer::default()).unwrap_err();
    let message = error.to_string();
    assert!(
        message.contains(&format!("metahub.yaml:{line}:{column}: ")),
        "{message}"
    );
    assert!(message.contains(words), "{message}");
}

#[test]
fn a_missing_file_is_named() {
    let error = load(Path::new("/nowhere/metahub.yaml"), &[], Layer::default()).unwrap_err();
    assert!(
        error.to_string().contains("/nowhere/metahub.yaml"),
        "{error}"
    );
}

#[test]
fn a_site_adds_cpu_targets_aliases_and_fallbacks() {
    let (_folder, path) = file(
        "hardware:\n  targets:\n    zen9: {from: [zen5], vendor: AuthenticAMD, features: [x]}\n  \
         aliases: {our-nodes: zen9}\n  fallbacks: {grace: [neoverse_v1]}\n",
    );
    let graph = load(&path, &[], Layer::default()).unwrap().graph().unwrap();
    let target = |name: &str| graph.find(name).unwrap();
    assert_eq!(target("our-nodes"), target("zen9"));
    assert!(graph.runs(&target("zen9"), &target("x86_64_v4")));
    assert!(graph.runs(&target("neoverse_v2"), &target("neoverse_v1")));

    let builtin = Microarchitectures::builtin();
    let plain = Config::default().graph().unwrap();
    assert!(Arc::ptr_eq(&plain, &builtin));
}

#[test]
fn cpu_targets_that_do_not_hold_together_are_refused() {
    let (_folder, path) = file("hardware: {fallbacks: {grace: [neoverse_v11]}}\n");
    let config = load(&path, &[], Layer::default()).unwrap();
    let error = config.graph().unwrap_err().to_string();
    assert!(
        error.contains("neoverse_v11") && error.contains("neoverse_v1"),
        "{error}"
    );
    let (_folder, path) = file("hardware: {fallback: {grace: [neoverse_v1]}}\n");
    assert!(load(&path, &[], Layer::default()).is_err());
}

#[test]
fn a_bound_is_of_all_or_of_one_upstream_and_offline_there_is_none() {
    let of = |text: &str| {
        let (_folder, file) = file(text);
        load(&file, &[], Layer::default()).unwrap().registry.cache
    };
    let bounds =
        "cache: {size: 1 GiB}\nupstreams: [{host: quay.io, cache_size: 2 MiB}, {host: ghcr.io}]\n";
    let cache = of(bounds);
    assert_eq!(cache.size, Some(1 << 30));
    let sizes: Vec<_> = cache.sizes.iter().map(|(h, s)| (h.as_str(), *s)).collect();
    assert_eq!(sizes, [("quay.io", 2 << 20)]);
    assert!(cache.is_bounded());
    assert!(!of(&format!("{bounds}offline: true\n")).is_bounded());
    assert!(of("").is_bounded(), "a tenth of the disk stays free");
    assert!(!of("cache: {keep_free: 0%}").is_bounded());
}
