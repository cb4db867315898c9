use metahub_catalog::Args;
use metahub_catalog::actions::{ConfigSet, EnvironmentEdit};
use metahub_oci::ImageConfig;
use metahub_resolve::{Changed, Image, ImageRun, image_actions};
use rstest::rstest;
use serde_json::{Value, json};

use super::common;
use super::profile;

pub(super) fn image(config: &Value, media_type: &str) -> Image {
    let config = common::config(config);
    let manifest = common::manifest(&json!({
        "schemaVersion": 2,
        "mediaType": media_type,
        "config": {
            "mediaType": if media_type.contains("docker") {
                "application/vnd.docker.container.image.v1+json"
            } else {
                "application/vnd.oci.image.config.v1+json"
            },
            "digest": config.digest(),
            "size": config.bytes().len(),
        },
        "layers": config.diff_ids().iter().map(|id| json!({
            "mediaType": if media_type.contains("docker") {
                "application/vnd.docker.image.rootfs.diff.tar.gzip"
            } else {
                "application/vnd.oci.image.layer.v1.tar+zstd"
            },
            "digest": id,
            "size": 10,
        })).collect::<Vec<_>>(),
        "org.example.unknown": {"stays": true},
    }));
    Image { manifest, config }
}

pub(super) fn plain(run: &Value) -> Value {
    json!({
        "architecture": "amd64",
        "os": "linux",
        "config": run,
        "org.example.unknown": [1, 2],
        "rootfs": {"type": "layers", "diff_ids": [common::digest("layer")]},
        "history": [{"created_by": "COPY", "created": "2024-01-01T00:00:00Z"}],
    })
}

/// What `set` makes of an image whose configuration says `run`.
fn set(run: &Value, set: ConfigSet) -> Changed {
    let profile = profile("zen3", vec![Args::ConfigSet(set).into()]);
    let actions = image_actions(&profile, &"lab/app".parse().unwrap());
    let image = image(&plain(run), "application/vnd.oci.image.manifest.v1+json");
    let mut run = ImageRun::new(image, &actions, profile.provided());
    assert_eq!(run.advance().unwrap(), None);
    run.finish()
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(ToString::to_string).collect()
}

fn run_of(config: &ImageConfig) -> Value {
    config.as_json()["config"].clone()
}

fn wrap() -> ConfigSet {
    ConfigSet {
        wrap: words(&["/launch", "--"]),
        ..ConfigSet::default()
    }
}

#[rstest]
#[case::exec_form(
    json!({"Entrypoint": ["/app"], "Cmd": ["-h"]}),
    wrap(),
    json!({"Entrypoint": ["/launch", "--", "/app"], "Cmd": ["-h"]})
)]
#[case::shell_form(
    json!({"Entrypoint": ["/bin/sh", "-c", "exec /app $0"]}),
    wrap(),
    json!({"Entrypoint": ["/launch", "--", "/bin/sh", "-c", "exec /app $0"]})
)]
// The launcher then is before a command that `docker run IMAGE COMMAND` gives, too.
#[case::cmd_alone(
    json!({"Cmd": ["/bin/sh", "-c", "app"]}),
    wrap(),
    json!({"Cmd": ["/bin/sh", "-c", "app"], "Entrypoint": ["/launch", "--"]})
)]
#[case::neither(json!({}), wrap(), json!({"Entrypoint": ["/launch", "--"]}))]
#[case::null(json!({"Entrypoint": null, "Cmd": null}), wrap(), json!({"Entrypoint": ["/launch", "--"], "Cmd": null}))]
// Docker reads a text as one word.
#[case::one_text(json!({"Entrypoint": "/app"}), wrap(), json!({"Entrypoint": ["/launch", "--", "/app"]}))]
#[case::no_config(Value::Null, wrap(), json!({"Entrypoint": ["/launch", "--"]}))]
#[case::entrypoint_takes_cmd_away(
    json!({"Entrypoint": ["/app"], "Cmd": ["-h"]}),
    ConfigSet { entrypoint: Some(words(&["/other"])), ..ConfigSet::default() },
    json!({"Entrypoint": ["/other"]})
)]
#[case::entrypoint_and_cmd(
    json!({"Entrypoint": ["/app"], "Cmd": ["-h"]}),
    ConfigSet { entrypoint: Some(words(&["/other"])), cmd: Some(words(&["-v"])), ..wrap() },
    json!({"Entrypoint": ["/launch", "--", "/other"], "Cmd": ["-v"]})
)]
#[case::cleared(
    json!({"Entrypoint": ["/app"], "Cmd": ["-h"], "User": "1"}),
    ConfigSet { entrypoint: Some(Vec::new()), ..ConfigSet::default() },
    json!({"User": "1"})
)]
#[case::everything_else(
    json!({"Labels": {"a": "1", "b": "2"}, "ExposedPorts": {"80/tcp": {}}, "Volumes": null}),
    ConfigSet {
        labels: [("b".to_owned(), "3".to_owned()), ("c".to_owned(), String::new())].into(),
        exposed_ports: ["80".to_owned(), "53/udp".to_owned()].into(),
        volumes: ["/data".to_owned()].into(),
        user: Some("1000:100".to_owned()),
        working_dir: Some("/work".to_owned()),
        stop_signal: Some("SIGINT".to_owned()),
        ..ConfigSet::default()
    },
    json!({
        "Labels": {"a": "1", "b": "3", "c": ""},
        "ExposedPorts": {"80/tcp": {}, "53/udp": {}},
        "Volumes": {"/data": {}},
        "WorkingDir": "/work",
        "User": "1000:100",
        "StopSignal": "SIGINT",
    })
)]
fn a_configuration_says_how_the_image_is_run(
    #[case] before: Value,
    #[case] change: ConfigSet,
    #[case] after: Value,
) {
    let changed = set(&before, change);
    assert_eq!(run_of(&changed.image.config), after);
    assert!(changed.changed && changed.steps[0].done);
    // Everything else stays, in its place.
    let config = changed.image.config.as_json();
    assert_eq!(config["org.example.unknown"], json!([1, 2]));
    let history = config["history"].as_array().unwrap();
    assert_eq!(history.len(), 2);
    assert_eq!(history[1]["empty_layer"], true);
    assert!(history[1].get("created").is_none());
    let manifest = &changed.image.manifest;
    assert_eq!(
        manifest.config().unwrap().digest(),
        changed.image.config.digest()
    );
    assert_eq!(
        manifest.as_json()["org.example.unknown"],
        json!({"stays": true})
    );
}

