//! A MetaHub before a MetaHub: what a site reads through another site's registry, open, with an
//! account and under a profile, cold and for many at once, and when the first is gone.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test")]

use metahub_e2e::docker;
use metahub_e2e::faulty::MANIFEST_TYPE;
use metahub_e2e::http::{Answer, digest_of};
use metahub_e2e::metahub::MetaHub;
use metahub_e2e::pusher::{INDEX, Pusher};
use metahub_e2e::require;
use metahub_e2e::scripted::Scripted;
use metahub_e2e::skopeo::{self, Skopeo};
use metahub_e2e::world::World;
use serde_json::{Value, json};

const PASSWORD: &str = "correct-horse-battery";

/// A second MetaHub, which reads from the one at `first`.
fn second(first: &str, more: &str) -> MetaHub {
    let config = format!(
        "anonymous: read\nallow_any_host: false\ntag_lifetime: 0s\nupstreams: [{{ host: first.test, \
         url: 'http://{first}', plain_http: true, default: true, {more} }}]\n"
    );
    MetaHub::start(&config, &[])
}

/// A first MetaHub, to which images were pushed and which reads others from an upstream.
struct First {
    far: Scripted,
    metahub: MetaHub,
    layer: Vec<u8>,
}

impl First {
    fn start() -> Self {
        let far = Scripted::start();
        far.put("far/app", "1", "from far away");
        far.put("far/app", "2", "from far away, too");
        let config = format!(
            "anonymous: write\nallow_any_host: false\nupstreams: [{}]\n",
            far.entry("far.test", "default: true")
        );
        let first = Self {
            far,
            metahub: MetaHub::start(&config, &[]),
            layer: (0..2_000_000_u32).flat_map(u32::to_le_bytes).collect(),
        };
        push(first.metahub.host(), None, &first.layer);
        first
    }
}

/// Pushes an index of three images as `team/app:1`.
fn push(host: &str, login: Option<(&str, &str)>, layer: &[u8]) {
    let pusher = Pusher {
        host,
        repository: "team/app",
        login,
    };
    let generic = pusher.image("generic", "amd64", layer);
    let zen3 = pusher.image("zen3", "amd64", b"for zen3");
    let arm = pusher.image("arm", "arm64", b"for arm64");
    pusher.index(
        "1",
        &[
            (&generic, "amd64", &[]),
            (&zen3, "amd64", &["arch:zen3"]),
            (&arm, "arm64", &[]),
        ],
    );
}

fn get(metahub: &MetaHub, path: &str) -> Answer {
    metahub
        .get(path)
        .header("Accept", format!("{INDEX}, {MANIFEST_TYPE}"))
        .send_as_anybody()
}

/// The digests of the blobs and manifests that `name:reference` leads to, all of them read.
fn pull(metahub: &MetaHub, name: &str, reference: &str) -> Vec<String> {
    let manifest = get(metahub, &format!("/v2/{name}/manifests/{reference}")).expect(200);
    let mut digests = vec![digest_of(&manifest.body)];
    let json = manifest.json();
    for child in json["manifests"].as_array().into_iter().flatten() {
        digests.extend(pull(metahub, name, child["digest"].as_str().unwrap()));
    }
    let layers = json["layers"].as_array().into_iter().flatten();
    for blob in layers.chain(json.get("config")) {
        let digest = blob["digest"].as_str().unwrap();
        let answer = get(metahub, &format!("/v2/{name}/blobs/{digest}")).expect(200);
        assert!(!answer.cut && digest_of(&answer.body) == digest, "{digest}");
        digests.push(digest.to_owned());
    }
    digests
}

#[test]
fn what_the_first_holds_and_what_it_reads_comes_through_the_second_whole() {
    if !require::tools(&[skopeo::NEEDS, &["setpriv"]].concat()) {
        return;
    }
    let first = First::start();
    let second = second(first.metahub.host(), "");
    let skopeo = Skopeo::new();
    for image in ["team/app:1", "far/app:1"] {
        let by = |metahub: &MetaHub, folder: &str| {
            let from = format!("docker://{}", metahub.image(image));
            let to = skopeo.path(folder);
            let done = skopeo.copy(&from, &format!("dir:{}", to.display()), true);
            assert_eq!(done.code, Some(0), "{done}");
            let mut files: Vec<_> = std::fs::read_dir(to)
                .unwrap()
                .map(|file| file.unwrap().path())
                .map(|file| {
                    (
                        file.file_name().unwrap().to_owned(),
                        std::fs::read(file).unwrap(),
                    )
                })
                .collect();
            files.sort();
            std::fs::remove_dir_all(skopeo.path(folder)).unwrap();
            files
        };
        // The second first: nothing is warm anywhere.
        assert!(
            by(&second, "second") == by(&first.metahub, "first"),
            "{image}"
        );
    }
    for name in ["team/app", "far/app"] {
        let path = format!("/v2/{name}/tags/list");
        let tags = |metahub: &MetaHub| get(metahub, &path).expect(200).json()["tags"].clone();
        assert_eq!(tags(&second), tags(&first.metahub), "{name}");
    }
}

