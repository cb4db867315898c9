//! Only what is asked for is fetched: what an upstream sees of a pull, request by request.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test")]

use metahub_e2e::faulty::MANIFEST_TYPE;
use metahub_e2e::http::{Answer, digest_of};
use metahub_e2e::metahub::MetaHub;
use metahub_e2e::require;
use metahub_e2e::scripted::{INDEX_TYPE, Scripted};
use serde_json::{Value, json};

fn start(upstream: &Scripted, catalog: &str) -> Option<MetaHub> {
    let entry = upstream.entry("up.test", "default: true, tag_lifetime: 1h");
    let config = format!("anonymous: read\nallow_any_host: false\nupstreams: [{entry}]\n");
    require::tools(&["setpriv"]).then(|| MetaHub::start(&config, &[("site.yaml", catalog)]))
}

fn get(metahub: &MetaHub, login: Option<&str>, path: &str) -> Answer {
    let call = metahub
        .get(path)
        .header("Accept", format!("{INDEX_TYPE}, {MANIFEST_TYPE}"));
    match login {
        Some(login) => call.login(Some((login, "any"))).send(),
        None => call.send_as_anybody(),
    }
    .expect(200)
}

/// Pulls as a client for `linux/amd64` does: index, child, configuration, layers; those.
fn pull(metahub: &MetaHub, login: Option<&str>, name: &str) -> Vec<String> {
    let tagged = get(metahub, login, &format!("/v2/{name}/manifests/1"));
    let amd64 = |entry: &&Value| entry["platform"]["architecture"] == "amd64";
    let child = match tagged.json()["manifests"].as_array() {
        Some(entries) => {
            let child = entries.iter().find(amd64).unwrap();
            child["digest"].as_str().unwrap().to_owned()
        }
        // The one image that is left of an index is served itself.
        None => digest_of(&tagged.body),
    };
    let manifest = get(metahub, login, &format!("/v2/{name}/manifests/{child}")).json();
    let blobs = manifest["layers"].as_array().unwrap().iter();
    for blob in blobs.clone().chain([&manifest["config"]]) {
        let digest = blob["digest"].as_str().unwrap();
        get(metahub, login, &format!("/v2/{name}/blobs/{digest}"));
    }
    blobs
        .map(|blob| blob["digest"].as_str().unwrap().to_owned())
        .collect()
}

/// What was asked, in order of the alphabet.
fn asked(upstream: &Scripted) -> Vec<String> {
    let mut asked = upstream.asked();
    asked.sort();
    asked
}

/// Requests for the manifest `of` by `reference`, its configuration, and the layer `text`.
struct Image {
    repository: &'static str,
    manifest: Vec<u8>,
    text: &'static str,
}

impl Image {
    fn put(
        upstream: &Scripted,
        repository: &'static str,
        tag: &str,
        text: &'static str,
        architecture: &str,
    ) -> Self {
        let manifest = upstream.put_for(repository, tag, text, architecture, &json!(null));
        Self {
            repository,
            manifest,
            text,
        }
    }

    fn digest(&self) -> String {
        digest_of(&self.manifest)
    }

    fn entry(&self, architecture: &str, features: &[&str]) -> Value {
        json!({
            "mediaType": MANIFEST_TYPE, "digest": self.digest(), "size": self.manifest.len(),
            "platform": {"os": "linux", "architecture": architecture, "features": features},
        })
    }

    fn by(&self, reference: &str) -> String {
        format!("GET /v2/{}/manifests/{reference}", self.repository)
    }

    fn config(&self) -> String {
        let manifest: Value = serde_json::from_slice(&self.manifest).unwrap();
        let digest = manifest["config"]["digest"].as_str().unwrap();
        format!("GET /v2/{}/blobs/{digest}", self.repository)
    }

    fn layer(&self) -> String {
        format!(
            "GET /v2/{}/blobs/{}",
            self.repository,
            digest_of(self.text.as_bytes())
        )
    }

    /// The look for what refers to it, at a registry without that API.
    fn referrers(&self) -> [String; 2] {
        let digest = self.digest();
        [
            format!("GET /v2/{}/referrers/{digest}", self.repository),
            self.by(&digest.replace(':', "-")),
        ]
    }
}

