//! How much one client can make a registry fetch: as many bytes as a blob has, while somebody
//! reads them, and within the cache's bounds.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test"
)]

use std::convert::Infallible;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use futures_util::StreamExt as _;
use metahub_e2e::faulty::{Fault, Faulty, Image, MANIFEST_TYPE};
use metahub_e2e::http::{Answer, digest_of};
use metahub_e2e::metahub::MetaHub;
use metahub_e2e::process::wait_until;
use metahub_e2e::require;
use metahub_e2e::stand::{Asked, Stand, content, reply};
use serde_json::json;

const MIB: u64 = 1024 * 1024;
const SOON: Duration = Duration::from_secs(60);

fn before(host: &str, more: &str) -> MetaHub {
    let config = format!(
        "anonymous: read\nmetrics: everybody\nallow_any_host: false\n{more}\nupstreams: [{{ host: \
         up.test, url: 'http://{host}', plain_http: true, default: true }}]\n"
    );
    MetaHub::start(&config, &[])
}

fn get(metahub: &MetaHub, path: &str) -> Answer {
    metahub
        .get(path)
        .header("Accept", MANIFEST_TYPE)
        .send_as_anybody()
}

/// Bytes in the files of the staging folder.
fn staged(metahub: &MetaHub) -> u64 {
    let files = fs::read_dir(metahub.data().join("staging")).unwrap();
    let sizes = files.filter_map(|file| Some(file.ok()?.metadata().ok()?.len()));
    sizes.sum()
}

/// A manifest with one layer that is said to have `size` bytes.
fn manifest(layer: &[u8], size: u64) -> Vec<u8> {
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "config": { "mediaType": "application/vnd.oci.image.config.v1+json",
                    "digest": digest_of(b"{}"), "size": 2 },
        "layers": [{ "mediaType": "application/vnd.oci.image.layer.v1.tar",
                     "digest": digest_of(layer), "size": size }],
    });
    serde_json::to_vec(&manifest).unwrap()
}

/// A registry that streams without end whatever blob is asked for, and counts what is taken.
fn endless(manifest: Vec<u8>, length: Option<u64>) -> (Stand, Arc<AtomicU64>) {
    let sent = Arc::<AtomicU64>::default();
    let counted = Arc::clone(&sent);
    let stand = Stand::start(move |asked: &Asked| {
        if asked.line.contains("/manifests/") {
            return content(MANIFEST_TYPE, &manifest);
        }
        if asked.line.starts_with("HEAD") {
            return reply(405, "Allow", "GET");
        }
        let counted = Arc::clone(&counted);
        let zeros = futures_util::stream::repeat(Bytes::from_static(&[0; 65536])).map(move |b| {
            counted.fetch_add(b.len() as u64, Ordering::SeqCst);
            Ok::<_, Infallible>(b)
        });
        let mut answer = content("application/octet-stream", b"");
        *answer.body_mut() = Body::from_stream(zeros);
        answer.headers_mut().remove("Docker-Content-Digest");
        if let Some(length) = length {
            answer.headers_mut().insert("Content-Length", length.into());
        }
        answer
    });
    (stand, sent)
}

/// The bytes that an upstream may have sent and nobody read: what the kernel lets the buffers of a
/// connection grow to on this machine (tcp(7)), and some MiB in the two programs.
fn on_the_way() -> u64 {
    let largest = |kind: &str| {
        let sizes = fs::read_to_string(format!("/proc/sys/net/ipv4/tcp_{kind}mem")).unwrap();
        let largest = sizes.split_whitespace().last().unwrap();
        largest.parse::<u64>().unwrap()
    };
    largest("r") + largest("w") + 8 * MIB
}

#[test]
fn a_stream_without_end_is_read_up_to_the_bound_and_nothing_of_it_stays() {
    if !require::tools(&["setpriv"]) {
        return;
    }
    for cache in ["size: 20 MiB", "largest_blob: 20 MiB"] {
        let (upstream, sent) = endless(manifest(b"x", 1), None);
        let metahub = before(upstream.host(), &format!("cache: {{{cache}}}"));
        for round in 1..=3u64 {
            let digest = digest_of(round.to_string().as_bytes());
            let answer = get(&metahub, &format!("/v2/any/thing/blobs/{digest}"));
            answer.expect_error(503, "UNAVAILABLE");
            let most = round * (20 * MIB + on_the_way());
            assert!(sent.load(Ordering::SeqCst) < most, "{cache}: {sent:?}");
        }
        let freed = wait_until(SOON, || staged(&metahub) == 0);
        assert!(freed, "{cache}: {} bytes are kept", staged(&metahub));
    }
}

#[test]
fn a_layer_is_read_up_to_the_size_that_its_manifest_says() {
    if !require::tools(&["setpriv"]) {
        return;
    }
    let layer = [0; 1000];
    for length in [None, Some(300 * MIB)] {
        let (upstream, sent) = endless(manifest(&layer, 1000), length);
        let metahub = before(upstream.host(), "");
        get(&metahub, "/v2/team/app/manifests/1").expect(200);
        let path = format!("/v2/team/app/blobs/{}", digest_of(&layer));
        let answer = get(&metahub, &path);
        match length {
            // The first thousand zeros are right, and all that is taken of them.
            None => assert!(!answer.cut && answer.expect(200).body == layer),
            Some(_) => {
                let text = answer.expect_error(503, "UNAVAILABLE").text();
                assert!(text.contains("1000 as the manifest says"), "{text}");
            }
        }
        assert!(sent.load(Ordering::SeqCst) < on_the_way(), "{sent:?}");
        assert!(wait_until(SOON, || staged(&metahub) == 0));
    }
}

