//! Blobs that are fetched while clients wait: one request, everybody reads along, nobody waits for
//! anybody else, and parts come when they are asked for.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test"
)]

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use metahub_e2e::faulty::{Fault, Faulty, Image, MANIFEST_TYPE};
use metahub_e2e::http::{Answer, Call};
use metahub_e2e::metahub::MetaHub;
use metahub_e2e::require;
use metahub_e2e::world::config;
use rustix::process::Signal;

const MIB: usize = 1024 * 1024;

/// The same, of which the manifest was asked for.
fn world() -> Option<(Faulty, MetaHub, String)> {
    let (upstream, metahub, layer) = empty_world()?;
    call(&metahub, Image::TAG).send().expect(200);
    Some((upstream, metahub, layer))
}

/// An upstream with a layer of 24 MiB, and a MetaHub before it that has all patience.
fn empty_world() -> Option<(Faulty, MetaHub, String)> {
    if !require::tools(&["setpriv"]) {
        return None;
    }
    let upstream = Faulty::with(Image::of_size(24 * MIB));
    let metahub = MetaHub::start(&config(upstream.host(), "read"), &[]);
    let layer = Image::blob(&upstream.image.layer);
    Some((upstream, metahub, layer))
}

fn call(metahub: &MetaHub, path: &str) -> Call {
    metahub
        .get(path)
        .header("Accept", MANIFEST_TYPE)
        .header("Authorization", anonymous(metahub))
}

fn anonymous(metahub: &MetaHub) -> String {
    let given = metahub
        .get("/token?service=metahub&scope=repository:team/app:pull")
        .send();
    let token = given.expect(200).json()["token"]
        .as_str()
        .unwrap()
        .to_owned();
    format!("Bearer {token}")
}

fn range(metahub: &MetaHub, path: &str, range: std::ops::Range<usize>) -> Answer {
    let header = format!("bytes={}-{}", range.start, range.end - 1);
    call(metahub, path)
        .header("Range", header)
        .send()
        .expect(206)
}

/// A client that asks for `path` and reads nothing.
fn stopped(metahub: &MetaHub, path: &str) -> TcpStream {
    let mut stream = TcpStream::connect(metahub.host()).unwrap();
    let authorization = anonymous(metahub);
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: {authorization}\r\n\r\n"
    )
    .unwrap();
    stream
}

#[test]
fn fifty_clients_cost_one_request_and_neither_the_stopped_nor_the_gone_hold_up_the_others() {
    let Some((upstream, metahub, layer)) = world() else {
        return;
    };
    upstream.break_path(&layer, Fault::Pause(MIB));
    // The first begins the fill and goes away when it has seen the first bytes of it.
    let mut first = stopped(&metahub, &layer);
    first.read_exact(&mut [0; 64 * 1024]).unwrap();
    drop(first);
    let idle: Vec<_> = (0..10).map(|_| stopped(&metahub, &layer)).collect();
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..40)
            .map(|_| scope.spawn(|| call(&metahub, &layer).send().expect(200)))
            .collect();
        upstream.mend();
        for client in clients {
            let answer = client.join().unwrap();
            assert!(!answer.cut && answer.body == upstream.image.layer);
        }
    });
    drop(idle);
    assert_eq!(upstream.times_asked(&layer), 1);
    assert_eq!(
        upstream.bytes_sent(&layer),
        upstream.image.layer.len() as u64
    );
}

#[test]
fn a_range_far_ahead_of_a_stopped_fill_is_asked_for_by_itself_and_comes_once() {
    let Some((upstream, metahub, layer)) = world() else {
        return;
    };
    let content = upstream.image.layer.clone();
    upstream.break_path(&layer, Fault::PauseWhole(MIB));
    let ahead = range(&metahub, &layer, 10 * MIB..12 * MIB);
    assert!(!ahead.cut && ahead.body == content[10 * MIB..12 * MIB]);
    // What seekable layers begin with: a small part at the very end.
    let footer = range(&metahub, &layer, 24 * MIB - 51..24 * MIB);
    assert!(!footer.cut && footer.body == content[24 * MIB - 51..]);
    // What is there already, of the fill and of the part, asks nobody.
    let asked = upstream.times_asked(&layer);
    assert_eq!(range(&metahub, &layer, 5..1000).body, content[5..1000]);
    let inside = range(&metahub, &layer, 11 * MIB..11 * MIB + 10);
    assert_eq!(inside.body, content[11 * MIB..11 * MIB + 10]);
    assert_eq!(upstream.times_asked(&layer), asked);
    assert!(!metahub.holds(&content), "a part is not the blob");
    upstream.mend();
    let whole = call(&metahub, &layer).send().expect(200);
    assert!(!whole.cut && whole.body == content);
    assert!(metahub.files_that_lie().is_empty());
    // The whole, two parts, and the whole again after the larger of them.
    assert_eq!(upstream.times_asked(&layer), 4);
}

