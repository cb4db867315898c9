//! A login that names no hardware takes it from what else its request shows: a path prefix, the
//! host that was asked, a header, a client certificate, a network.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test"
)]

use metahub_e2e::http::{Answer, digest_of, image_of};
use metahub_e2e::metahub::{MetaHub, command};
use metahub_e2e::pusher::{BUILDS, Pusher};
use metahub_e2e::require;
use metahub_e2e::scripted::Scripted;
use metahub_e2e::site::Site;
use metahub_e2e::skopeo::{self, Skopeo};
use serde_json::Value;

const PROFILES_BY: &str = "
anonymous: write
offline: true
upstreams: []
profile_header: true
trust_forwarded: [127.0.0.0/8]
profiles_by:
  path: {node/icelake: icelake, held: zen2}
  host: {zen3.hub.example: zen3}
  network: {10.2.0.0/16: zen2, 10.2.7.0/24: icelake}
";

/// A MetaHub with an index of images for icelake, zen3, zen2 and any machine, in this order.
fn start(config: &str) -> (MetaHub, Vec<Value>) {
    let metahub = MetaHub::start(config, &[]);
    let images = push(&metahub, "team/app");
    (metahub, images)
}

fn push(metahub: &MetaHub, repository: &str) -> Vec<Value> {
    let pusher = Pusher {
        host: metahub.host(),
        repository,
        login: None,
    };
    pusher.builds()
}

/// Which build an answer leads to, or that it is the whole index.
fn build(answer: &Answer, images: &[Value]) -> &'static str {
    if answer.json()["manifests"]
        .as_array()
        .is_some_and(|all| all.len() > 1)
    {
        return "all";
    }
    let digest = image_of(answer);
    let at = images.iter().position(|image| image["digest"] == digest);
    BUILDS[at.unwrap()]
}

/// A token of nobody for pulling from `repository`.
fn token(metahub: &MetaHub, repository: &str) -> String {
    let path = format!("/token?service=metahub&scope=repository:{repository}:pull");
    let answer = metahub.get(&path).send().expect(200).json();
    format!("Bearer {}", answer["token"].as_str().unwrap())
}

#[test]
fn what_a_request_shows_counts_in_order_and_only_where_the_login_names_no_hardware() {
    if !require::tools(&["setpriv"]) {
        return;
    }
    let (metahub, images) = start(PROFILES_BY);
    let (bare, below) = ("team/app", "node/icelake/team/app");
    for (login, name, host, header, client, expected) in [
        ("", bare, "", "", "", "all"),
        ("", bare, "", "", "10.2.1.1", "zen2"),
        ("", bare, "", "", "10.2.7.1", "icelake"),
        ("", bare, "", "", "10.3.7.1", "all"),
        ("", bare, "zen3.hub.example", "", "10.2.1.1", "zen3"),
        ("", bare, "zen3.hub.example:5000", "", "10.2.1.1", "zen3"),
        ("", bare, "other.hub.example", "", "", "all"),
        ("", bare, "", "zen3", "10.2.1.1", "zen3"),
        ("", bare, "zen3.hub.example", "zen2", "", "zen3"),
        ("", below, "", "", "", "icelake"),
        ("", below, "zen3.hub.example", "zen2", "10.2.1.1", "icelake"),
        ("zen3", below, "", "", "10.2.1.1", "zen3"),
        ("zen3", bare, "", "", "10.2.7.1", "zen3"),
        ("any", bare, "", "", "10.2.7.1", "all"),
    ] {
        let mut call = metahub.get(&format!("/v2/{name}/manifests/1"));
        call = match login {
            "" => call.header("Authorization", token(&metahub, name)),
            login => call.login(Some((login, "any"))),
        };
        for (key, value) in [
            ("X-Forwarded-Host", host),
            ("X-Meta-Profile", header),
            ("X-Forwarded-For", client),
        ] {
            if !value.is_empty() {
                call = call.header(key, value);
            }
        }
        let answer = call.send().expect(200);
        let shown = format!("{login} {name} {host} {header} {client}");
        assert_eq!(build(&answer, &images), expected, "{shown}");
        assert_eq!(
            answer.header("cache-control"),
            "private, no-cache",
            "{shown}"
        );
    }
    for by in [
        "by=\"network 10.2.7.0/24\"",
        "by=\"host zen3.hub.example\"",
        "by=\"header X-Meta-Profile\"",
        "by=\"path node/icelake\"",
    ] {
        assert!(metahub.says(by), "{by}");
    }
    // By digest everybody gets what they ask for.
    let zen3 = images[1]["digest"].as_str().unwrap();
    let path = format!("/v2/{below}/manifests/{zen3}");
    let call = metahub.get(&path).header("X-Forwarded-For", "10.2.7.1");
    let answer = call.header("Authorization", token(&metahub, below)).send();
    assert_eq!(digest_of(answer.expect(200).text().as_bytes()), zen3);
}

