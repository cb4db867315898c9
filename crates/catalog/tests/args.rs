//! Actions and conditions as documents write them, and as they are written again: the one text
//! of which the digest of a login is made.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test"
)]

use metahub_catalog::{Action, Catalog};
use rstest::rstest;
use serde_json::{Value, json};

fn actions(yaml: &str) -> Vec<Action> {
    let text = format!("profile:\n  name: site/a\n  actions: {yaml}\n");
    let loaded = Catalog::from_documents(&[("a.yaml", text.as_str())]);
    assert!(loaded.problems.is_empty(), "{text}{:?}", loaded.problems);
    let profile = loaded.catalog.profile(&"site/a".parse().unwrap()).unwrap();
    let again = Catalog::from_documents(&[("again.yaml", profile.to_document())]);
    assert!(again.problems.is_empty(), "{:?}", again.problems);
    let again = again.catalog.profile(&"site/a".parse().unwrap()).unwrap();
    assert_eq!(again.actions, profile.actions, "{}", profile.to_document());
    profile.actions.clone()
}

/// What is written again of the only action's key `key`.
fn written(action: &str, key: &str) -> Value {
    let actions = actions(&format!("[{action}]"));
    assert_eq!(actions.len(), 1);
    serde_json::to_value(&actions[0]).unwrap()[key].clone()
}

fn config(args: &str) -> Value {
    let action = format!("{{name: config-set, event: post-manifest-get, args: {{{args}}}}}");
    written(&action, "args")
}

#[rstest]
#[case("entrypoint: [/app, -v]", json!({"entrypoint": ["/app", "-v"]}))]
#[case("entrypoint: exec /app $HOME", json!({"entrypoint": ["/bin/sh", "-c", "exec /app $HOME"]}))]
#[case("entrypoint: []", json!({"entrypoint": []}))]
#[case("cmd: serve", json!({"cmd": ["/bin/sh", "-c", "serve"]}))]
#[case("cmd: [1, '', true]", json!({"cmd": ["1", "", "true"]}))]
#[case("wrap: [/usr/bin/launch, --]", json!({"wrap": ["/usr/bin/launch", "--"]}))]
#[case(
    "env: {set: {SIMD: AVX2, EMPTY: ''}, append: {PATH: ':/opt/bin'}, prepend: {}, unset: [DEBUG, A]}",
    json!({"env": {
        "unset": ["A", "DEBUG"],
        "set": {"EMPTY": "", "SIMD": "AVX2"},
        "append": {"PATH": ":/opt/bin"},
    }})
)]
#[case("working_dir: /work", json!({"working_dir": "/work"}))]
#[case("user: 1000", json!({"user": "1000"}))]
#[case("user: app:users", json!({"user": "app:users"}))]
#[case("labels: {site: here, empty: ''}", json!({"labels": {"empty": "", "site": "here"}}))]
#[case(
    "exposed_ports: [8080, 53/udp, 8080/tcp, 0080, 9/sctp]",
    json!({"exposed_ports": ["53/udp", "80/tcp", "8080/tcp", "9/sctp"]})
)]
#[case("volumes: [/scratch, /data]", json!({"volumes": ["/data", "/scratch"]}))]
#[case("stop_signal: SIGTERM", json!({"stop_signal": "SIGTERM"}))]
#[case("stop_signal: SIGRTMIN+3", json!({"stop_signal": "SIGRTMIN+3"}))]
#[case("stop_signal: SIGRTMAX-30", json!({"stop_signal": "SIGRTMAX-30"}))]
#[case("stop_signal: 15", json!({"stop_signal": "15"}))]
#[case("user: a, entrypoint: , labels: ~", json!({"user": "a"}))]
fn a_configuration_is_set(#[case] args: &str, #[case] expected: Value) {
    assert_eq!(config(args), expected);
}

#[rstest]
#[case("{to: lab/new}", json!({"to": "lab/new"}))]
#[case("{to: 'lab/new:stable'}", json!({"to": "lab/new", "to_tag": "stable"}))]
#[case("{to_tag: 2021.10}", json!({"to_tag": "2021.10"}))]
#[case("{to: lab/new, to_tag: v2}", json!({"to": "lab/new", "to_tag": "v2"}))]
#[case("{to: quay.io/lab/new}", json!({"to": "quay.io/lab/new"}))]
#[case("{to: 'registry.site:5000/app:1'}", json!({"to": "registry.site_5000/app", "to_tag": "1"}))]
#[case("{to: registry.site_5000/app}", json!({"to": "registry.site_5000/app"}))]
#[case(
    "{repository: 'lab/old|lab/older', tag: 'v1.*', to: lab/new}",
    json!({"repository": "lab/old|lab/older", "tag": "v1.*", "to": "lab/new"})
)]
fn a_redirect_names_what_is_read_instead(#[case] args: &str, #[case] expected: Value) {
    let action = format!("{{name: redirect, event: pre-manifest-get, args: {args}}}");
    assert_eq!(written(&action, "args"), expected);
}

#[rstest]
#[case("{message: not here}", json!({"message": "not here"}))]
#[case("{message: \"  two\\nlines \\n\"}", json!({"message": "two\nlines"}))]
#[case(
    "{message: no, repository: closed/.*, tag: .*-debug}",
    json!({"message": "no", "repository": "closed/.*", "tag": ".*-debug"})
)]
fn a_refusal_has_a_message(#[case] args: &str, #[case] expected: Value) {
    let action = format!("{{name: deny, event: pre-manifest-get, args: {args}}}");
    assert_eq!(written(&action, "args"), expected);
}

