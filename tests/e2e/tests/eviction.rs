//! A bound on what is cached from upstreams: it holds, the right images stay, and nobody notices but
//! the upstream.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test"
)]

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use metahub_e2e::http::digest_of;
use metahub_e2e::metahub::MetaHub;
use metahub_e2e::process::wait_until;
use metahub_e2e::pusher::{CONFIG, MANIFEST, Pusher, descriptor};
use metahub_e2e::require;
use serde_json::json;

const OPEN: &str = "anonymous: write\noffline: true\nupstreams: []";
const MIB: usize = 1024 * 1024;
/// How long an eviction may take to be seen.
const SOON: Duration = Duration::from_secs(60);

/// Content that no other tag has.
fn layer(tag: &str, size: usize) -> Vec<u8> {
    let mut layer = vec![tag.as_bytes()[0]; size];
    layer[..tag.len()].copy_from_slice(tag.as_bytes());
    layer
}

fn push(host: &str, repository: &str, tag: &str, layer: &[u8]) {
    let pusher = Pusher {
        host,
        repository,
        login: None,
    };
    let _descriptor = pusher.image(tag, "amd64", layer);
}

struct Sites {
    upstream: MetaHub,
    site: MetaHub,
}

/// An upstream with images of one layer each, and a site with a bound.
fn start(tags: &[&str], size: usize, cache: &str, catalog: &[(&str, &str)]) -> Option<Sites> {
    if !require::tools(&["setpriv"]) {
        return None;
    }
    let upstream = MetaHub::start(OPEN, &[]);
    for tag in tags {
        push(upstream.host(), "team/app", tag, &layer(tag, size));
    }
    let config = format!(
        "anonymous: write\nmetrics: everybody\n{cache}\n\
         upstreams: [{{host: upstream.test, url: \"http://{}\", plain_http: true}}]",
        upstream.host()
    );
    let site = MetaHub::start(&config, catalog);
    Some(Sites { upstream, site })
}

impl Sites {
    /// Pulls an image through the site, whole.
    fn pull(&self, tag: &str) {
        let login = Some(("zen3", "any"));
        let name = "upstream.test/team/app";
        let get = |path: String| self.site.get(&path).login(login).send().expect(200);
        let index = get(format!("/v2/{name}/manifests/{tag}")).json();
        for blob in index["layers"]
            .as_array()
            .unwrap()
            .iter()
            .chain([&index["config"]])
        {
            let digest = blob["digest"].as_str().unwrap();
            let bytes = get(format!("/v2/{name}/blobs/{digest}"));
            assert!(!bytes.cut && digest_of(&bytes.body) == digest);
        }
    }

    fn holds(&self, tag: &str, size: usize) -> bool {
        self.site.holds(&layer(tag, size))
    }

    fn kept_bytes(&self) -> Option<f64> {
        let text = self.site.get("/metrics").send().expect(200).text();
        let line = text.lines().find_map(|line| {
            line.strip_prefix("metahub_kept_bytes{upstream=\"upstream.test\"} ")
        })?;
        line.parse().ok()
    }
}

#[test]
fn the_bound_holds_and_what_is_recent_pinned_named_or_pushed_stays() {
    let collection =
        "manifests: [{name: ours, tag: 1, manifests: [{image: upstream.test/team/app:named}]}]\n";
    let cache = "cache: {size: 5 MiB, spare: 0s, pinned: ['upstream[.]test/team/app:pinned']}";
    let tags = ["named", "pinned", "a", "b", "c", "d", "e"];
    let Some(sites) = start(&tags, MIB, cache, &[("ours.yaml", collection)]) else {
        return;
    };
    push(sites.site.host(), "own/app", "1", &layer("own", 3 * MIB));
    for tag in ["named", "pinned", "a", "b"] {
        sites.pull(tag);
    }
    // Four are within the bound. A use makes the older of two the more recent one.
    let known = || sites.kept_bytes().is_some_and(|bytes| bytes > 4e6);
    assert!(wait_until(SOON, known), "{}", sites.site.log());
    sites.pull("a");
    for tag in ["c", "d"] {
        sites.pull(tag);
    }
    let bounded =
        || !sites.holds("b", MIB) && sites.kept_bytes().is_some_and(|b| b <= 5.0 * 1048576.0);
    assert!(wait_until(SOON, bounded), "{}", sites.site.log());
    for tag in ["named", "pinned", "d"] {
        assert!(sites.holds(tag, MIB), "{tag} stays\n{}", sites.site.log());
    }
    assert!(
        sites.site.holds(&layer("own", 3 * MIB)),
        "what was pushed stays"
    );
    // It is counted once the look at the bounds is over.
    let counted = || {
        let metrics = sites.site.get("/metrics").send().text();
        !metrics.contains("metahub_evictions_total 0")
    };
    assert!(wait_until(SOON, counted), "{}", sites.site.log());
    // What went comes again for the caller.
    sites.pull("b");
    assert!(sites.site.says("evicted"), "{}", sites.site.log());
}