#[test]
fn a_prefix_takes_no_pushed_name_and_nothing_is_pushed_below_one() {
    if !require::tools(&[&["setpriv"], skopeo::NEEDS].concat()) {
        return;
    }
    let before = PROFILES_BY.replace("held: zen2", "other: zen2");
    let (metahub, _) = start(&before);
    let held = push(&metahub, "held/app");
    let metahub = metahub.restart_with(PROFILES_BY);
    assert!(
        metahub.says("repository=held/app prefix=held"),
        "it is told at the start"
    );
    // Who shows no login is not told which of the two names is held.
    for name in ["held/app", "held/none", "node/icelake/team/app"] {
        let challenged = metahub
            .get(&format!("/v2/{name}/manifests/1"))
            .send()
            .expect(401);
        let scope = format!("scope=\"repository:{name}:pull\"");
        let challenge = challenged.header("www-authenticate");
        assert!(challenge.contains(&scope), "{challenge}");
    }
    // A name that was pushed to keeps its meaning, and what is below it.
    let answer = metahub.get("/v2/held/app/manifests/1");
    let answer = answer
        .header("Authorization", token(&metahub, "held/app"))
        .send();
    assert_eq!(build(&answer.expect(200), &held), "all");
    let pusher = |repository| Pusher {
        host: metahub.host(),
        repository,
        login: None,
    };
    pusher("held/app").blob(b"more");
    let refused = pusher("held/new").call("POST", "blobs/uploads/").send();
    let refused = refused.expect_error(400, "NAME_INVALID");
    assert!(
        refused.text().contains("push to new instead"),
        "{}",
        refused.text()
    );

    // A real client pulls by the name that it was given.
    let skopeo = Skopeo::new();
    let image = metahub.image("node/icelake/team/app:1");
    let layout = format!("oci:{}:copied", skopeo.path("layout").display());
    let copied = skopeo.copy(&format!("docker://{image}"), &layout, false);
    assert_eq!(copied.code, Some(0), "{copied}");
    let server = format!("--server=http://{}", metahub.host());
    let resolve = ["resolve", "node/icelake/team/app:1", "--explain", &server];
    command(&resolve)
        .ok()
        .says("arch:icelake")
        .says("path node/icelake");
}

#[test]
fn a_login_of_the_configuration_that_means_nothing_stops_the_start() {
    let config = PROFILES_BY.replace("zen2, 10.2.7.0/24", "nonsuch, 10.2.7.0/24");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("metahub.yaml");
    std::fs::write(&file, config).unwrap();
    let (file, data) = (file.display().to_string(), folder.path().join("data"));
    let data = data.display().to_string();
    let ended = command(&["serve", "--config", &file, "--data", &data]).fails();
    ended
        .says("network 10.2.0.0/16")
        .says("nonsuch")
        .says("a login without an account");
}