fn put_index(upstream: &Scripted, repository: &str, tag: &str, entries: &[Value]) {
    let index = json!({"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": entries});
    let index = index.to_string().into_bytes();
    for reference in [tag, &digest_of(&index)] {
        let path = format!("/v2/{repository}/manifests/{reference}");
        upstream.put_at(&path, INDEX_TYPE, &index);
    }
}

fn sorted(requests: impl IntoIterator<Item = String>) -> Vec<String> {
    let mut requests: Vec<String> = requests.into_iter().collect();
    requests.sort();
    requests
}

#[test]
fn a_pull_of_one_platform_asks_for_the_index_one_manifest_and_what_that_leads_to() {
    let upstream = Scripted::start();
    let zen3 = Image::put(&upstream, "team/app", "zen3", "for zen3", "amd64");
    let lake = Image::put(&upstream, "team/app", "lake", "for lake", "amd64");
    let arm = Image::put(&upstream, "team/app", "arm", "for arm", "arm64");
    let entries = [
        lake.entry("amd64", &["arch:cascadelake"]),
        zen3.entry("amd64", &["arch:zen3"]),
        arm.entry("arm64", &[]),
    ];
    put_index(&upstream, "team/app", "1", &entries);
    for (login, image) in [(None, &lake), (Some("zen3"), &zen3)] {
        let Some(metahub) = start(&upstream, "") else {
            return;
        };
        pull(&metahub, login, "team/app");
        let mut expected = vec![
            image.by("1"),
            image.by(&image.digest()),
            image.config(),
            image.layer(),
        ];
        // Before hardware gets an image, what refers to it may say what it requires.
        if login.is_some() {
            expected.extend(image.referrers());
        }
        assert_eq!(asked(&upstream), sorted(expected), "{login:?}");
        pull(&metahub, login, "team/app");
        assert_eq!(asked(&upstream), Vec::<String>::new(), "{login:?}");
    }
}

#[test]
fn layers_that_a_profile_adds_cost_their_own_requests_and_no_others() {
    let upstream = Scripted::start();
    let amd64 = Image::put(&upstream, "team/app", "amd64", "the app", "amd64");
    let arm = Image::put(&upstream, "team/app", "arm", "the app for arm", "arm64");
    let tools = Image::put(&upstream, "team/tools", "amd64", "the tools", "amd64");
    let tools_arm = Image::put(&upstream, "team/tools", "arm", "the tools for arm", "arm64");
    put_index(
        &upstream,
        "team/app",
        "1",
        &[amd64.entry("amd64", &[]), arm.entry("arm64", &[])],
    );
    put_index(
        &upstream,
        "team/tools",
        "latest",
        &[tools.entry("amd64", &[]), tools_arm.entry("arm64", &[])],
    );
    let catalog = "
profile:
  name: site/tools
  actions:
    - name: manifest-add
      event: post-manifest-get
      args: {layerRepository: team/tools, repository: team/app}
";
    let Some(metahub) = start(&upstream, catalog) else {
        return;
    };
    let layers = pull(&metahub, Some("site/tools"), "team/app");
    assert_eq!(layers, [digest_of(b"the app"), digest_of(b"the tools")]);
    // The index that is served names what was derived for either architecture, so manifests and
    // configurations of both are read; layers of one.
    let mut expected = vec![
        amd64.by("1"),
        tools.by("latest"),
        amd64.layer(),
        tools.layer(),
    ];
    for image in [&amd64, &arm, &tools, &tools_arm] {
        expected.extend([image.by(&image.digest()), image.config()]);
    }
    // Nothing is asked of what refers to them: the login has no hardware to judge them by.
    assert_eq!(asked(&upstream), sorted(expected));
    pull(&metahub, Some("site/tools"), "team/app");
    assert_eq!(asked(&upstream), Vec::<String>::new());
}

#[test]
fn an_upstream_that_is_down_does_not_take_away_layers_that_come_from_another() {
    let (one, two) = (Scripted::start(), Scripted::start());
    let app = Image::put(&one, "team/app", "1", "the app", "amd64");
    put_index(&one, "team/app", "1", &[app.entry("amd64", &[])]);
    let tools = Image::put(&two, "tools", "latest", "the tools", "amd64");
    let catalog = "
profile:
  name: site/tools
  actions:
    - name: manifest-add
      event: post-manifest-get
      args: {layerRepository: two.test/tools, repository: team/app}
";
    let config = format!(
        "anonymous: read\nallow_any_host: false\ntag_lifetime: 1h\nupstreams: [{}, {}]\n",
        one.entry("one.test", "default: true, retry: { attempts: 1 }"),
        two.entry("two.test", "")
    );
    if !require::tools(&["setpriv"]) {
        return;
    }
    let metahub = MetaHub::start(&config, &[("site.yaml", catalog)]);
    let login = Some("site/tools");
    get(&metahub, login, "/v2/team/app/manifests/1");
    one.fail(503, None);
    let blob = format!("/v2/team/app/blobs/{}", digest_of(b"the tools"));
    assert_eq!(get(&metahub, login, &blob).text(), "the tools");
    assert!(two.asked().contains(&tools.layer()));
}