#[rstest]
#[case("{drop: .*-debug, add: [stable, 1.0]}", json!({"add": ["1.0", "stable"], "drop": ".*-debug"}))]
#[case("{keep: 'v[0-9]+', repository: lab/.*}", json!({"keep": "v[0-9]+", "repository": "lab/.*"}))]
fn tags_are_shown_hidden_and_added(#[case] args: &str, #[case] expected: Value) {
    let action = format!("{{name: tags-filter, event: post-tags-list-get, args: {args}}}");
    assert_eq!(written(&action, "args"), expected);
}

#[test]
fn annotations_are_texts_by_name() {
    let action =
        "{name: annotate, event: post-manifest-get, args: {annotations: {b: 1.10, a: yes}}}";
    let expected = json!({"annotations": {"a": "yes", "b": "1.10"}});
    assert_eq!(written(action, "args"), expected);
}

#[rstest]
#[case("{repository: lab/.*, tag: v.*}", json!({"repository": "lab/.*", "tag": "v.*"}))]
#[case("{platform: linux/arm64.*}", json!({"platform": "linux/arm64.*"}))]
#[case("{features: [arch:zen2]}", json!({"features": ["arch:zen2"]}))]
#[case("{label: {site: here}}", json!({"label": {"site": "here"}}))]
#[case("{annotation: {org.example.kind: 'a|b'}}", json!({"annotation": {"org.example.kind": "a|b"}}))]
#[case("{jq: '.layers | length > 3'}", json!({"jq": ".layers | length > 3"}))]
#[case(
    "{not: {not: {not: {not: {tag: a}}}}}",
    json!({"not": {"not": {"not": {"not": {"tag": "a"}}}}})
)]
fn a_condition_may_say_all_of_an_image(#[case] when: &str, #[case] expected: Value) {
    let action = format!(
        "{{name: annotate, event: post-manifest-get, when: {when}, args: {{annotations: {{a: b}}}}}}"
    );
    assert_eq!(written(&action, "when"), expected);
}

#[rstest]
#[case(
    "deny",
    "pre-manifest-get",
    "{message: no}",
    "{repository: a, tag: a, features: [a:b], not: {tag: b}}"
)]
#[case(
    "redirect",
    "pre-manifest-get",
    "{to: a}",
    "{repository: a, tag: a, features: [a:b]}"
)]
#[case(
    "tags-filter",
    "post-tags-list-get",
    "{drop: a}",
    "{repository: a, features: [a:b], not: {repository: b}}"
)]
#[case(
    "manifest-filter",
    "post-manifest-list-get",
    "{select: .a, value: b}",
    "{repository: a, tag: a, features: [a:b], annotation: {a: b}, jq: .a, not: {jq: .b}}"
)]
#[case(
    "manifest-add",
    "post-manifest-get",
    "{layers: [a]}",
    "{platform: a, label: {a: b}}"
)]
fn each_event_knows_something(
    #[case] name: &str,
    #[case] event: &str,
    #[case] args: &str,
    #[case] when: &str,
) {
    let action = format!("{{name: {name}, event: {event}, when: {when}, args: {args}}}");
    assert!(written(&action, "when").is_object());
}

fn digest(actions: &str) -> String {
    let text = format!("profile:\n  name: site/a\n  actions: {actions}\n");
    let loaded = Catalog::from_documents(&[("a.yaml", text.as_str())]);
    assert!(loaded.problems.is_empty(), "{text}{:?}", loaded.problems);
    let login = loaded.catalog.interpret("site/a", &|_| false).unwrap();
    login.profile.digest().to_string()
}

/// All that says something counts, and nothing else does: order of keys, forms and comments.
#[test]
fn the_digest_of_a_login_depends_on_all_that_its_actions_say() {
    let base = "[{name: config-set, event: post-manifest-get, when: {tag: v.*, label: {a: b}}, \
                args: {user: a, cmd: [/bin/sh, -c, x], exposed_ports: [80]}}]";
    let same = "\n    # the same\n    - args:\n        exposed_ports: [\"080/tcp\", 80]\n        \
                cmd: x\n        user: \"a\"\n        wrap:\n      when: {label: {a: b}, tag: 'v.*'}\n      \
                event: post-manifest-get\n      name: config-set\n";
    assert_eq!(digest(base), digest(same));
    let mut digests = std::collections::BTreeSet::from([digest(base)]);
    let others = [
        ("user: a", "user: b"),
        ("[/bin/sh, -c, x]", "[]"),
        ("cmd:", "entrypoint:"),
        ("[80]", "[80/udp]"),
        ("tag: v.*", "tag: v1.*"),
        ("tag: v.*, ", ""),
        ("tag: v.*", "not: {tag: v.*}"),
        ("label: {a: b}", "label: {a: c}"),
        ("label: {a: b}", "annotation: {a: b}"),
        ("when: {tag: v.*, label: {a: b}}, ", ""),
    ];
    for (from, to) in others {
        assert!(base.contains(from), "{from}");
        assert!(
            digests.insert(digest(&base.replace(from, to))),
            "{from} {to}"
        );
    }
}