#[test]
fn a_node_is_known_by_its_certificate_and_sent_to_the_host_that_it_asked() {
    if !require::tools(&["setpriv", "curl"]) {
        return;
    }
    let site = Site::new();
    let tls = site.tls_key_for_clients();
    let config = format!(
        "offline: true\nupstreams: []\nanonymous: write\npublic_url: https://hub.example\n{tls}\
         profiles_by:\n  host: {{localhost: zen2}}\n  certificate: {{'*.zen3.example': zen3}}\n"
    );
    let metahub = MetaHub::start(&config, &[]);
    site.issue_for("node7.zen3.example", "node7");
    site.issue_for("elsewhere.example", "other");
    let stranger = Site::new();
    stranger.issue_for("node7.zen3.example", "stranger");
    for end in ["crt", "key"] {
        let file = format!("stranger.{end}");
        std::fs::copy(stranger.path(&file), site.path(&file)).unwrap();
    }
    let url = format!("https://{}/api/v1/resolve?image=team/app:1", metahub.host());
    let port = metahub.host().rsplit(':').next().unwrap();
    let by_name = format!("https://localhost:{port}/v2/");
    let curl = |certificate: &str, url: &str| {
        let curl = site.curl(certificate).args(["--show-error", "--include"]);
        curl.arg(url).run()
    };
    // Nothing is here under that name, and the log says under which profile it was looked for.
    for (certificate, by) in [
        ("node7", "by=\"certificate *.zen3.example\""),
        ("other", "status=404"),
        ("", "status=404"),
    ] {
        let answer = curl(certificate, &url);
        answer.says("404");
        assert!(metahub.says(by), "{certificate}");
    }
    assert_eq!(metahub.log().matches("by=\"certificate").count(), 1);
    // One of another authority does not even reach the registry.
    assert_ne!(curl("stranger", &url).code, Some(0));
    // Without public_url's host, since the host that was asked chooses a profile.
    curl("", &by_name).says(&format!("realm=\"https://localhost:{port}/token\""));
    let address = format!("https://{}/v2/", metahub.host());
    curl("", &address).says("realm=\"https://hub.example/token\"");
}

#[test]
fn a_location_with_a_prefix_leaves_skopeo_no_way_past_what_fits() {
    if !require::tools(skopeo::NEEDS) {
        return;
    }
    let hub = Scripted::start();
    let zen3 = hub.put("site/build", "zen3", &"\0".repeat(1024));
    hub.put("site/build", "lake", &"\0".repeat(2048));
    let catalog = "
manifests:
  - name: site/app
    tag: 1
    manifests:
      - image: docker.io/site/build:zen3
        platform: {features: [arch:zen3]}
      - image: docker.io/site/build:lake
        platform: {features: [arch:cascadelake]}
";
    let config = format!(
        "anonymous: read\nallow_any_host: false\nupstreams: [{}]\n\
         profiles_by:\n  path: {{zen3: zen3, haswell: haswell}}\n",
        hub.entry("docker.io", "default: true")
    );
    let metahub = MetaHub::start(&config, &[("site.yaml", catalog)]);
    for (node, fits) in [("zen3", true), ("haswell", false)] {
        let skopeo = Skopeo::new();
        let folder = skopeo.path(".config/containers");
        std::fs::create_dir_all(&folder).unwrap();
        let location = format!("{}/{node}/docker.io", metahub.host());
        let text = format!(
            "[[registry]]\nprefix = \"docker.io\"\nlocation = \"{location}\"\ninsecure = true\n"
        );
        std::fs::write(folder.join("registries.conf"), text).unwrap();
        let seen = skopeo
            .cli()
            .env("HOME", skopeo.path(""))
            .env("XDG_CONFIG_HOME", "")
            .args(["inspect", "--raw", "docker://docker.io/site/app:1"])
            .run();
        assert_eq!(seen.code == Some(0), fits, "{seen}");
        if fits {
            assert!(seen.stdout.contains(&digest_of(&zen3)) || seen.stdout.as_bytes() == zen3);
        } else {
            seen.says("no image fits");
        }
    }
}
