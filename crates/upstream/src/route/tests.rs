//! Where names lead.

use super::*;
use crate::config::UpstreamConfig;
use crate::well_known::REGISTRIES;

fn upstreams(json: &str) -> Upstreams {
    let config: UpstreamsConfig = serde_json::from_str(json).unwrap();
    Upstreams::new(&config).unwrap()
}

fn name(text: &str) -> RepositoryName {
    text.parse().unwrap()
}

fn found(upstreams: &Upstreams, text: &str) -> Vec<String> {
    let (host, rest) = upstreams.split(&name(text));
    let routes = upstreams.routes(host.as_ref(), &rest);
    routes
        .iter()
        .map(|route| format!("{}/{}", route.upstream.host(), route.name))
        .collect()
}

#[test]
fn bare_names_go_to_docker_hub_and_its_library() {
    let builtin = Upstreams::builtin().unwrap();
    assert_eq!(found(&builtin, "debian"), ["docker.io/library/debian"]);
    assert_eq!(found(&builtin, "qnib/x"), ["docker.io/qnib/x"]);
    assert_eq!(
        found(&builtin, "docker.io/debian"),
        ["docker.io/library/debian"]
    );
    assert_eq!(
        found(&builtin, "index.docker.io/debian"),
        ["docker.io/library/debian"]
    );
}

