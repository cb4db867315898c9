//! Clients that take more than their share: how much memory they make the server take, that others
//! are served meanwhile, and that nothing is left of them afterwards. Each client network has a
//! loopback address of its own.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test"
)]

mod random;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Empty;
use hyper::Request;
use hyper::client::conn::http2::SendRequest;
use hyper_util::rt::{TokioExecutor, TokioIo};
use metahub_e2e::http::{basic, digest_of, runtime};
use metahub_e2e::metahub::MetaHub;
use metahub_e2e::process::wait_until;
use metahub_e2e::pusher::{CONFIG, INDEX, MANIFEST, Pusher};
use metahub_e2e::require;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

const MIB: u64 = 1024 * 1024;
const LIMIT: Duration = Duration::from_secs(120);
/// The address of clients that behave well, and of one that does not.
const GOOD: &str = "127.0.0.2:0";
const GREEDY: &str = "127.0.0.3:0";
const PASSWORD: &str = "the right password";

fn start(config: &str) -> Option<MetaHub> {
    let config = format!("offline: true\nupstreams: []\nmetrics: everybody\n{config}");
    require::tools(&["setpriv"]).then(|| MetaHub::start(&config, &[]))
}

fn pusher(metahub: &MetaHub) -> Pusher<'_> {
    Pusher {
        host: metahub.host(),
        repository: "site/app",
        login: None,
    }
}

async fn connect(metahub: &MetaHub, from: &str) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(from.parse().unwrap()).unwrap();
    let host = metahub.host().parse().unwrap();
    socket.connect(host).await.unwrap()
}