#[test]
fn referrers_and_ranges_come_through_the_second() {
    if !require::tools(&["setpriv"]) {
        return;
    }
    let first = First::start();
    let index = get(&first.metahub, "/v2/team/app/manifests/1").expect(200);
    let subject = json!({
        "mediaType": INDEX, "digest": digest_of(&index.body), "size": index.body.len(),
    });
    let signer = Scripted::start();
    let signature = signer.put_for("x", "1", "signature", "amd64", &subject);
    let pusher = Pusher {
        host: first.metahub.host(),
        repository: "team/app",
        login: None,
    };
    let parsed: Value = serde_json::from_slice(&signature).unwrap();
    for blob in [&parsed["config"], &parsed["layers"][0]] {
        let digest = blob["digest"].as_str().unwrap();
        let path = format!("/v2/x/blobs/{digest}");
        pusher.blob(&metahub_e2e::http::get(signer.host(), &path).send().body);
    }
    let digest = digest_of(&signature);
    let pushed = pusher.manifest(&digest, MANIFEST_TYPE, &signature);
    pushed.expect(201);

    let second = second(first.metahub.host(), "");
    let path = format!("/v2/team/app/referrers/{}", digest_of(&index.body));
    // Nothing was read there before: who verifies by digest asks for this first.
    let listed = get(&second, &path).expect(200).json();
    assert_eq!(listed["manifests"][0]["digest"], digest, "{listed}");
    let path = format!("/v2/team/app/manifests/{digest}");
    assert_eq!(get(&second, &path).expect(200).body, signature);

    let size = first.layer.len();
    let path = format!("/v2/team/app/blobs/{}", digest_of(&first.layer));
    for range in [size - 100..size, 3_000_000..3_500_000, 0..10] {
        let header = format!("bytes={}-{}", range.start, range.end - 1);
        let call = second.get(&path).header("Range", header);
        let part = call.send_as_anybody().expect(206);
        assert!(part.body == first.layer[range.clone()], "{range:?}");
    }
    assert!(get(&second, &path).expect(200).body == first.layer);
}

/// What the first was asked for by the second and gave, as its log has it: method and reference.
fn given(log: &str) -> Vec<String> {
    let field = |line: &str, name: &str| {
        let start = format!(" {name}=");
        let rest = line.split_once(&start).map_or("", |(_, rest)| rest);
        rest.split(' ').next().unwrap().trim_matches('"').to_owned()
    };
    let mut given: Vec<String> = log
        .lines()
        .filter(|line| line.contains(" agent=\"metahub/"))
        .filter(|line| !field(line, "repository").is_empty() && !line.contains(" status=401"))
        .map(|line| format!("{} {}", field(line, "method"), field(line, "reference")))
        .collect();
    given.sort();
    given
}

#[test]
fn fifty_clients_of_a_cold_image_cost_the_first_one_request_for_each_object() {
    if !require::tools(&["setpriv"]) {
        return;
    }
    let mut first = First::start();
    let second = second(first.metahub.host(), "");
    let pulled: Vec<Vec<String>> = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..50)
            .map(|_| {
                scope.spawn(|| {
                    [
                        pull(&second, "team/app", "1"),
                        pull(&second, "far/app", "1"),
                    ]
                })
            })
            .collect();
        let pulled = clients
            .into_iter()
            .map(|client| client.join().unwrap().concat());
        pulled.collect()
    });
    assert!(pulled.iter().all(|one| one == &pulled[0]));
    // Its log is whole when it has ended.
    first.metahub.terminate();
    let given = given(&first.metahub.log());
    let mut expected: Vec<String> = pulled[0]
        .iter()
        .map(|digest| format!("GET {digest}"))
        .collect();
    expected.sort();
    let blobs: Vec<&String> = given
        .iter()
        .filter(|line| line.contains("sha256:"))
        .collect();
    // What the tags name came by the tags.
    expected.retain(|line| given.contains(line));
    assert_eq!(blobs, expected.iter().collect::<Vec<_>>());
    let tags = given.iter().filter(|line| *line == "GET 1").count();
    assert_eq!(tags, 2, "{given:?}");
    assert_eq!(pulled[0].len(), expected.len() + 2, "{given:?}");
    let far = first.far.asked();
    let gets = far.iter().filter(|line| line.starts_with("GET"));
    assert_eq!(gets.count(), 3, "{far:?}");
}

