//! How many system calls the server makes for what is pulled most: a cost that is the same on
//! every machine.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use metahub_e2e::daemon::Daemon;
use metahub_e2e::http::{basic, digest_of};
use metahub_e2e::metahub::MetaHub;
use metahub_e2e::process::Cmd;
use metahub_e2e::pusher::Pusher;
use metahub_e2e::require;

const MEBIBYTE: usize = 1024 * 1024;
const CONFIG: &str = "anonymous: write\noffline: true\nupstreams: []\n";

/// What the server calls while `work` is done.
fn counted(metahub: &MetaHub, work: impl FnOnce()) -> Vec<(String, u64)> {
    let folder = tempfile::tempdir().unwrap();
    let summary = folder.path().join("summary");
    let (id, file) = (metahub.id().to_string(), summary.display().to_string());
    let strace = Cmd::new("strace").args(["-f", "-c", "-o", &file, "-p", &id]);
    let mut strace = Daemon::start("strace", &strace);
    strace.wait_for_line("that it is attached", |line| {
        line.contains("attached").then_some(())
    });
    work();
    let _ = strace.terminate();
    let summary = std::fs::read_to_string(&summary).unwrap();
    let counts: Vec<(String, u64)> = summary.lines().filter_map(count).collect();
    assert!(!counts.is_empty(), "strace says: {summary}");
    counts
}

/// A line of `strace -c`: per cent, seconds, microseconds for each, calls, perhaps errors, name.
fn count(line: &str) -> Option<(String, u64)> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let name = *fields.last()?;
    let calls = fields.get(3)?.parse().ok()?;
    (name != "total").then(|| (name.to_owned(), calls))
}

fn total(counts: &[(String, u64)]) -> f64 {
    let total: u64 = counts.iter().map(|(_, calls)| calls).sum();
    f64::from(u32::try_from(total).unwrap())
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
    let counts = counted(&metahub, || ask(&metahub, &path, TIMES, content.len()));
    let each = total(&counts) / f64::from(u32::try_from(SIZE * TIMES).unwrap());
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
    let counts = counted(&metahub, || ask(&metahub, "manifests/1", TIMES, length));
    let each = total(&counts) / f64::from(u32::try_from(TIMES).unwrap());
    println!("{each:.1} for each: {counts:?}");
    // Half of them are the log's, whose thread gives way while it waits for lines.
    assert!(each <= 16.0, "{each:.1} for each: {counts:?}");
}
