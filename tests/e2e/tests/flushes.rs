//! What is durable before a client hears of it, by the system calls of a server in their order.
//! No test can cut the power; this holds what surviving that rests on: the content is flushed, its
//! folder after the file has its name there, the database's log after both, and the answer comes
//! last.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

use std::collections::HashMap;
use std::ops::Range;
use std::time::Duration;

use metahub_e2e::daemon::Daemon;
use metahub_e2e::http::digest_of;
use metahub_e2e::metahub::MetaHub;
use metahub_e2e::process::{Cmd, wait_until};
use metahub_e2e::pusher::Pusher;
use metahub_e2e::require;
use rstest::rstest;

const SOON: Duration = Duration::from_secs(20);

const CONFIG: &str = "anonymous: write\noffline: true\nupstreams: []\ngc: {every: 0s}\n";

/// A system call that succeeded: what it was, and when, in lines of the trace.
#[derive(Debug)]
struct Call {
    text: String,
    time: Range<usize>,
}

impl Call {
    fn flushes(&self, what: &str) -> bool {
        let flush = self.text.starts_with("fsync(") || self.text.starts_with("fdatasync(");
        flush && self.text.contains(what)
    }

    fn answers(&self, status: &str) -> bool {
        self.text.contains(&format!("HTTP/1.1 {status}"))
    }
}

/// strace, attached to a server.
fn traced(metahub: &MetaHub) -> Daemon {
    let id = metahub.id().to_string();
    let calls = "trace=fsync,fdatasync,rename,renameat,renameat2,write,writev,sendto,sendmsg";
    let strace = Cmd::new("strace").args(["-f", "-y", "-e", calls, "-e", "signal=none", "-p", &id]);
    let mut strace = Daemon::start("strace", &strace);
    strace.wait_for_line("that it is attached", |line| {
        line.contains("attached").then_some(())
    });
    strace
}

/// The calls of a trace, in the order in which they ended, when there are `answers` with a status.
///
/// A client has an answer before the call that sent it returns to strace: what is told of it here
/// may come later.
#[track_caller]
fn calls(mut strace: Daemon, expected: &[(&str, usize)]) -> Vec<Call> {
    let whole = |calls: &[Call]| {
        let mut expected = expected.iter();
        expected.all(|(status, count)| answers(calls, status).len() >= *count)
    };
    let told = wait_until(SOON, || whole(&parsed(&strace.log())));
    strace.terminate();
    let calls = parsed(&strace.log());
    assert!(told, "{expected:?} are not in {calls:#?}");
    calls
}

fn parsed(log: &str) -> Vec<Call> {
    // The last line may be on its way.
    let log = log.get(..log.rfind('\n').map_or(0, |at| at + 1)).unwrap();
    // A new thread may be told of in the middle of a call.
    let whole: String = log
        .split_inclusive('\n')
        .map(|line| match line.split_once("strace: Process ") {
            Some((begun, rest)) if rest.ends_with(" attached\n") => begun,
            _ => line,
        })
        .collect();
    let (mut calls, mut unfinished) = (Vec::new(), HashMap::new());
    for (at, line) in whole.lines().enumerate() {
        let (thread, text) = match line.strip_prefix("[pid") {
            Some(rest) => rest.split_once(']').unwrap(),
            None => ("", line),
        };
        let (thread, text) = (thread.trim().to_owned(), text.trim());
        if let Some(begun) = text.strip_suffix("<unfinished ...>") {
            unfinished.insert(thread, (at, begun.to_owned()));
            continue;
        }
        let (begun, text) = match text.strip_prefix("<... ") {
            Some(rest) => {
                let Some((begun, start)) = unfinished.remove(&thread) else {
                    continue;
                };
                (begun, format!("{start}{rest}"))
            }
            None => (at, text.to_owned()),
        };
        if text.contains(" = ") && !text.contains(" = -1 ") {
            let time = begun..at;
            calls.push(Call { text, time });
        }
    }
    calls
}

