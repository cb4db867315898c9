//! Blobs: every way to push one, to go on and to give up, to mount, and to read a part of one.

use metahub_e2e::http::{Answer, digest_of};
use metahub_e2e::metahub::MetaHub;
use metahub_e2e::pusher::{Pusher, with_query};

use crate::{PASSWORD, named, pusher, server, sha512_of};

fn at(metahub: &MetaHub, method: &str, location: &str) -> metahub_e2e::http::Call {
    metahub
        .call(method, location)
        .login(Some(("alice", PASSWORD)))
}

fn read(pusher: Pusher<'_>, digest: &str) -> Vec<u8> {
    let answer = pusher.call("GET", &format!("blobs/{digest}")).send();
    named(answer, 200, digest).body
}

#[test]
fn a_blob_is_pushed_in_one_request_in_two_in_chunks_and_as_a_stream() {
    let Some(metahub) = server() else { return };
    let alice = pusher(metahub, "alice/ways");
    let (one, two) = (b"in one request".as_slice(), b"in two requests".as_slice());
    let digest = digest_of(one);
    let start = alice.call("POST", &format!("blobs/uploads/?digest={digest}"));
    let done = named(start.body(one).send(), 201, &digest);
    assert_eq!(
        done.header("location"),
        format!("/v2/alice/ways/blobs/{digest}")
    );
    assert_eq!(read(alice, &digest), one);
    alice.blob(two);
    assert_eq!(read(alice, &digest_of(two)), two);

    let upload = alice.start_upload();
    for (chunk, range, so_far) in [("chunk ", "0-5", "0-5"), ("by chunk", "6-13", "0-13")] {
        let patch = at(metahub, "PATCH", &upload).header("Content-Range", range);
        let patched = patch.body(chunk).send().expect(202);
        assert_eq!(patched.header("range"), so_far, "{patched}");
    }
    let streamed = at(metahub, "PATCH", &upload).header("Transfer-Encoding", "chunked");
    let streamed = streamed.body(", and a stream").send().expect(202);
    assert_eq!(streamed.header("range"), "0-27");
    let whole = b"chunk by chunk, and a stream";
    let end = with_query(&upload, &format!("digest={}", digest_of(whole)));
    let done = at(metahub, "PUT", &end).send();
    named(done, 201, &digest_of(whole));
    assert_eq!(read(alice, &digest_of(whole)), whole);
}

#[test]
fn an_upload_says_how_far_it_is_goes_on_from_there_and_is_given_up() {
    let Some(metahub) = server() else { return };
    let upload = pusher(metahub, "alice/resume").start_upload();
    at(metahub, "PATCH", &upload)
        .body("hello")
        .send()
        .expect(202);
    let wrong = at(metahub, "PATCH", &upload).header("Content-Range", "9-9");
    wrong.body("x").send().expect_error(416, "RANGE_INVALID");
    let status = at(metahub, "GET", &upload).send().expect(204);
    assert_eq!(status.header("range"), "0-4");
    let rest = at(metahub, "PATCH", status.header("location"));
    let rest = rest.header("Content-Range", "5-10").body(" world");
    assert_eq!(rest.send().expect(202).header("range"), "0-10");
    // It belongs to its repository: whoever knows its name elsewhere knows nothing.
    let elsewhere = upload.replace("alice/resume", "bob/resume");
    let stranger = metahub.get(&elsewhere).login(Some(("bob", PASSWORD)));
    stranger.send().expect_error(404, "BLOB_UPLOAD_UNKNOWN");
    at(metahub, "DELETE", &upload).send().expect(204);
    for method in ["GET", "PATCH", "DELETE"] {
        let gone = at(metahub, method, &upload).send();
        gone.expect_error(404, "BLOB_UPLOAD_UNKNOWN");
    }
}

#[test]
fn a_blob_is_mounted_with_and_without_its_source_and_uploaded_where_it_is_not_found() {
    let Some(metahub) = server() else { return };
    let blob = b"to be mounted";
    let digest = digest_of(blob);
    pusher(metahub, "alice/source").blob(blob);
    for (repository, query) in [
        ("alice/mounted", format!("mount={digest}&from=alice/source")),
        ("bob/mounted", format!("mount={digest}&from=alice/source")),
        ("alice/found", format!("mount={digest}")),
    ] {
        let target = pusher(metahub, repository);
        let start = target.call("POST", &format!("blobs/uploads/?{query}"));
        let mounted = named(start.send(), 201, &digest);
        let location = format!("/v2/{repository}/blobs/{digest}");
        assert_eq!(mounted.header("location"), location);
        assert_eq!(read(target, &digest), blob);
    }
    let target = pusher(metahub, "alice/absent");
    for query in [
        format!("mount={digest}&from=alice/elsewhere"),
        format!("mount={}", digest_of(b"nowhere")),
    ] {
        let start = target.call("POST", &format!("blobs/uploads/?{query}"));
        let begun = start.send().expect(202);
        assert!(
            begun.header("location").contains("/blobs/uploads/"),
            "{begun}"
        );
    }
    let absent = target.call("HEAD", &format!("blobs/{digest}")).send();
    absent.expect(404);
}

