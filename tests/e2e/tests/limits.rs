//! What one client may take, and that a slow one holds nobody up: each of these servers has one
//! place for a connection, a client that sits on it, and another one that is served nevertheless.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test"
)]

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper::Request;
use hyper_util::rt::{TokioExecutor, TokioIo};
use metahub_e2e::http::{basic, digest_of, runtime};
use metahub_e2e::metahub::MetaHub;
use metahub_e2e::process::wait_until;
use metahub_e2e::pusher::{MANIFEST, Pusher, with_query};
use metahub_e2e::require;

const LIMIT: Duration = Duration::from_secs(60);
const ONE_PLACE: &str =
    "limits: {connections: 1, header_timeout: 1s, idle_timeout: 1s, stall_timeout: 1s}";

fn start(config: &str) -> Option<MetaHub> {
    let config = format!("anonymous: write\noffline: true\nupstreams: []\n{config}");
    require::tools(&["setpriv"]).then(|| MetaHub::start(&config, &[]))
}

fn pusher(metahub: &MetaHub) -> Pusher<'_> {
    Pusher {
        host: metahub.host(),
        repository: "site/app",
        login: None,
    }
}

fn connect(metahub: &MetaHub) -> TcpStream {
    let stream = TcpStream::connect(metahub.host()).unwrap();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    stream
}

/// What comes until the server ends the connection.
#[track_caller]
fn rest(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    match stream.read_to_end(&mut answer) {
        Ok(_) => {}
        Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => {}
        Err(error) => panic!("the server did not end the connection: {error}"),
    }
    String::from_utf8_lossy(&answer).into_owned()
}

#[track_caller]
fn others_are_served(metahub: &MetaHub) {
    metahub.get("/healthz").send().expect(200);
}

#[test]
fn a_head_that_never_ends_holds_nobody_up() {
    let Some(metahub) = start(ONE_PLACE) else {
        return;
    };
    let mut silent = connect(&metahub);
    others_are_served(&metahub);
    assert_eq!(rest(&mut silent), "");
    let mut slow = connect(&metahub);
    slow.write_all(b"GET /v2/ HTTP/1.1\r\nHost: x\r\nX-")
        .unwrap();
    others_are_served(&metahub);
    assert_eq!(rest(&mut slow), "");
    assert!(
        metahub.says("as many connections are open"),
        "{}",
        metahub.log()
    );
}

#[test]
fn a_connection_that_rests_is_ended_after_a_time_of_its_own() {
    let limits = "limits: {header_timeout: 60s, idle_timeout: 1s}";
    let Some(metahub) = start(limits) else { return };
    let mut resting = connect(&metahub);
    let began = Instant::now();
    resting
        .write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        .unwrap();
    assert!(rest(&mut resting).ends_with("ok\n"));
    assert!(began.elapsed() >= Duration::from_secs(1));
    assert!(began.elapsed() < Duration::from_secs(30));
}

#[test]
fn a_connection_that_rests_makes_room_when_another_client_comes() {
    let Some(metahub) = start("limits: {connections: 1, idle_timeout: 1h}") else {
        return;
    };
    let mut resting = connect(&metahub);
    resting
        .write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        .unwrap();
    let mut first = [0; 12];
    resting.read_exact(&mut first).unwrap();
    assert_eq!(&first, b"HTTP/1.1 200");
    others_are_served(&metahub);
    assert!(rest(&mut resting).ends_with("ok\n"));
}

#[test]
fn an_upload_that_stops_is_answered_and_can_be_continued() {
    let Some(metahub) = start(ONE_PLACE) else {
        return;
    };
    let pusher = pusher(&metahub);
    let upload = pusher.start_upload();
    let mut slow = connect(&metahub);
    let head =
        format!("PATCH {upload} HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n0123456789");
    slow.write_all(head.as_bytes()).unwrap();
    let answer = rest(&mut slow);
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert!(
        answer.contains("\"errors\"") && answer.contains("1 s"),
        "{answer}"
    );
    others_are_served(&metahub);

    let status = metahub.get(&upload).send().expect(204);
    assert_eq!(status.header("range"), "0-9");
    let digest = digest_of(b"0123456789abc");
    let end = with_query(&upload, &format!("digest={digest}"));
    metahub.call("PUT", &end).body("abc").send().expect(201);
}

#[test]
fn a_manifest_that_stops_arriving_is_answered() {
    let Some(metahub) = start(ONE_PLACE) else {
        return;
    };
    let mut slow = connect(&metahub);
    let head = format!(
        "PUT /v2/site/app/manifests/1 HTTP/1.1\r\nHost: x\r\nContent-Type: {MANIFEST}\r\n\
         Content-Length: 100\r\n\r\n{{"
    );
    slow.write_all(head.as_bytes()).unwrap();
    assert!(rest(&mut slow).starts_with("HTTP/1.1 408 "));
    others_are_served(&metahub);
}

/// A blob larger than what a connection's buffers hold.
fn large_blob(metahub: &MetaHub) -> String {
    let blob = vec![1_u8; 64 * 1024 * 1024];
    pusher(metahub).blob(&blob);
    format!("/v2/site/app/blobs/{}", digest_of(&blob))
}

