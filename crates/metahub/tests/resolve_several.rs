//! `metahub resolve IMAGE --as A --as B [--common]`: what each login gets, and the one image that
//! all of them can run; from a server and without one.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test"
)]

#[allow(dead_code, reason = "shared with the tests of the API")]
#[path = "curation/site.rs"]
mod site;

use serde_json::{Value, json};

use site::{INDEX, Site, metahub};

const DOCUMENTS: &str = "\
profile:
  name: site/node
  features: [arch:zen3]
  actions:
    - {name: manifest-add, event: post-manifest-get, args: {layerRepository: site/tools, repository: 'lab/.*'}}
---
profile:
  name: site/tools
  actions:
    - {name: manifest-add, event: post-manifest-get, args: {layerRepository: site/tools, repository: 'lab/.*'}}
";

/// Documents of a server, and a configuration that asks it as an upstream.
fn site() -> Site {
    let site = Site::new();
    std::fs::write(site.file(), DOCUMENTS).unwrap();
    site.until("site/tools:latest", |one| !one.is_null());
    site.push_builds("site/tools", "latest", &["x86_64"]);
    let config = json!({
        "catalog": [site.folder.path().join("catalog")],
        "upstreams": [{
            "host": site.host, "default": true, "plain_http": true, "allow_private": true,
        }],
    });
    let file = site.folder.path().join("metahub.yaml");
    std::fs::write(file, config.to_string()).unwrap();
    site
}

/// Builds of an image, and their digests.
struct Builds<'s> {
    site: &'s Site,
    image: String,
    digests: Vec<(String, String)>,
}

impl<'s> Builds<'s> {
    fn new(site: &'s Site, tag: &str, targets: &[&str]) -> Self {
        let digests = site.push_builds("lab/app", tag, targets);
        let names = targets.iter().map(|target| (*target).to_owned());
        let digests = names.zip(digests).collect();
        let image = format!("lab/app:{tag}");
        Self {
            site,
            image,
            digests,
        }
    }

    fn of(&self, target: &str) -> &str {
        let mut digests = self.digests.iter();
        &digests.find(|(name, _)| name == target).unwrap().1
    }

    /// How `metahub resolve` ends, what it prints and what it says; the same from the server and
    /// without one.
    fn resolve(&self, logins: &[&str], more: &[&str]) -> (Option<i32>, String, String) {
        let asked = self.ask(logins, more);
        let worked_out = self.run(logins, &[more, &["--config", "metahub.yaml"]].concat());
        // Derived content says of which registry its source is.
        if !logins.iter().any(|login| login.contains("site/")) {
            assert_eq!(worked_out, asked, "{logins:?} {more:?}");
        }
        asked
    }

    /// The same from the server alone.
    fn ask(&self, logins: &[&str], more: &[&str]) -> (Option<i32>, String, String) {
        let server = format!("http://{}", self.site.host);
        self.run(logins, &[more, &["--server", &server]].concat())
    }

    fn run(&self, logins: &[&str], more: &[&str]) -> (Option<i32>, String, String) {
        let mut args = vec!["resolve", &self.image];
        for login in logins {
            args.extend(["--as", *login]);
        }
        args.extend(more);
        let mut command = metahub(&args);
        let output = command
            .current_dir(self.site.folder.path())
            .output()
            .unwrap();
        (
            output.status.code(),
            String::from_utf8(output.stdout).unwrap(),
            String::from_utf8(output.stderr).unwrap(),
        )
    }

    fn common(&self, logins: &[&str]) -> (Option<i32>, String, String) {
        let (code, out, error) = self.resolve(logins, &["--common"]);
        (code, out.trim().to_owned(), error)
    }
}

/// One server for all: it takes long to start.
#[test]
fn several_logins_get_what_each_gets_and_what_all_can_run() {
    let site = site();
    each_login_gets_its_own_line(&site);
    the_common_image_is_the_best_that_all_can_run(&site);
    what_all_logins_ask_to_be_added_is_added(&site);
    without_a_common_image_each_login_has_its_reason(&site);
    what_an_image_says_of_itself_counts_for_all(&site);
}

fn each_login_gets_its_own_line(site: &Site) {
    let builds = Builds::new(site, "v1", &["x86_64", "zen2", "cascadelake"]);
    let (code, table, error) = builds.resolve(&["zen2", "zen3", "cascadelake", "zen2"], &[]);
    assert_eq!(code, Some(0), "{error}");
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!(
        lines.len(),
        4,
        "a login that is named twice has one line: {table}"
    );
    for (line, login, requires) in [
        (lines[1], "zen2 ", "arch:zen2"),
        (lines[2], "zen3 ", "arch:zen2"),
        (lines[3], "cascadelake ", "arch:cascadelake"),
    ] {
        assert!(
            line.starts_with(login) && line.contains(requires),
            "{table}"
        );
    }
    let (code, text, _) = builds.resolve(&["zen3", "cascadelake"], &["--format", "json"]);
    assert_eq!(code, Some(0));
    let told: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(told["logins"][0]["manifest"], *builds.of("zen2"));
    assert_eq!(told["logins"][1]["manifest"], *builds.of("cascadelake"));

    // One that gets nothing has a line, too.
    let (code, table, error) = builds.resolve(&["zen3", "neoverse_v1"], &[]);
    assert_eq!(code, Some(3), "{table}{error}");
    assert!(
        table.contains("arch:zen2") && table.contains("none"),
        "{table}"
    );
    let (code, text, _) = builds.resolve(&["neoverse_v1", "zen3"], &["--format", "json"]);
    assert_eq!(code, Some(3));
    let told: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(told["logins"][0]["reason"], "nothing-fits");
    assert_eq!(told["logins"][1]["manifest"], *builds.of("zen2"));
}