const CONTENT: &[u8] = b"0123456789abcdef";

fn content(metahub: &MetaHub) -> impl Fn(&str, &[(&str, &str)]) -> Answer {
    let alice = pusher(metahub, "alice/ranges");
    alice.blob(CONTENT);
    move |method, headers| {
        let call = alice.call(method, &format!("blobs/{}", digest_of(CONTENT)));
        let with =
            |call: metahub_e2e::http::Call, (name, value): &(&str, &str)| call.header(name, *value);
        headers.iter().fold(call, with).send()
    }
}

#[test]
fn several_ranges_come_in_the_parts_of_one_answer() {
    let Some(metahub) = server() else { return };
    let read = content(metahub);
    let answer = read("GET", &[("Range", "bytes=0-1,4-5,-2")]);
    let answer = named(answer, 206, &digest_of(CONTENT));
    let media_type = answer.header("content-type");
    let boundary = media_type
        .strip_prefix("multipart/byteranges; boundary=")
        .unwrap();
    let text = answer.text();
    let parts: Vec<_> = text.split(&format!("--{boundary}")).skip(1).collect();
    let wanted = [("0-1", "01"), ("4-5", "45"), ("14-15", "ef")];
    assert_eq!(parts.len(), wanted.len() + 1, "{answer}");
    for (part, (range, bytes)) in parts.iter().zip(wanted) {
        let (head, body) = part.split_once("\r\n\r\n").unwrap();
        assert!(
            head.contains(&format!("Content-Range: bytes {range}/16")),
            "{head}"
        );
        assert_eq!(body, format!("{bytes}\r\n"));
    }
    assert_eq!(parts.last().unwrap().trim_end(), "--");

    let one_left = read("GET", &[("Range", "bytes=0-1,99-")]).expect(206);
    assert_eq!(one_left.header("content-range"), "bytes 0-1/16");
    assert_eq!(one_left.body, b"01");
    let none_left = read("GET", &[("Range", "bytes=90-91,99-")]);
    let none_left = none_left.expect_error(416, "RANGE_INVALID");
    assert_eq!(none_left.header("content-range"), "bytes */16");
}

#[test]
fn ranges_that_add_up_to_more_than_the_content_are_answered_with_the_content() {
    let Some(metahub) = server() else { return };
    let read = content(metahub);
    for ranges in [vec!["0-15"; 200], vec!["0-0"; 2000]] {
        let answer = read("GET", &[("Range", &format!("bytes={}", ranges.join(",")))]);
        assert_eq!(answer.expect(200).body, CONTENT);
    }
}

#[test]
fn whoever_has_a_blob_is_told_so_and_a_range_of_another_is_not_given() {
    let Some(metahub) = server() else { return };
    let read = content(metahub);
    let head = named(read("HEAD", &[]), 200, &digest_of(CONTENT));
    assert_eq!(head.header("content-length"), "16");
    let etag = head.header("etag").to_owned();
    let listed = format!("\"another\", {etag}");
    for validator in [&*etag, &format!("W/{etag}"), "*", &listed] {
        for method in ["GET", "HEAD"] {
            let answer = read(method, &[("If-None-Match", validator)]);
            let answer = named(answer, 304, &digest_of(CONTENT));
            assert!(answer.body.is_empty() && answer.header("etag") == etag);
        }
    }
    read("GET", &[("If-None-Match", "\"another\"")]).expect(200);
    let same = read("GET", &[("Range", "bytes=0-1"), ("If-Range", &etag)]);
    assert_eq!(same.expect(206).body, b"01");
    let other = read("GET", &[("Range", "bytes=0-1"), ("If-Range", "\"x\"")]);
    assert_eq!(other.expect(200).body, CONTENT);
}

#[test]
fn an_empty_blob_and_one_named_by_sha512_are_blobs_like_any_other() {
    let Some(metahub) = server() else { return };
    let alice = pusher(metahub, "alice/odd");
    for (bytes, digest) in [
        (b"".as_slice(), digest_of(b"")),
        (b"", sha512_of(b"")),
        (
            b"five hundred and twelve",
            sha512_of(b"five hundred and twelve"),
        ),
    ] {
        let start = alice.call("POST", &format!("blobs/uploads/?digest={digest}"));
        named(start.body(bytes).send(), 201, &digest);
        assert_eq!(read(alice, &digest), bytes);
        let head = alice.call("HEAD", &format!("blobs/{digest}")).send();
        let head = named(head, 200, &digest);
        assert_eq!(head.header("content-length"), bytes.len().to_string());
        let deleted = alice.call("DELETE", &format!("blobs/{digest}")).send();
        named(deleted, 202, &digest);
    }
    let wrong = format!("blobs/uploads/?digest={}", sha512_of(b"something else"));
    let refused = alice.call("POST", &wrong).body("this").send();
    refused.expect_error(400, "DIGEST_INVALID");
}