#[test]
fn dozens_of_ranges_of_a_cold_blob_are_all_right_and_few_requests() {
    let Some((upstream, metahub, layer)) = world() else {
        return;
    };
    let content = &upstream.image.layer;
    std::thread::scope(|scope| {
        let parts: Vec<_> = (0..48)
            .map(|i| i * MIB / 2..(i + 1) * MIB / 2)
            .map(|part| (part.clone(), scope.spawn(|| range(&metahub, &layer, part))))
            .collect();
        for (part, answer) in parts {
            let answer = answer.join().unwrap();
            assert!(
                !answer.cut && answer.body == content[part.clone()],
                "{part:?}"
            );
        }
    });
    assert_eq!(call(&metahub, &layer).send().expect(200).body, *content);
    assert!(metahub.files_that_lie().is_empty());
}

#[test]
fn a_part_that_comes_ahead_with_wrong_bytes_spoils_the_whole_and_nothing_is_kept() {
    let Some((upstream, metahub, layer)) = world() else {
        return;
    };
    let end = 24 * MIB;
    upstream.break_path(&layer, Fault::PauseWhole(MIB));
    let begun = stopped(&metahub, &layer);
    let path = layer.clone();
    std::thread::scope(|scope| {
        let whole = scope.spawn(|| call(&metahub, &layer).send().expect(200));
        range(&metahub, &layer, 0..1000);
        // Only parts are wrong from now on.
        upstream.break_path(&path, Fault::CutThenOther(usize::MAX));
        range(&metahub, &layer, end - 100..end);
        upstream.mend();
        assert!(
            whole.join().unwrap().cut,
            "a wrong blob was served as if whole"
        );
    });
    drop(begun);
    assert!(!metahub.holds(&upstream.image.layer));
    assert_eq!(
        call(&metahub, &layer).send().expect(200).body,
        upstream.image.layer
    );
}

#[test]
fn a_large_blob_comes_by_several_requests_where_that_is_configured_and_each_byte_once() {
    if !require::tools(&["setpriv"]) {
        return;
    }
    let upstream = Faulty::with(Image::of_size(22 * MIB));
    let config = config(upstream.host(), "read") + "\n    parallel: 4";
    let metahub = MetaHub::start(&config, &[]);
    call(&metahub, Image::TAG).send().expect(200);
    let layer = Image::blob(&upstream.image.layer);
    let answer = call(&metahub, &layer).send().expect(200);
    assert!(!answer.cut && answer.body == upstream.image.layer);
    // Parts of 4 MiB, the last one shorter.
    assert_eq!(upstream.times_asked(&layer), 6);
    assert_eq!(
        upstream.bytes_sent(&layer),
        upstream.image.layer.len() as u64
    );
    assert!(metahub.files_that_lie().is_empty());
}

#[test]
fn an_upstream_that_breaks_off_again_and_again_is_taken_up_where_it_broke() {
    let Some((upstream, metahub, layer)) = world() else {
        return;
    };
    upstream.break_path(&layer, Fault::CutEvery(5 * MIB));
    let answer = call(&metahub, &layer).send().expect(200);
    assert!(!answer.cut && answer.body == upstream.image.layer);
    assert!(upstream.times_asked(&layer) >= 5);
    // What was under way when it broke may come twice; once from the start would be more.
    let sent = upstream.bytes_sent(&layer);
    let whole = upstream.image.layer.len() as u64;
    assert!(sent < whole + 5 * MIB as u64, "{sent} bytes were sent");
}

#[test]
fn a_server_killed_in_the_middle_of_a_fill_starts_clean_and_the_next_pull_is_whole() {
    let Some((upstream, mut metahub, layer)) = world() else {
        return;
    };
    upstream.break_path(&layer, Fault::Pause(2 * MIB));
    let mut begun = stopped(&metahub, &layer);
    begun.read_exact(&mut [0; 64 * 1024]).unwrap();
    metahub.signal(Signal::KILL);
    while metahub.is_running() {
        std::thread::yield_now();
    }
    let metahub = metahub.restart();
    assert!(!metahub.holds(&upstream.image.layer));
    upstream.mend();
    let answer = call(&metahub, &layer).send().expect(200);
    assert!(!answer.cut && answer.body == upstream.image.layer);
    assert_eq!(upstream.times_asked(&layer), 2);
    assert!(metahub.files_that_lie().is_empty());
}

#[test]
fn the_same_manifest_asked_for_by_many_at_once_is_fetched_once() {
    let Some((upstream, metahub, _)) = empty_world() else {
        return;
    };
    let path = upstream.image.by_digest();
    upstream.break_path(&path, Fault::Pause(10));
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..20)
            .map(|_| scope.spawn(|| call(&metahub, &path).send().expect(200).body))
            .collect();
        while upstream.times_asked(&path) == 0 {
            std::thread::yield_now();
        }
        upstream.mend();
        for client in clients {
            assert_eq!(client.join().unwrap(), upstream.image.manifest);
        }
    });
    assert_eq!(upstream.times_asked(&path), 1);
}