fn the_common_image_is_the_best_that_all_can_run(site: &Site) {
    let builds = Builds::new(
        site,
        "v2",
        &["x86_64", "x86_64_v3", "zen2", "zen3", "zen4", "cascadelake"],
    );
    for (logins, expected) in [
        (&["zen3"][..], "zen3"),
        (&["zen3", "zen4"], "zen3"),
        (&["zen4", "zen2", "zen3"], "zen2"),
        (&["zen4", "cascadelake"], "x86_64_v3"),
        (&["zen4", "haswell"], "x86_64_v3"),
        (&["zen4", "ivybridge"], "x86_64"),
        (&["zen3+cuda=12.4", "zen3+mpi=mpich"], "zen3"),
    ] {
        let (code, printed, error) = builds.ask(logins, &["--common"]);
        assert_eq!(code, Some(0), "{logins:?}: {printed}{error}");
        let expected = format!("lab/app@{}", builds.of(expected));
        assert_eq!(printed.trim(), expected, "{logins:?}");
    }
    let (_, text, _) = builds.resolve(&["zen4", "cascadelake"], &["--common", "--format", "json"]);
    let told: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(told["common"]["manifest"], *builds.of("x86_64_v3"));
    assert_eq!(told["common"]["requires"], json!(["arch:x86_64_v3"]));
    assert_eq!(told["logins"][0]["manifest"], *builds.of("zen4"));
}

fn what_all_logins_ask_to_be_added_is_added(site: &Site) {
    let builds = Builds::new(site, "v3", &["zen2", "zen3"]);
    let (code, printed, error) = builds.common(&["site/tools+zen4", "site/tools+zen2"]);
    assert_eq!(code, Some(0), "{error}");
    assert!(
        !printed.contains(builds.of("zen2")),
        "{printed} has layers added"
    );
    let layers = |reference: &str| {
        let digest = reference.split('@').nth(1).unwrap();
        let answer = builds
            .site
            .call("GET", &format!("/v2/lab/app/manifests/{digest}"));
        let answer = answer.header("Accept", "*/*").send().expect(200);
        answer.json()["layers"].as_array().unwrap().len()
    };
    assert_eq!(layers(&printed), 2);
    // What only one of them asks for is not.
    let (code, printed, error) = builds.common(&["site/node", "zen4"]);
    assert_eq!(code, Some(0), "{error}");
    assert_eq!(printed, format!("lab/app@{}", builds.of("zen3")));
}

fn without_a_common_image_each_login_has_its_reason(site: &Site) {
    let builds = Builds::new(site, "v4", &["zen3", "cascadelake"]);
    for (logins, reasons) in [
        // Each gets one, and no single one fits both.
        (
            &["zen3", "cascadelake"][..],
            &["zen3: ", "cascadelake: "][..],
        ),
        // One gets none at all.
        (&["zen3", "haswell"], &["haswell: ", "arch:haswell"]),
        (&["zen3", "neoverse_v1"], &["neoverse_v1: "]),
    ] {
        let (code, printed, error) = builds.common(logins);
        assert_eq!(code, Some(3), "{logins:?}: {printed}{error}");
        assert_eq!(printed, "");
        for reason in reasons {
            assert!(error.contains(reason), "{logins:?}: {error}");
        }
    }
    let json = ["--common", "--format", "json"];
    let (code, text, _) = builds.resolve(&["zen3", "cascadelake"], &json);
    assert_eq!(code, Some(3));
    let told: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(told["common"], Value::Null);
    assert_eq!(told["reasons"].as_array().unwrap().len(), 2, "{told}");

    // The server knows accounts, too.
    let (code, _, error) = builds.run(&["zen3", "typo"], &["--config", "metahub.yaml"]);
    assert_eq!(code, Some(1));
    assert!(error.contains("'typo'"), "{error}");
    let (code, _, error) = builds.resolve(&[], &["--common"]);
    assert_eq!(code, Some(1));
    assert!(error.contains("--as zen3"), "{error}");
}

fn what_an_image_says_of_itself_counts_for_all(site: &Site) {
    // The index says that the first runs anywhere, and its own configuration that it needs AVX-512.
    let builds = Builds::new(site, "v5", &["x86_64_v2", "zen2", "cascadelake"]);
    let path = "/v2/lab/app/manifests/v5";
    let answer = site.as_root("GET", path).header("Accept", INDEX).send();
    let mut entries = vec![site.push_build("lab/app", "x86_64_v3", Some("x86_64_v4"))];
    let index = answer.expect(200).json();
    entries.extend(index["manifests"].as_array().unwrap().iter().cloned());
    site.push_index("lab/app", "v5", &entries);
    let (code, printed, error) = builds.common(&["zen2", "cascadelake"]);
    assert_eq!(code, Some(0), "{error}");
    assert_eq!(printed, format!("lab/app@{}", builds.of("x86_64_v2")));
}
