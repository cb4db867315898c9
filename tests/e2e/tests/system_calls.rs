//! How many system calls the server makes for what is pulled most: a cost that is the same on
//! every machine.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use metahub_e2e::http::{basic, digest_of};
use metahub_e2e::metahub::MetaHub;
use metahub_e2e::pusher::Pusher;
use metahub_e2e::require;
use metahub_e2e::system_calls::{counted, total};

const MEBIBYTE: usize = 1024 * 1024;
const CONFIG: &str = "anonymous: write\noffline: true\nupstreams: []\n";

fn each(counts: &[(String, u64)], times: usize) -> f64 {
    let total = u32::try_from(total(counts)).unwrap();
    f64::from(total) / f64::from(u32::try_from(times).unwrap())
}

fn pusher(metahub: &MetaHub) -> Pusher<'_> {
    Pusher {
        host: metahub.host(),
        repository: "site/app",
        login: Some(("zen3", "")),
    }
}

/// Asks `times` times on one connection, and reads answers whose bodies have `length` bytes.
fn ask(metahub: &MetaHub, path: &str, times: usize, length: usize) {
    let mut stream = TcpStream::connect(metahub.host()).unwrap();
    let login = basic("zen3", "");
    let request =
        format!("GET /v2/site/app/{path} HTTP/1.1\r\nHost: a\r\nAuthorization: {login}\r\n\r\n");
    let mut buffer = vec![0; 4 * MEBIBYTE];
    for _ in 0..times {
        stream.write_all(request.as_bytes()).unwrap();
        let (mut read, mut expected) = (0, None);
        while expected.is_none_or(|expected| read < expected) {
            let count = stream.read(&mut buffer).unwrap();
            assert!(count > 0, "the connection ended");
            if expected.is_none() {
                let begin = buffer.get(..count).unwrap();
                let head = begin.windows(4).position(|at| at == b"\r\n\r\n").unwrap();
                assert!(begin.starts_with(b"HTTP/1.1 200 OK"));
                expected = Some(head + 4 + length);
            }
            read += count;
        }
    }
}

#[test]
fn a_blob_in_memory_takes_few_for_each_mebibyte() {
    const SIZE: usize = 64;
    const TIMES: usize = 5;
    if !require::tools(&["setpriv", "strace"]) {
        return;
    }
    let metahub = MetaHub::start(CONFIG, &[]);
    let content = vec![b'x'; SIZE * MEBIBYTE];
    pusher(&metahub).blob(&content);
    let path = format!("blobs/{}", digest_of(&content));
    // The first whole read may be checked on its way.
    ask(&metahub, &path, 1, content.len());
    let work = || ask(&metahub, &path, TIMES, content.len());
    let ((), counts) = counted(&[metahub.id()], work);
    let each = each(&counts, SIZE * TIMES);
    println!("{each:.1} for each MiB: {counts:?}");
    assert!(each <= 8.0, "{each:.1} for each MiB: {counts:?}");
}

#[test]
fn a_manifest_takes_few() {
    const TIMES: usize = 500;
    if !require::tools(&["setpriv", "strace"]) {
        return;
    }
    let metahub = MetaHub::start(CONFIG, &[]);
    let _ = pusher(&metahub).builds();
    let manifest = pusher(&metahub)
        .call("GET", "manifests/1")
        .send()
        .expect(200);
    let length = manifest.body.len();
    ask(&metahub, "manifests/1", 3, length);
    let work = || ask(&metahub, "manifests/1", TIMES, length);
    let ((), counts) = counted(&[metahub.id()], work);
    let each = each(&counts, TIMES);
    println!("{each:.1} for each: {counts:?}");
    // Half of them are the log's, whose thread gives way while it waits for lines.
    assert!(each <= 16.0, "{each:.1} for each: {counts:?}");
}