/// A client that asks for `path`, reads more than is thrown away where it ends, and leaves.
fn leave(metahub: &MetaHub, path: &str) {
    let token = metahub
        .get("/token?service=metahub&scope=repository:team/app:pull")
        .send()
        .expect(200)
        .json();
    let token = token["token"].as_str().unwrap();
    let mut stream = TcpStream::connect(metahub.host()).unwrap();
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n"
    )
    .unwrap();
    stream.read_exact(&mut vec![0; MIB as usize]).unwrap();
}

#[test]
fn a_fetch_that_nobody_reads_pauses_and_goes_on_when_somebody_asks() {
    if !require::tools(&["setpriv"]) {
        return;
    }
    let upstream = Faulty::with(Image::of_size(24 * MIB as usize));
    let metahub = before(upstream.host(), "");
    let layer = Image::blob(&upstream.image.layer);
    get(&metahub, Image::TAG).expect(200);
    upstream.break_path(&layer, Fault::PauseWhole(2 * MIB as usize));
    leave(&metahub, &layer);
    let paused = wait_until(SOON, || metahub.log().contains("nobody reads it"));
    assert!(paused, "{}", metahub.log());
    upstream.mend();
    let before = upstream.bytes_sent(&layer);
    assert!(before <= 2 * MIB, "{before}");
    let answer = get(&metahub, &layer).expect(200);
    assert!(!answer.cut && answer.body == upstream.image.layer);
    let parts = upstream.parts_asked(&layer);
    assert!(
        parts.iter().any(|part| part != "bytes=0-"),
        "it went on where it stood: {parts:?}"
    );
    assert!(upstream.bytes_sent(&layer) < 26 * MIB, "no byte came twice");
    assert!(metahub.files_that_lie().is_empty());
}

#[test]
fn head_of_a_blob_says_what_get_would_and_fetches_nothing() {
    if !require::tools(&["setpriv"]) {
        return;
    }
    for fault in [None, Some(Fault::NoHead)] {
        let upstream = Faulty::start();
        let layer = Image::blob(&upstream.image.layer);
        if let Some(fault) = &fault {
            upstream.break_path(&layer, fault.clone());
        }
        let metahub = before(upstream.host(), "");
        // Nothing of the repository was pulled yet.
        let head = metahub.call("HEAD", &layer).send_as_anybody().expect(200);
        let size = upstream.image.layer.len().to_string();
        assert_eq!(head.header("content-length"), size, "{fault:?}");
        assert!(!metahub.holds(&upstream.image.layer));
        assert!(upstream.bytes_sent(&layer) <= 64 * 1024, "{fault:?}");
        let unknown = digest_of(b"nothing");
        let path = format!("/v2/team/app/blobs/{unknown}");
        metahub.call("HEAD", &path).send_as_anybody().expect(404);
        let answer = get(&metahub, &layer).expect(200);
        assert!(answer.body == upstream.image.layer);
    }
}

/// A registry that lists `tags` on pages of one, and fails from page `fails` on.
fn pages(tags: &'static [&'static str], fails: usize) -> Stand {
    Stand::start(move |asked: &Asked| {
        let page = asked.line.split_once("page=").map_or("0", |(_, page)| page);
        let page: usize = page.parse().unwrap();
        if page >= fails {
            return reply(500, "X-Why", "on purpose");
        }
        let list = json!({ "name": "team/app", "tags": [tags[page]] }).to_string();
        let mut answer = content("application/json", list.as_bytes());
        if page + 1 < tags.len() {
            let next = format!("</v2/team/app/tags/list?page={}>; rel=\"next\"", page + 1);
            answer.headers_mut().insert("Link", next.parse().unwrap());
        }
        answer
    })
}

#[test]
fn tags_are_listed_as_far_as_they_came_and_the_upstream_is_asked_once_for_all_pages() {
    if !require::tools(&["setpriv"]) {
        return;
    }
    const TAGS: &[&str] = &["d", "b", "c", "a"];
    let upstream = pages(TAGS, 2);
    let metahub = before(upstream.host(), "tag_lifetime: 0s");
    let answer = get(&metahub, "/v2/team/app/tags/list").expect(200);
    assert_eq!(answer.json()["tags"], json!(["b", "d"]));
    assert!(
        answer.header("warning").contains("may be missing"),
        "{answer}"
    );
    let upstream = pages(TAGS, usize::MAX);
    let metahub = before(upstream.host(), "tag_lifetime: 0s");
    let (mut path, mut all) = ("/v2/team/app/tags/list?n=1".to_owned(), Vec::new());
    loop {
        let answer = get(&metahub, &path).expect(200);
        let tags = answer.json()["tags"].as_array().unwrap().clone();
        all.extend(tags.iter().map(|tag| tag.as_str().unwrap().to_owned()));
        let Some((next, _)) = answer
            .header("link")
            .trim_start_matches('<')
            .split_once('>')
        else {
            break;
        };
        path = next.to_owned();
    }
    assert_eq!(all, ["a", "b", "c", "d"]);
    assert_eq!(
        upstream.asked().len(),
        TAGS.len(),
        "each page was read once"
    );
}

#[test]
fn a_registry_that_can_write_says_that_it_is_ready() {
    if !require::tools(&["setpriv"]) {
        return;
    }
    let metahub = MetaHub::start("upstreams: []\noffline: true\n", &[]);
    let answer = metahub.get("/readyz").send().expect(200);
    assert_eq!(answer.text(), "ok\n");
}