#[test]
fn a_collection_asks_once_for_each_manifest_that_it_names_and_for_what_entries_leave_open() {
    let upstream = Scripted::start();
    let zen3 = Image::put(&upstream, "team/app", "zen3", "for zen3", "amd64");
    let lake = Image::put(&upstream, "team/app", "lake", "for lake", "amd64");
    let any = Image::put(&upstream, "team/app", "any", "for any", "amd64");
    let one = Image::put(&upstream, "other/app", "one", "of an index", "amd64");
    let two = Image::put(
        &upstream,
        "other/app",
        "two",
        "of an index for arm",
        "arm64",
    );
    put_index(
        &upstream,
        "other/app",
        "1",
        &[one.entry("amd64", &["arch:zen4"]), two.entry("arm64", &[])],
    );
    let catalog = "
manifests:
  - name: site/app
    tag: 1
    manifests:
      - image: up.test/team/app:zen3
        platform: {features: [arch:zen3]}
      - image: up.test/team/app:lake
        platform: {os: linux, architecture: amd64, features: [arch:cascadelake]}
      - image: up.test/team/app:any
        platform: {os: linux, architecture: amd64, features: []}
      - image: up.test/other/app:1
";
    let Some(metahub) = start(&upstream, catalog) else {
        return;
    };
    assert_eq!(
        pull(&metahub, Some("zen3"), "site/app"),
        [digest_of(b"for zen3")]
    );
    let mut expected = vec![zen3.by("zen3"), lake.by("lake"), any.by("any"), one.by("1")];
    // What their entries write may be less than they require.
    for image in [&zen3, &lake] {
        expected.push(image.config());
        expected.extend(image.referrers());
    }
    expected.push(zen3.layer());
    assert_eq!(asked(&upstream), sorted(expected));
    // Another login costs what it gets and was not read, and nobody anything twice.
    assert_eq!(
        pull(&metahub, Some("zen2"), "site/app"),
        [digest_of(b"for any")]
    );
    assert_eq!(asked(&upstream), sorted([any.config(), any.layer()]));
    pull(&metahub, Some("zen3"), "site/app");
    assert_eq!(asked(&upstream), Vec::<String>::new());
}

#[test]
fn nobody_is_asked_what_refers_to_content_that_was_pushed_or_made_here() {
    let upstream = Scripted::start();
    let zen3 = Image::put(&upstream, "team/app", "zen3", "for zen3", "amd64");
    let catalog = "
manifests:
  - name: site/app
    tag: 1
    manifests:
      - image: up.test/team/app:zen3
";
    let Some(metahub) = start(&upstream, catalog) else {
        return;
    };
    let metahub = metahub.restart_with("anonymous: write\nsparse: true");
    metahub
        .call("PUT", "/v2/own/app/manifests/1")
        .header("Content-Type", MANIFEST_TYPE)
        .body(&*zen3.manifest)
        .send_as_anybody()
        .expect(201);
    let made = get(&metahub, None, "/v2/site/app/manifests/1").body;
    // What the image says of itself was asked for, to choose it.
    let before = asked(&upstream);
    let referrers = zen3.referrers();
    assert!(
        referrers.iter().all(|one| before.contains(one)),
        "{before:?}"
    );
    for (name, subject) in [("own/app", &zen3.manifest), ("site/app", &made)] {
        let path = format!("/v2/{name}/referrers/{}", digest_of(subject));
        get(&metahub, None, &path);
        assert_eq!(asked(&upstream), Vec::<String>::new(), "{name}");
    }
    // Of what comes from there it is asked, once for however many want to know.
    let path = format!("/v2/team/app/referrers/{}", zen3.digest());
    for _ in 0..3 {
        get(&metahub, None, &path);
    }
    assert_eq!(asked(&upstream), Vec::<String>::new());
}