/// The first call after line `after` that is so.
#[track_caller]
fn first(calls: &[Call], after: usize, what: &str, is: impl Fn(&Call) -> bool) -> Range<usize> {
    let found = calls
        .iter()
        .find(|call| call.time.start > after && is(call));
    let found = found.unwrap_or_else(|| panic!("no {what} after line {after} of {calls:#?}"));
    found.time.clone()
}

/// The times of the answers with a status.
fn answers(calls: &[Call], status: &str) -> Vec<Range<usize>> {
    let answers = calls.iter().filter(|call| call.answers(status));
    answers.map(|call| call.time.clone()).collect()
}

fn lab(metahub: &MetaHub) -> Pusher<'_> {
    Pusher {
        host: metahub.host(),
        repository: "lab/app",
        login: Some(("zen3", "any")),
    }
}

#[rstest]
#[case::flushed_with_its_folder(300_000)]
#[case::flushed_by_itself(9_000_000)]
fn a_blob_is_acknowledged_when_its_bytes_its_name_and_its_row_are_durable(#[case] size: usize) {
    if !require::tools(&["setpriv", "strace"]) {
        return;
    }
    let metahub = MetaHub::start(CONFIG, &[]);
    let blob: Vec<u8> = (0..size).map(|at| (at % 253) as u8).collect();
    let strace = traced(&metahub);
    lab(&metahub).blob(&blob);
    let calls = calls(strace, &[("201", 1)]);

    let digest = digest_of(&blob);
    let file = digest.strip_prefix("sha256:").unwrap();
    let folder = format!("/blobs/sha256/{}>", &file[..2]);
    let moved = calls
        .iter()
        .find(|call| call.text.starts_with("rename") && call.text.contains(file))
        .unwrap_or_else(|| panic!("no blob is moved in {calls:#?}"));
    let staged = moved.text.split('"').nth(1).unwrap();
    let staged = staged.rsplit('/').next().unwrap();
    let bytes = first(&calls, 0, "flush of the content", |call| {
        call.flushes(file) || call.flushes(staged)
    });
    let name = first(&calls, moved.time.end, "flush of its folder", |call| {
        call.flushes(&folder)
    });
    let both = bytes.end.max(name.end);
    let row = first(&calls, both, "flush of its row", |call| {
        call.flushes("metahub.db-wal")
    });
    let answer = answers(&calls, "201").pop().unwrap();
    assert!(
        row.end < answer.start,
        "it is acknowledged too early: {calls:#?}"
    );
}

#[test]
fn a_manifest_a_tag_and_their_deletion_are_acknowledged_when_they_are_durable() {
    if !require::tools(&["setpriv", "strace"]) {
        return;
    }
    let metahub = MetaHub::start(CONFIG, &[]);
    let strace = traced(&metahub);
    let image = lab(&metahub).image("1", "amd64", b"layer");
    let delete = |reference: &str| {
        let path = format!("manifests/{reference}");
        lab(&metahub).call("DELETE", &path).send().expect(202)
    };
    delete("1");
    delete(image["digest"].as_str().unwrap());
    // The beginnings of two uploads are accepted too.
    let calls = calls(strace, &[("201", 3), ("202", 4)]);

    let pushed = answers(&calls, "201");
    // Config, layer, manifest with its tag.
    let [.., layer, manifest] = pushed.as_slice() else {
        panic!("{calls:#?}");
    };
    let deleted = answers(&calls, "202");
    let [.., tag, whole] = deleted.as_slice() else {
        panic!("{calls:#?}");
    };
    for (before, answer) in [(layer, manifest), (manifest, tag), (tag, whole)] {
        // From where it starts: a client has an answer, and may have sent its next request, before
        // the call that sent it returns.
        let row = first(&calls, before.start, "flush of the log", |call| {
            call.flushes("metahub.db-wal")
        });
        assert!(
            row.end < answer.start,
            "it is acknowledged too early: {calls:#?}"
        );
    }
}