#[test]
fn manifests_count_though_no_blob_is_ever_asked_for() {
    const SIZE: usize = 400 * 1024;
    let Some(sites) = start(&[], 0, "cache: {size: 1 MiB, spare: 0s}", &[]) else {
        return;
    };
    let pusher = Pusher {
        host: sites.upstream.host(),
        repository: "team/app",
        login: None,
    };
    pusher.blob(b"{}");
    let tags = ["a", "b", "c", "d"];
    for tag in tags {
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": descriptor(CONFIG, b"{}"),
            "layers": [],
            "annotations": { "org.example.filler": tag.repeat(SIZE) },
        });
        let manifest = serde_json::to_vec(&manifest).unwrap();
        pusher.manifest(tag, MANIFEST, &manifest).expect(201);
        let path = format!("/v2/upstream.test/team/app/manifests/{tag}");
        let login = Some(("zen3", "any"));
        sites.site.get(&path).login(login).send().expect(200);
    }
    // Two of them are within the bound.
    let bounded = || {
        let kept = sites.kept_bytes().unwrap_or_default();
        kept > SIZE as f64 && kept <= MIB as f64 && sites.site.log().contains("evicted")
    };
    assert!(wait_until(SOON, bounded), "{}", sites.site.log());
}

#[test]
fn a_bound_of_one_upstream_is_its_own() {
    let Some(sites) = start(&["a", "b", "c"], MIB, "", &[]) else {
        return;
    };
    let config = format!(
        "cache: {{spare: 0s}}\nupstreams: [{{host: upstream.test, url: \"http://{}\", plain_http: true, cache_size: 2 MiB}}]",
        sites.upstream.host()
    );
    let sites = Sites {
        site: MetaHub::start(&config, &[]),
        upstream: sites.upstream,
    };
    for tag in ["a", "b", "c"] {
        sites.pull(tag);
    }
    let held = || {
        ["a", "b", "c"]
            .iter()
            .filter(|tag| sites.holds(tag, MIB))
            .count()
    };
    assert!(wait_until(SOON, || held() <= 1), "{}", sites.site.log());
}

#[test]
fn a_slow_download_goes_on_to_its_end_while_what_it_reads_is_evicted() {
    const SIZE: usize = 24 * MIB;
    let cache = "cache: {size: 1 MiB, spare: 0s}";
    let Some(sites) = start(&["slow"], SIZE, cache, &[]) else {
        return;
    };
    // Asked for and not read: what does not fit into buffers stays where it is.
    let digest = digest_of(&layer("slow", SIZE));
    let mut stream = TcpStream::connect(sites.site.host()).unwrap();
    let login = metahub_e2e::http::basic("zen3", "any");
    let request = format!(
        "GET /v2/upstream.test/team/app/blobs/{digest} HTTP/1.1\r\nHost: {}\r\n\
         Authorization: {login}\r\nConnection: close\r\n\r\n",
        sites.site.host()
    );
    sites.pull("slow");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = vec![0; 64 * 1024];
    let first = stream.read(&mut answer).unwrap();
    answer.truncate(first);
    let gone = wait_until(SOON, || !sites.holds("slow", SIZE));
    assert!(gone, "{}", sites.site.log());
    stream.read_to_end(&mut answer).unwrap();
    let body = answer.windows(4).position(|w| w == b"\r\n\r\n").unwrap() + 4;
    assert!(answer.starts_with(b"HTTP/1.1 200"));
    assert_eq!(answer.len() - body, SIZE);
    assert_eq!(digest_of(&answer[body..]), digest);
}