/// One request over HTTP/1.1 from an address: its status, and the whole answer.
async fn ask(metahub: &MetaHub, from: &str, head: &str, body: &[u8]) -> (u16, String) {
    let mut stream = connect(metahub, from).await;
    let head = format!(
        "{head}\r\nHost: {}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
        metahub.host(),
        body.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    // Whoever is refused early may find the connection closed.
    let _ = stream.write_all(body).await;
    let mut answer = Vec::new();
    let _ = tokio::time::timeout(LIMIT, stream.read_to_end(&mut answer)).await;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let status = answer.get(9..12).and_then(|status| status.parse().ok());
    (status.unwrap_or(0), answer)
}

fn login_line(user: &str, password: &str) -> String {
    format!("\r\nAuthorization: {}", basic(user, password))
}

/// A well-behaved client asks for the manifest of an ordinary image.
async fn good_client_is_served(metahub: &MetaHub) {
    let head = format!(
        "GET /v2/site/app/manifests/small HTTP/1.1{}",
        login_line("zen3", "any")
    );
    let (status, answer) = ask(metahub, GOOD, &head, b"").await;
    assert_eq!(status, 200, "{answer}");
    let (status, answer) = ask(metahub, GREEDY, "GET /healthz HTTP/1.1", b"").await;
    assert_eq!(status, 200, "{answer}");
}

/// A connection over HTTP/2 whose client opens a window of one kibibyte for each stream.
async fn without_windows(metahub: &MetaHub, from: &str) -> SendRequest<Empty<Bytes>> {
    let stream = connect(metahub, from).await;
    let (sender, connection) = hyper::client::conn::http2::Builder::new(TokioExecutor::new())
        .initial_stream_window_size(1024)
        .handshake(TokioIo::new(stream))
        .await
        .unwrap();
    tokio::spawn(connection);
    sender
}

fn get(metahub: &MetaHub, path: &str) -> Request<Empty<Bytes>> {
    Request::get(format!("http://{}{path}", metahub.host()))
        .header("Authorization", basic("zen3", "any"))
        .body(Empty::new())
        .unwrap()
}

/// A number of the metrics page.
fn metric(metahub: &MetaHub, name: &str) -> u64 {
    let page = metahub.get("/metrics").send().expect(200).text();
    let line = page
        .lines()
        .find_map(|line| line.strip_prefix(&format!("{name} ")));
    line.and_then(|number| number.parse::<f64>().ok())
        .map_or_else(|| panic!("no {name} in {page}"), |number| number as u64)
}

/// Nothing is held for clients that are gone; the request that asks counts itself.
fn nothing_is_left(metahub: &MetaHub) {
    let free = wait_until(LIMIT, || {
        metric(metahub, "metahub_requests_in_flight") == 1
            && metric(metahub, "metahub_document_memory_used_bytes") == 0
    });
    assert!(free, "{}", metahub.get("/metrics").send().text());
    assert_eq!(metric(metahub, "metahub_requests_panicked_total"), 0);
}

#[test]
fn streams_that_take_nothing_take_bounded_memory_and_one_share() {
    let Some(metahub) = start("anonymous: write\nlimits: {requests_per_client: 500}") else {
        return;
    };
    let blob = vec![7; 4 * MIB as usize];
    let pusher = pusher(&metahub);
    pusher.blob(&blob);
    let _ = pusher.image("small", "amd64", b"layer");
    let path = format!("/v2/site/app/blobs/{}", digest_of(&blob));
    let before = metahub.peak_memory();
    runtime().block_on(async {
        let mut senders = Vec::new();
        let mut answers = Vec::new();
        let mut refused = 0;
        for _ in 0..30 {
            let mut sender = without_windows(&metahub, GREEDY).await;
            let asked: Vec<_> = (0..120)
                .map(|_| sender.send_request(get(&metahub, &path)))
                .collect();
            for answer in futures_util::future::join_all(asked).await {
                let answer = answer.unwrap();
                match answer.status().as_u16() {
                    200 => answers.push(answer),
                    503 => {
                        assert_eq!(answer.headers()["retry-after"], "1");
                        refused += 1;
                    }
                    other => panic!("{other}"),
                }
            }
            senders.push(sender);
        }
        assert_eq!((answers.len(), refused), (500, 3100));
        good_client_is_served(&metahub).await;
        let grown = metahub.peak_memory() - before;
        assert!(grown < 250 * MIB, "{} MiB", grown / MIB);
    });
    nothing_is_left(&metahub);
}

/// A document of nearly four mebibytes that names content which is not here.
fn largest_manifest() -> Vec<u8> {
    let digest = digest_of(b"not here");
    let layer = format!(
        r#"{{"mediaType":"application/vnd.oci.image.layer.v1.tar","size":1,"digest":"{digest}"}}"#
    );
    let layers = vec![layer; (4 * MIB as usize - 1000) / 150].join(",");
    format!(
        r#"{{"schemaVersion":2,"mediaType":"{MANIFEST}","config":{{"mediaType":"{CONFIG}","size":1,"digest":"{digest}"}},"layers":[{layers}]}}"#
    )
    .into_bytes()
}

#[test]
fn pushes_of_the_largest_manifests_at_once_take_bounded_memory() {
    let Some(metahub) = start("anonymous: write") else {
        return;
    };
    let _ = pusher(&metahub).image("small", "amd64", b"layer");
    let manifest = Arc::new(largest_manifest());
    assert!(manifest.len() as u64 > 3 * MIB);
    let before = metahub.peak_memory();
    runtime().block_on(async {
        let pushes = (0..40).map(|number| {
            let (metahub, manifest) = (&metahub, Arc::clone(&manifest));
            async move {
                let head = format!(
                    "PUT /v2/site/app/manifests/{number} HTTP/1.1\r\nContent-Type: {MANIFEST}"
                );
                ask(metahub, GREEDY, &head, &manifest).await
            }
        });
        let others = async {
            for _ in 0..10 {
                good_client_is_served(&metahub).await;
            }
        };
        let (pushed, ()) = tokio::join!(futures_util::future::join_all(pushes), others);
        let mut worked_on = 0;
        for (status, answer) in pushed {
            match status {
                404 => worked_on += 1,
                503 => assert!(answer.to_lowercase().contains("retry-after"), "{answer}"),
                other => panic!("{other}: {answer}"),
            }
        }
        assert!(worked_on > 0);
    });
    let grown = metahub.peak_memory() - before;
    assert!(grown < 450 * MIB, "{} MiB", grown / MIB);
    nothing_is_left(&metahub);
}

#[test]
fn guesses_at_once_pass_no_limit_and_leave_no_memory_behind() {
    let Some(metahub) = start("") else { return };
    metahub.add_account("alice", "reader", PASSWORD);
    let before = metahub.peak_memory();
    runtime().block_on(async {
        let guesses = (0..200).map(|number| {
            let login = login_line("alice", &format!("guess {number}"));
            let head = format!("GET /token HTTP/1.1{login}");
            let metahub = &metahub;
            async move { ask(metahub, GREEDY, &head, b"").await }
        });
        let answers = futures_util::future::join_all(guesses).await;
        let of = |status: u16| answers.iter().filter(|answer| answer.0 == status).count();
        assert_eq!((of(401), of(429)), (20, 180));
        let head = format!("GET /token HTTP/1.1{}", login_line("alice", PASSWORD));
        let (status, answer) = ask(&metahub, GOOD, &head, b"").await;
        assert_eq!(status, 200, "{answer}");
    });
    let grown = metahub.peak_memory() - before;
    assert!(grown < 100 * MIB, "{} MiB", grown / MIB);
    nothing_is_left(&metahub);
}

#[test]
fn resolving_needs_the_right_to_the_name_that_is_read() {
    let Some(metahub) = start("") else { return };
    let token = metahub
        .get("/token?service=metahub&scope=repository:site/app:pull")
        .login(Some(("zen3", "any")))
        .send()
        .expect(200)
        .json()["token"]
        .as_str()
        .unwrap()
        .to_owned();
    let resolve = |image: &str| {
        metahub
            .get(&format!("/api/v1/resolve?image={image}"))
            .header("Authorization", format!("Bearer {token}"))
            .send()
    };
    resolve("site/app:1").expect(404);
    for image in [
        "quay.io/site/app:1",
        "docker.io/site/app:1",
        "quay.io/site/app@sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "site/other:1",
    ] {
        let refused = resolve(image).expect_error(401, "UNAUTHORIZED");
        let challenge = refused.header("www-authenticate").to_owned();
        assert!(
            challenge.contains("insufficient_scope"),
            "{image}: {challenge}"
        );
    }
}

/// As oras asks: without a token, then with the one that it was told to ask for.
#[test]
fn the_list_of_repositories_is_read_with_a_token_for_it() {
    let Some(metahub) = start("anonymous: write") else {
        return;
    };
    let _ = pusher(&metahub).image("small", "amd64", b"layer");
    let challenge = metahub.get("/v2/_catalog").send();
    let challenge = challenge.expect_error(401, "UNAUTHORIZED");
    let challenge = challenge.header("www-authenticate").to_owned();
    assert!(
        challenge.contains("scope=\"registry:catalog:*\""),
        "{challenge}"
    );
    let token = |query: &str| {
        let answer = metahub.get(&format!("/token?service=metahub{query}"));
        let answer = answer.login(Some(("zen3", "any"))).send().expect(200);
        answer.json()["token"].as_str().unwrap().to_owned()
    };
    let list = |token: &str| {
        let list = metahub.get("/v2/_catalog");
        list.header("Authorization", format!("Bearer {token}"))
            .send()
    };
    // As podman asks: with a token for nothing, which is told what it lacks.
    let refused = list(&token("")).expect_error(401, "UNAUTHORIZED");
    let challenge = refused.header("www-authenticate").to_owned();
    assert!(
        challenge.contains("insufficient_scope") && challenge.contains("registry:catalog:*"),
        "{challenge}"
    );
    let listed = list(&token("&scope=registry:catalog:*")).expect(200);
    assert_eq!(
        listed.json()["repositories"],
        serde_json::json!(["site/app"])
    );
    // That token opens nothing else.
    let catalog = token("&scope=registry:catalog:*");
    let read = metahub.get("/v2/site/app/manifests/small");
    let read = read.header("Authorization", format!("Bearer {catalog}"));
    read.send().expect_error(401, "UNAUTHORIZED");
}

#[test]
fn a_request_without_one_host_is_refused_and_an_encoded_path_is_served() {
    let Some(metahub) = start("anonymous: write") else {
        return;
    };
    let image = pusher(&metahub).image("small", "amd64", b"layer");
    let digest = image["digest"].as_str().unwrap();
    runtime().block_on(async {
        let login = login_line("zen3", "any");
        for (hosts, status) in [
            ("", 400),
            ("Host: a\r\nHost: b\r\n", 400),
            ("Host: a\r\n", 200),
        ] {
            let mut stream = connect(&metahub, GOOD).await;
            let head = format!("GET /v2/ HTTP/1.1{login}\r\n{hosts}Connection: close\r\n\r\n");
            stream.write_all(head.as_bytes()).await.unwrap();
            let mut answer = String::new();
            let _ = stream.read_to_string(&mut answer).await;
            assert!(
                answer.starts_with(&format!("HTTP/1.1 {status} ")),
                "{hosts}: {answer}"
            );
        }
        let encoded = digest.replace(':', "%3A");
        for path in [
            format!("/v2/site/app/manifests/{encoded}"),
            format!("/v2/site%2Fapp/manifests/{digest}"),
        ] {
            let (status, answer) =
                ask(&metahub, GOOD, &format!("GET {path} HTTP/1.1{login}"), b"").await;
            assert_eq!(status, 200, "{path}: {answer}");
        }
        let twice = digest.replace(':', "%253A");
        let path = format!("GET /v2/site/app/manifests/{twice} HTTP/1.1{login}");
        assert_eq!(ask(&metahub, GOOD, &path, b"").await.0, 400);
    });
}