#[test]
fn a_host_in_the_name_leads_to_that_host() {
    let builtin = Upstreams::builtin().unwrap();
    assert_eq!(found(&builtin, "quay.io/x/y"), ["quay.io/x/y"]);
    let strict = upstreams(r#"{"upstreams": [{"host": "ghcr.io"}], "allow_any_host": false}"#);
    assert_eq!(found(&strict, "ghcr.io/x/y"), ["ghcr.io/x/y"]);
    assert!(found(&strict, "quay.io/x/y").is_empty());
    assert!(found(&strict, "debian").is_empty(), "no default");
}

#[test]
fn by_default_only_well_known_registries_are_read_without_being_listed() {
    let builtin = Upstreams::builtin().unwrap();
    for host in REGISTRIES {
        assert_eq!(
            found(&builtin, &format!("{host}/x/y")),
            [format!("{host}/x/y")]
        );
        let parsed: Host = host.parse().unwrap();
        assert!(may_be_public(&parsed), "{host}");
    }
    for host in [
        "evil.example.org",
        "quay.io.example.org",
        "x.quay.io",
        "1.1.1.1",
    ] {
        let parsed: Host = host.parse().unwrap();
        assert!(
            builtin.route(Some(&parsed), &name("x/y")).is_none(),
            "{host}"
        );
        assert!(builtin.namespaced(host, &name("x/y")).is_err(), "{host}");
        // What looks like a host is a name of the default upstream then, as any other.
        let as_name = format!("{host}/x/y");
        assert_eq!(found(&builtin, &as_name), [format!("docker.io/{as_name}")]);
    }
    let other_port: Host = "quay.io:8443".parse().unwrap();
    assert!(builtin.route(Some(&other_port), &name("x/y")).is_none());
    let usual_port: Host = "quay.io:443".parse().unwrap();
    let route = builtin.route(Some(&usual_port), &name("x/y")).unwrap();
    assert_eq!(route.upstream.host().as_str(), "quay.io");
}

#[test]
fn a_host_with_a_port_is_found_again_by_the_name_that_clients_use() {
    let open = upstreams(r#"{"allow_any_host": true}"#);
    for (ns, named, leads) in [
        (
            "r.example.org:5000",
            "r.example.org_5000/a/b",
            "r.example.org:5000/a/b",
        ),
        ("1.1.1.1:5000", "1.1.1.1_5000/a/b", "1.1.1.1:5000/a/b"),
        ("r.example.org", "r.example.org/a/b", "r.example.org/a/b"),
        (
            "r.example.org:443",
            "r.example.org/a/b",
            "r.example.org/a/b",
        ),
        (
            "a_b.example.org",
            "a_b.example.org/a/b",
            "a_b.example.org/a/b",
        ),
    ] {
        let here = open.namespaced(ns, &name("a/b")).unwrap();
        assert_eq!(here.as_str(), named);
        assert_eq!(found(&open, named), [leads], "{named}");
        let image: ImageReference = format!("{ns}/a/b:1").parse().unwrap();
        let route = open.route(image.host(), image.name()).unwrap();
        assert_eq!(format!("{}/{}", route.upstream.host(), route.name), leads);
    }
    // A port of nothing is a part of a name, and private hosts must be listed.
    for text in [
        "localhost_5000/x",
        "127.0.0.1_5000/x",
        "r.example.org_0/x",
        "10.0.0.1_80/x",
    ] {
        let (host, rest) = open.split(&name(text));
        let private = host.as_ref().is_some_and(|host| !may_be_public(host));
        assert!(!private, "{text} {host:?} {rest}");
    }
    let listed = upstreams(r#"{"upstreams": [{"host": "localhost:5001", "plain_http": true}]}"#);
    assert_eq!(found(&listed, "localhost_5001/x"), ["localhost:5001/x"]);
    let image: ImageReference = "localhost:5001/x:1".parse().unwrap();
    assert!(listed.route(image.host(), image.name()).is_some());
}

#[test]
fn hosts_of_this_machine_and_its_network_must_be_listed() {
    let builtin = upstreams(r#"{"allow_any_host": true}"#);
    for host in [
        "localhost",
        "127.0.0.1",
        "10.0.0.1",
        "registry.local",
        "1.2",
        "192.168.0.1",
    ] {
        let host: Host = host.parse().unwrap();
        assert!(builtin.route(Some(&host), &name("x")).is_none(), "{host}");
    }
    let listed = upstreams(r#"{"upstreams": [{"host": "127.0.0.1:5000", "plain_http": true}]}"#);
    let host: Host = "127.0.0.1:5000".parse().unwrap();
    assert!(listed.route(Some(&host), &name("x")).is_some());
}

#[test]
fn prefixes_are_rewritten_and_the_longest_wins() {
    let config = upstreams(
        r#"{"upstreams": [
            {"host": "docker.io", "default": true, "prefixes": [{"prefix": "hub"}]},
            {"host": "quay.io", "prefixes": [{"prefix": "hub/q", "to": "org"}]}
        ]}"#,
    );
    assert_eq!(found(&config, "hub/debian"), ["docker.io/library/debian"]);
    assert_eq!(found(&config, "hub/q/app"), ["quay.io/org/app"]);
    assert_eq!(found(&config, "hubble/app"), ["docker.io/hubble/app"]);
    assert_eq!(found(&config, "hub"), ["docker.io/library/hub"]);
}

#[test]
fn several_upstreams_are_asked_in_order() {
    let config = upstreams(
        r#"{"upstreams": [
            {"host": "a.org", "default": true},
            {"host": "b.org"},
            {"host": "docker.io", "default": true},
            {"host": "docker.io", "url": "https://mirror.org"}
        ]}"#,
    );
    assert_eq!(found(&config, "x"), ["a.org/x", "docker.io/library/x"]);
    assert_eq!(found(&config, "docker.io/x").len(), 2);
}

#[test]
fn a_namespace_names_the_repository_by_its_host() {
    let config = upstreams(
        r#"{"upstreams": [{"host": "docker.io"}, {"host": "127.0.0.1:5000", "plain_http": true}],
            "allow_any_host": false}"#,
    );
    let here = |ns: &str, text: &str| config.namespaced(ns, &name(text)).map(|n| n.to_string());
    assert_eq!(
        here("docker.io", "debian").unwrap(),
        "docker.io/library/debian"
    );
    assert_eq!(here("index.docker.io", "a/b").unwrap(), "docker.io/a/b");
    assert_eq!(here("127.0.0.1:5000", "a/b").unwrap(), "127.0.0.1_5000/a/b");
    assert_eq!(found(&config, "127.0.0.1_5000/a/b"), ["127.0.0.1:5000/a/b"]);
    assert_eq!(
        here("quay.io", "a/b"),
        Err(NamespaceError::NotServed("quay.io".parse().unwrap()))
    );
    for wrong in ["", "a b", "https://quay.io", "quay.io/x", "-"] {
        let error = here(wrong, "a/b").unwrap_err();
        assert!(
            matches!(error, NamespaceError::Malformed(_)),
            "{wrong}: {error}"
        );
    }
    let open = Upstreams::builtin().unwrap();
    assert!(open.namespaced("quay.io", &name("a/b")).is_ok());
    assert!(open.namespaced("localhost", &name("a/b")).is_err());
    assert!(open.namespaced("10.0.0.1:5000", &name("a/b")).is_err());
}

#[test]
fn hosts_named_by_callers_are_remembered_within_bounds() {
    let builtin = upstreams(r#"{"allow_any_host": true}"#);
    let host = |number: usize| format!("r{number}.example.org").parse::<Host>().unwrap();
    let first = builtin.route(Some(&host(0)), &name("x")).unwrap();
    let again = builtin.route(Some(&host(0)), &name("x")).unwrap();
    assert!(Arc::ptr_eq(&first.upstream, &again.upstream));
    for number in 0..200 {
        assert!(builtin.route(Some(&host(number)), &name("x")).is_some());
    }
    assert_eq!(builtin.any_hosts.lock().len(), MAX_ANY_HOSTS);
}

#[test]
fn the_example_of_docker_hub_is_a_valid_host() {
    assert_eq!(UpstreamConfig::docker_hub().host.as_str(), "docker.io");
}