#[test]
fn a_client_that_takes_nothing_holds_nobody_up() {
    let Some(metahub) = start(ONE_PLACE) else {
        return;
    };
    let path = large_blob(&metahub);
    let mut slow = connect(&metahub);
    let login = basic("zen3", "any");
    let head = format!("GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: {login}\r\n\r\n");
    slow.write_all(head.as_bytes()).unwrap();
    others_are_served(&metahub);
    let got = rest(&mut slow);
    assert!(got.starts_with("HTTP/1.1 200 "), "{}", got.len());
    assert!(got.len() < 64 * 1024 * 1024, "it was cut off");
    let logged = wait_until(LIMIT, || metahub.log().contains("outcome=\"cut off\""));
    assert!(logged, "{}", metahub.log());
}

#[test]
fn a_client_that_opens_no_window_holds_nobody_up() {
    let Some(metahub) = start(ONE_PLACE) else {
        return;
    };
    let path = large_blob(&metahub);
    runtime().block_on(async {
        let stream = tokio::net::TcpStream::connect(metahub.host())
            .await
            .unwrap();
        let executor = TokioExecutor::new();
        let (mut sender, connection) =
            hyper::client::conn::http2::handshake(executor, TokioIo::new(stream))
                .await
                .unwrap();
        let ended = tokio::spawn(connection);
        let request = Request::get(format!("http://{}{path}", metahub.host()))
            .header("Authorization", basic("zen3", "any"))
            .body(Empty::<Bytes>::new())
            .unwrap();
        let answer = sender.send_request(request).await.unwrap();
        assert_eq!(answer.status(), 200);
        // Its frames are received, but nobody takes them, so no window is opened.
        let ended = tokio::time::timeout(LIMIT, ended).await;
        assert!(ended.is_ok(), "the server ends it");
        assert!(answer.into_body().collect().await.is_err());
    });
    others_are_served(&metahub);
}

#[test]
fn a_slow_client_that_takes_a_little_now_and_then_gets_it_all() {
    let Some(metahub) = start("limits: {stall_timeout: 2s, idle_timeout: 1s}") else {
        return;
    };
    let path = large_blob(&metahub);
    let mut slow = connect(&metahub);
    let login = basic("zen3", "any");
    let head = format!(
        "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: {login}\r\n\r\n"
    );
    slow.write_all(head.as_bytes()).unwrap();
    let (mut got, mut part) = (0, vec![0; 16 * 1024 * 1024]);
    let mut pauses = 0;
    loop {
        let Ok(more) = slow.read(&mut part) else {
            panic!("cut off after {got}")
        };
        if more == 0 {
            break;
        }
        got += more;
        // Five pauses of a second: more than the limit in all, less than it each.
        if pauses < 5 && got > pauses * 4_000_000 {
            pauses += 1;
            let resting = Instant::now();
            wait_until(LIMIT, || resting.elapsed() > Duration::from_secs(1));
        }
    }
    assert!(got > 64 * 1024 * 1024, "{got}");
}

#[test]
fn sizes_are_limited_with_words_that_name_the_limit() {
    let limits = "limits: {manifest_size: 16 KiB, name_length: 20, page_size: 2}";
    let Some(metahub) = start(limits) else { return };
    let pusher = pusher(&metahub);
    let large = vec![b' '; 20 * 1024];
    let refused = pusher.manifest("1", MANIFEST, &large);
    let refused = refused.expect_error(413, "SIZE_INVALID");
    assert!(refused.text().contains("16384"), "{refused}");

    let long = format!("/v2/{}/tags/list", "a".repeat(21));
    let refused = metahub.get(&long).login(Some(("zen3", "any"))).send();
    let refused = refused.expect_error(400, "NAME_INVALID");
    assert!(refused.text().contains("at most 20"), "{refused}");

    for tag in ["a", "b", "c"] {
        let _ = pusher.image(tag, "amd64", b"layer");
    }
    let page = |path: &str| {
        let page = metahub.get(path).login(Some(("zen3", "any"))).send();
        let page = page.expect(200);
        (page.json()["tags"].clone(), page.header("link").to_owned())
    };
    let (tags, link) = page("/v2/site/app/tags/list?n=100");
    assert_eq!(tags, serde_json::json!(["a", "b"]));
    let next = link.trim_start_matches('<').split('>').next().unwrap();
    assert_eq!(page(next), (serde_json::json!(["c"]), String::new()));
}

#[test]
fn an_upload_that_nobody_continues_is_discarded() {
    let Some(metahub) = start("limits: {upload_idle: 1s}") else {
        return;
    };
    let upload = pusher(&metahub).start_upload();
    metahub.call("PATCH", &upload).body("x").send().expect(202);
    let gone = wait_until(LIMIT, || metahub.get(&upload).send().status == 404);
    assert!(gone, "{}", metahub.log());
    metahub
        .call("PATCH", &upload)
        .body("x")
        .send()
        .expect_error(404, "BLOB_UPLOAD_UNKNOWN");
}
