//! Blobs reach clients byte for byte, whichever way they are sent: whole, in ranges, to many at
//! once, after a restart, and never as if whole when their file is cut on the way.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test"
)]

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper::Request;
use hyper_util::rt::{TokioExecutor, TokioIo};
use metahub_e2e::http::{digest_of, runtime};
use metahub_e2e::metahub::MetaHub;
use metahub_e2e::pusher::Pusher;
use metahub_e2e::require;

const MEBIBYTE: usize = 1024 * 1024;

fn start(send_blobs: &str) -> Option<MetaHub> {
    let config =
        format!("anonymous: write\noffline: true\nupstreams: []\nsend_blobs: {send_blobs}");
    require::tools(&["setpriv"]).then(|| MetaHub::start(&config, &[]))
}

fn pusher(metahub: &MetaHub) -> Pusher<'_> {
    Pusher {
        host: metahub.host(),
        repository: "site/app",
        login: Some(("zen3", "")),
    }
}

fn content(length: usize) -> Vec<u8> {
    (0..length as u64).map(|i| (i * i % 251) as u8).collect()
}

/// The file under `folder` whose path names the blob.
fn find(folder: &Path, hex: &str) -> Option<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap();
    entries.map(|entry| entry.unwrap().path()).find_map(|path| {
        if path.is_dir() {
            return find(&path, hex);
        }
        let tail = path.file_name()?.to_str()?;
        (hex.ends_with(tail) && tail.len() > 8).then_some(path)
    })
}

#[track_caller]
fn is_served(metahub: &MetaHub, content: &[u8]) {
    let pusher = pusher(metahub);
    let path = format!("blobs/{}", digest_of(content));
    let whole = pusher.call("GET", &path).send().expect(200);
    assert!(whole.body == content && !whole.cut);
    for (first, last) in [(0, 0), (5, 2 * MEBIBYTE + 9), (MEBIBYTE, content.len() - 1)] {
        let range = format!("bytes={first}-{last}");
        let part = pusher.call("GET", &path).header("Range", range);
        assert!(part.send().expect(206).body == content[first..=last]);
    }
    let several = pusher
        .call("GET", &path)
        .header("Range", "bytes=1-1500000,1600000-1600009");
    let several = several.send().expect(206).body;
    for part in [&content[1..=1_500_000], &content[1_600_000..=1_600_009]] {
        assert!(several.windows(part.len()).any(|window| window == part));
    }
}

#[test]
fn a_blob_is_the_same_whichever_way_it_is_sent() {
    let content = content(4 * MEBIBYTE + 321);
    for send_blobs in ["sendfile", "read"] {
        let Some(metahub) = start(send_blobs) else {
            return;
        };
        pusher(&metahub).blob(&content);
        is_served(&metahub, &content);
        // The first whole read after a restart is checked on the way, the next one is not.
        let metahub = metahub.restart();
        is_served(&metahub, &content);
        is_served(&metahub, &content);
    }
}

#[test]
fn many_clients_at_once_get_every_byte() {
    let Some(metahub) = start("sendfile") else {
        return;
    };
    let content = content(6 * MEBIBYTE + 1);
    pusher(&metahub).blob(&content);
    let path = format!("blobs/{}", digest_of(&content));
    std::thread::scope(|scope| {
        for _ in 0..24 {
            scope.spawn(|| {
                let answer = pusher(&metahub).call("GET", &path).send().expect(200);
                assert!(answer.body == content && !answer.cut);
            });
        }
    });
}

#[test]
fn a_client_of_http_2_in_the_clear_gets_every_byte() {
    let Some(metahub) = start("sendfile") else {
        return;
    };
    let content = content(3 * MEBIBYTE);
    pusher(&metahub).blob(&content);
    let body = runtime().block_on(async {
        let stream = tokio::net::TcpStream::connect(metahub.host())
            .await
            .unwrap();
        let (mut sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
                .await
                .unwrap();
        tokio::spawn(connection);
        let path = format!("/v2/site/app/blobs/{}", digest_of(&content));
        let request = Request::get(format!("http://{}{path}", metahub.host()))
            .header("Authorization", metahub_e2e::http::basic("zen3", ""))
            .body(Empty::<Bytes>::new())
            .unwrap();
        let answer = sender.send_request(request).await.unwrap();
        answer.into_body().collect().await.unwrap().to_bytes()
    });
    assert!(body == content);
}

#[test]
fn a_file_that_is_cut_while_it_is_sent_is_never_whole() {
    let Some(metahub) = start("sendfile") else {
        return;
    };
    let content = content(64 * MEBIBYTE);
    pusher(&metahub).blob(&content);
    let digest = digest_of(&content);
    let mut stream = TcpStream::connect(metahub.host()).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(60)))
        .unwrap();
    let login = metahub_e2e::http::basic("zen3", "");
    write!(
        stream,
        "GET /v2/site/app/blobs/{digest} HTTP/1.1\r\nHost: a\r\nAuthorization: {login}\r\n\r\n"
    )
    .unwrap();
    let mut begin = [0; 15];
    stream.read_exact(&mut begin).unwrap();
    assert_eq!(&begin, b"HTTP/1.1 200 OK");
    // Sockets hold a few mebibytes; the server is far from the end.
    let hex = digest.strip_prefix("sha256:").unwrap();
    let file = find(&metahub.data(), hex).unwrap();
    let file = std::fs::OpenOptions::new().write(true).open(file).unwrap();
    file.set_len(1).unwrap();
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest);
    assert!(rest.len() < content.len());
    // Everybody else is served.
    let _ = pusher(&metahub).call("GET", "tags/list").send();
    pusher(&metahub).blob(b"another one");
}