fn pairs(pairs: &[(&str, &str)]) -> std::collections::BTreeMap<String, String> {
    let pairs = pairs.iter();
    pairs
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

#[rstest]
#[case::order_stays(
    &["A=1", "B=2", "C=3"],
    EnvironmentEdit { set: pairs(&[("B", "x=y")]), ..EnvironmentEdit::default() },
    &["A=1", "B=x=y", "C=3"]
)]
#[case::new_comes_last(
    &["A=1"],
    EnvironmentEdit { set: pairs(&[("B", "")]), ..EnvironmentEdit::default() },
    &["A=1", "B="]
)]
#[case::repeated_names_become_one(
    &["A=1", "B=2", "A=3"],
    EnvironmentEdit { set: pairs(&[("A", "4")]), ..EnvironmentEdit::default() },
    &["A=4", "B=2"]
)]
#[case::the_last_of_repeated_names_counts(
    &["A=1", "A=3"],
    EnvironmentEdit { append: pairs(&[("A", ":4")]), ..EnvironmentEdit::default() },
    &["A=3:4"]
)]
#[case::unset_takes_all(
    &["A=1", "B=2", "A=3", "A"],
    EnvironmentEdit { unset: ["A".to_owned()].into(), ..EnvironmentEdit::default() },
    &["B=2"]
)]
#[case::unset_comes_first(
    &["A=1"],
    EnvironmentEdit { unset: ["A".to_owned()].into(), append: pairs(&[("A", ":2")]), ..EnvironmentEdit::default() },
    &["A=2"]
)]
#[case::path_has_a_default(
    &[],
    EnvironmentEdit { prepend: pairs(&[("PATH", "/opt/bin:")]), append: pairs(&[("PATH", ":/end")]), ..EnvironmentEdit::default() },
    &["PATH=/opt/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/end"]
)]
// An empty item would be the working directory.
#[case::no_empty_item(
    &["LD_LIBRARY_PATH="],
    EnvironmentEdit { append: pairs(&[("LD_LIBRARY_PATH", ":/opt/lib"), ("X", ":/x")]), ..EnvironmentEdit::default() },
    &["LD_LIBRARY_PATH=/opt/lib", "X=/x"]
)]
fn variables_are_edited_in_order(
    #[case] before: &[&str],
    #[case] env: EnvironmentEdit,
    #[case] after: &[&str],
) {
    let change = ConfigSet {
        env,
        ..ConfigSet::default()
    };
    let changed = set(&json!({"Env": before}), change);
    let env: Vec<&str> = changed.image.config.env().collect();
    assert_eq!(env, after);
}

#[test]
fn what_is_so_already_changes_nothing() {
    let run = json!({"User": "1000", "Env": ["A=1"], "Labels": {"a": "b"}});
    let change = ConfigSet {
        user: Some("1000".to_owned()),
        labels: pairs(&[("a", "b")]),
        env: EnvironmentEdit {
            set: pairs(&[("A", "1")]),
            ..EnvironmentEdit::default()
        },
        ..ConfigSet::default()
    };
    let changed = set(&run, change);
    assert!(!changed.changed && !changed.steps[0].done);
    let before = image(&plain(&run), "application/vnd.oci.image.manifest.v1+json");
    assert_eq!(changed.image.manifest.digest(), before.manifest.digest());
}