#[test]
fn when_the_first_is_gone_the_second_serves_what_it_has_and_says_so() {
    if !require::tools(&["setpriv"]) {
        return;
    }
    let mut first = First::start();
    let second = second(first.metahub.host(), "retry: { attempts: 1 }");
    let images = [("team/app", "1"), ("far/app", "1")];
    let before = images.map(|(name, tag)| pull(&second, name, tag));
    first.metahub.terminate();
    for ((name, tag), before) in images.into_iter().zip(before) {
        let answer = get(&second, &format!("/v2/{name}/manifests/{tag}")).expect(200);
        let warning = answer.header("warning");
        assert!(
            warning.contains("kept copy") && warning.contains("first.test"),
            "{answer}"
        );
        assert_eq!(pull(&second, name, tag), before);
    }
    let answer = get(&second, "/v2/far/app/manifests/2").expect_error(503, "UNAVAILABLE");
    assert!(answer.text().contains("first.test"), "{answer}");
}

#[test]
fn the_second_reads_with_an_account_of_the_first_or_under_one_of_its_profiles() {
    if !require::tools(&["setpriv"]) {
        return;
    }
    let closed = MetaHub::start("anonymous: none\noffline: true\nupstreams: []\n", &[]);
    closed.add_account("ann", "admin", PASSWORD);
    closed.add_account("bob", "reader", PASSWORD);
    push(closed.host(), Some(("ann", PASSWORD)), b"for any machine");
    let folder = tempfile::tempdir().unwrap();
    let (right, wrong) = (folder.path().join("right"), folder.path().join("wrong"));
    std::fs::write(&right, PASSWORD).unwrap();
    std::fs::write(&wrong, "not-the-password").unwrap();
    let reading_as = |user: &str, file: &std::path::Path| {
        let file = file.display();
        second(
            closed.host(),
            &format!("credentials: {{ username: {user}, password_file: '{file}' }}"),
        )
    };
    let layers = |second: &MetaHub| pull(second, "team/app", "1");
    let (generic, zen3) = (digest_of(b"for any machine"), digest_of(b"for zen3"));

    let all = layers(&reading_as("bob", &right));
    assert!(all.contains(&generic) && all.contains(&zen3), "{all:?}");
    // The first chooses for whom it knows by a profile, and the second serves that to everybody.
    let chosen = layers(&reading_as("bob/zen3", &right));
    assert!(
        !chosen.contains(&generic) && chosen.contains(&zen3),
        "{chosen:?}"
    );

    let refused = get(&reading_as("bob", &wrong), "/v2/team/app/manifests/1");
    assert!([401, 403, 503].contains(&refused.status), "{refused}");
    let text = refused.text();
    assert!(
        text.contains("first.test") && !text.contains("not-the-password"),
        "{refused}"
    );
    let nobody = get(&second(closed.host(), ""), "/v2/team/app/manifests/1");
    assert!([401, 403].contains(&nobody.status), "{nobody}");
    assert!(nobody.text().contains("first.test"), "{nobody}");
}

#[test]
fn docker_runs_through_two_what_fits_the_profile_of_its_login() {
    let Some(world) = World::start(docker::NEEDS) else {
        return;
    };
    let second = second(world.metahub.host(), "");
    let docker = world.docker();
    for (user, target) in [("zen3", "zen3"), ("cascadelake", "cascadeLake")] {
        let done = docker.login(user, second.host(), user, "any");
        assert_eq!(done.code, Some(0), "{done}");
        let image = second.image("qnib/featuretest:latest");
        let ran = docker.run(user, &image, &[]);
        ran.says(&format!("arch:{target}"));
    }
}
