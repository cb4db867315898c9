//! How a choice is explained, and what changes it.

use metahub_e2e::metahub::{MetaHub, command};
use serde_json::{Value, json};

use crate::site::{CONFIG_FILE, Says, gives, push, resolve};

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
