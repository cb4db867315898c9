//! Requests that no good client sends: each gets the status and the code that the distribution
//! specification has for it, leaves nothing behind, and does the server no harm.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test"
)]

use std::io::{Read as _, Write as _};
use std::sync::OnceLock;
use std::time::Duration;

use metahub_e2e::http::{Answer, Call, digest_of};
use metahub_e2e::metahub::MetaHub;
use metahub_e2e::pusher::{CONFIG, INDEX, LAYER, MANIFEST, Pusher, descriptor, with_query};
use metahub_e2e::require;
use rstest::rstest;
use serde_json::{Value, json};

const BLOB: &[u8] = b"0123456789abcdef";
const PASSWORD: &str = "a password for bad input";

/// One server for every test of this file, as bad input must not harm it for the next.
///
/// Nothing drops it: it ends with this process.
fn server() -> Option<&'static MetaHub> {
    static SERVER: OnceLock<Option<MetaHub>> = OnceLock::new();
    let server = SERVER.get_or_init(|| {
        if !require::tools(&["setpriv"]) {
            return None;
        }
        let metahub = MetaHub::shared("bad_input", "anonymous: read\noffline: true\nupstreams: []");
        metahub.add_account("alice", "pusher", PASSWORD);
        for blob in [BLOB, b"{}"] {
            alice(&metahub).blob(blob);
        }
        put(&metahub, "good", MANIFEST, &good()).expect(201);
        Some(metahub)
    });
    server.as_ref()
}

fn as_alice(call: Call) -> Call {
    call.login(Some(("alice", PASSWORD)))
}

fn alice(metahub: &MetaHub) -> Pusher<'_> {
    let login = Some(("alice", PASSWORD));
    Pusher {
        host: metahub.host(),
        repository: "alice/app",
        login,
    }
}

fn put(metahub: &MetaHub, reference: &str, media_type: &str, body: &[u8]) -> Answer {
    alice(metahub).manifest(reference, media_type, body)
}

fn manifest() -> Value {
    json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": descriptor(CONFIG, b"{}"),
        "layers": [descriptor(LAYER, BLOB)],
    })
}

fn good() -> Vec<u8> {
    serde_json::to_vec(&manifest()).unwrap()
}

fn changed(change: impl FnOnce(&mut Value)) -> Vec<u8> {
    let mut manifest = manifest();
    change(&mut manifest);
    serde_json::to_vec(&manifest).unwrap()
}

/// The server still serves what was there, whole.
#[track_caller]
fn expect_unharmed(metahub: &MetaHub) {
    let answer = as_alice(metahub.get("/v2/alice/app/manifests/good")).header("Accept", MANIFEST);
    assert_eq!(answer.send().expect(200).body, good());
    let blob = as_alice(metahub.get(&format!("/v2/alice/app/blobs/{}", digest_of(BLOB))));
    assert_eq!(blob.send().expect(200).body, BLOB);
}

#[rstest]
#[case::upper_case("/v2/alice/App/manifests/good", 400, "NAME_INVALID")]
#[case::leading_dash("/v2/alice/-app/manifests/good", 400, "NAME_INVALID")]
#[case::trailing_dot("/v2/alice/app./manifests/good", 400, "NAME_INVALID")]
#[case::two_dots("/v2/alice/../app/manifests/good", 400, "NAME_INVALID")]
#[case::encoded_dots("/v2/alice/%2e%2e/app/manifests/good", 400, "NAME_INVALID")]
#[case::empty_part("/v2/alice//app/manifests/good", 400, "NAME_INVALID")]
#[case::nul("/v2/alice/app%00/manifests/good", 400, "NAME_INVALID")]
#[case::not_utf8("/v2/alice/app%ff/manifests/good", 400, "NAME_INVALID")]
#[case::tag_with_dash_first("/v2/alice/app/manifests/-good", 400, "TAG_INVALID")]
#[case::tag_with_blank("/v2/alice/app/manifests/go%20od", 400, "TAG_INVALID")]
#[case::short_digest("/v2/alice/app/manifests/sha256:abcd", 400, "DIGEST_INVALID")]
#[case::odd_algorithm(
    "/v2/alice/app/blobs/md5:d41d8cd98f00b204e9800998ecf8427e",
    400,
    "DIGEST_INVALID"
)]
#[case::no_digest("/v2/alice/app/blobs/good", 400, "DIGEST_INVALID")]
#[case::unknown_tag("/v2/alice/app/manifests/absent", 404, "MANIFEST_UNKNOWN")]
#[case::unknown_name("/v2/alice/absent/tags/list", 404, "NAME_UNKNOWN")]
#[case::negative_page("/v2/alice/app/tags/list?n=-1", 400, "PAGINATION_NUMBER_INVALID")]
#[case::page_of_words("/v2/alice/app/tags/list?n=many", 400, "PAGINATION_NUMBER_INVALID")]
fn a_get_that_makes_no_sense_is_answered_with_its_code(
    #[case] path: &str,
    #[case] status: u16,
    #[case] code: &str,
) {
    let Some(metahub) = server() else { return };
    as_alice(metahub.get(path))
        .send()
        .expect_error(status, code);
    expect_unharmed(metahub);
}

#[test]
fn a_name_or_tag_of_any_length_is_answered() {
    let Some(metahub) = server() else { return };
    let long_name = format!("/v2/alice/{}/manifests/good", "a".repeat(300));
    as_alice(metahub.get(&long_name))
        .send()
        .expect_error(400, "NAME_INVALID");
    let long_tag = format!("/v2/alice/app/manifests/{}", "a".repeat(129));
    as_alice(metahub.get(&long_tag))
        .send()
        .expect_error(400, "TAG_INVALID");
    let digest = format!("/v2/alice/app/blobs/sha256:{}", "A".repeat(64));
    as_alice(metahub.get(&digest))
        .send()
        .expect_error(400, "DIGEST_INVALID");
    // A page of more tags than there could be is no reason to allocate them.
    let page = as_alice(metahub.get("/v2/alice/app/tags/list?n=9999999999")).send();
    assert!(matches!(page.status, 200 | 400), "{page}");
    expect_unharmed(metahub);
}

#[rstest]
#[case::beyond_the_end("bytes=16-", 416)]
#[case::far_beyond("bytes=99999999999999999999-", 416)]
#[case::backwards("bytes=5-2", 200)]
#[case::no_numbers("bytes=a-b", 200)]
#[case::another_unit("lines=1-2", 200)]
#[case::nothing("bytes=", 200)]
#[case::suffix_of_nothing("bytes=-0", 416)]
#[case::good("bytes=2-4", 206)]
#[case::good_suffix("bytes=-4", 206)]
#[case::open("bytes=10-", 206)]
#[case::past_the_end("bytes=10-400", 206)]
fn a_range_is_honoured_refused_or_ignored(#[case] range: &str, #[case] status: u16) {
    let Some(metahub) = server() else { return };
    let path = format!("/v2/alice/app/blobs/{}", digest_of(BLOB));
    let answer = as_alice(metahub.get(&path)).header("Range", range).send();
    // RFC 9110 lets a server treat a malformed range as absent, or refuse it.
    let refused = status == 200 && matches!(answer.status, 400 | 416);
    assert!(answer.status == status || refused, "{range}: {answer}");
    if answer.status == 206 {
        let (first, last) = answer
            .header("content-range")
            .trim_start_matches("bytes ")
            .trim_end_matches("/16")
            .split_once('-')
            .map(|(first, last)| (first.parse().unwrap(), last.parse::<usize>().unwrap()))
            .unwrap();
        assert_eq!(answer.body, &BLOB[first..=last]);
    }
    if answer.status == 416 {
        assert_eq!(answer.header("content-range"), "bytes */16");
    }
    expect_unharmed(metahub);
}

#[rstest]
#[case::no_json(b"{\"schemaVersion\": 2,".to_vec())]
#[case::nothing(Vec::new())]
#[case::a_list(b"[]".to_vec())]
#[case::a_word(b"null".to_vec())]
#[case::not_utf8(b"{\"schemaVersion\": 2, \"x\": \"\xff\xfe\"}".to_vec())]
#[case::deep(format!("{{\"x\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000)).into_bytes())]
#[case::version_1(changed(|m| m["schemaVersion"] = json!(1)))]
#[case::version_absent(changed(|m| { m.as_object_mut().unwrap().remove("schemaVersion"); }))]
#[case::both_kinds(changed(|m| m["manifests"] = json!([])))]
#[case::no_config(changed(|m| { m.as_object_mut().unwrap().remove("config"); }))]
#[case::layers_no_list(changed(|m| m["layers"] = json!({})))]
#[case::layer_without_digest(changed(|m| m["layers"] = json!([{"mediaType": LAYER, "size": 16}])))]
#[case::malformed_digest(changed(|m| m["layers"][0]["digest"] = json!("sha256:xyz")))]
#[case::negative_size(changed(|m| m["layers"][0]["size"] = json!(-1)))]
#[case::size_a_word(changed(|m| m["layers"][0]["size"] = json!("16")))]
#[case::another_media_type(changed(|m| m["mediaType"] = json!(INDEX)))]
#[case::key_twice(String::from_utf8(good()).unwrap().replacen("\"schemaVersion\":2", "\"schemaVersion\":2,\"config\":{}", 1).into_bytes())]
fn a_manifest_that_makes_no_sense_is_refused(#[case] body: Vec<u8>) {
    let Some(metahub) = server() else { return };
    put(metahub, "bad", MANIFEST, &body).expect_error(400, "MANIFEST_INVALID");
    as_alice(metahub.get("/v2/alice/app/manifests/bad"))
        .send()
        .expect(404);
    assert!(
        body.is_empty() || !metahub.holds(&body),
        "a refused manifest was kept"
    );
    expect_unharmed(metahub);
}

#[test]
fn an_index_that_is_also_a_manifest_is_refused() {
    let Some(metahub) = server() else { return };
    let entry = descriptor(MANIFEST, &good());
    for extra in [
        json!({"layers": [descriptor(LAYER, BLOB)]}),
        json!({"config": descriptor(CONFIG, b"{}")}),
    ] {
        let mut index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": [entry] });
        index
            .as_object_mut()
            .unwrap()
            .extend(extra.as_object().unwrap().clone());
        let body = serde_json::to_vec(&index).unwrap();
        put(metahub, "bad", INDEX, &body).expect_error(400, "MANIFEST_INVALID");
    }
    expect_unharmed(metahub);
}

#[rstest]
#[case::the_index_type(INDEX)]
#[case::plain_json("application/json")]
#[case::a_layer(LAYER)]
#[case::nonsense("not a media type")]
fn a_content_type_that_the_body_contradicts_is_refused(#[case] media_type: &str) {
    let Some(metahub) = server() else { return };
    put(metahub, "bad", media_type, &good()).expect_error(400, "MANIFEST_INVALID");
    expect_unharmed(metahub);
}

#[test]
fn a_manifest_over_four_mebibytes_is_refused_before_it_is_read_whole() {
    let Some(metahub) = server() else { return };
    let filler = "x".repeat(4 * 1024 * 1024);
    let body = changed(|manifest| manifest["annotations"] = json!({ "filler": filler }));
    let answer = put(metahub, "bad", MANIFEST, &body).expect(413);
    assert!(answer.json()["errors"][0]["code"].is_string(), "{answer}");
    expect_unharmed(metahub);
}

#[test]
fn a_manifest_that_names_what_is_not_here_is_refused() {
    let Some(metahub) = server() else { return };
    let body = changed(|manifest| manifest["layers"][0] = descriptor(LAYER, b"not pushed"));
    let answer = put(metahub, "bad", MANIFEST, &body);
    answer.expect_error(404, "MANIFEST_BLOB_UNKNOWN");
    expect_unharmed(metahub);
}

#[test]
fn a_manifest_under_a_digest_that_is_not_its_own_is_refused() {
    let Some(metahub) = server() else { return };
    let other = digest_of(b"another manifest");
    put(metahub, &other, MANIFEST, &good()).expect_error(400, "DIGEST_INVALID");
    as_alice(metahub.get(&format!("/v2/alice/app/manifests/{other}")))
        .send()
        .expect(404);
    expect_unharmed(metahub);
}

#[rstest]
#[case::another_digest(&format!("digest={}", digest_of(b"something else")), "DIGEST_INVALID")]
#[case::malformed("digest=sha256:12", "DIGEST_INVALID")]
#[case::absent("", "DIGEST_INVALID")]
fn an_upload_whose_digest_is_wrong_is_refused_and_not_kept(
    #[case] query: &str,
    #[case] code: &str,
) {
    let Some(metahub) = server() else { return };
    let content = format!("content under {query}");
    let end = with_query(&alice(metahub).start_upload(), query);
    as_alice(metahub.call("PUT", &end))
        .body(content.as_bytes())
        .send()
        .expect_error(400, code);
    let blob = format!("/v2/alice/app/blobs/{}", digest_of(content.as_bytes()));
    as_alice(metahub.get(&blob))
        .send()
        .expect_error(404, "BLOB_UNKNOWN");
    expect_unharmed(metahub);
}

#[test]
fn a_chunk_that_does_not_follow_the_last_is_refused() {
    let Some(metahub) = server() else { return };
    let location = alice(metahub).start_upload();
    let chunk = as_alice(metahub.call("PATCH", &location))
        .header("Content-Range", "5-9")
        .header("Content-Type", "application/octet-stream")
        .body(&b"56789"[..]);
    chunk.send().expect_error(416, "RANGE_INVALID");
    let odd = as_alice(metahub.call("PATCH", &alice(metahub).start_upload()))
        .header("Content-Range", "nine to five")
        .body(&b"56789"[..])
        .send();
    assert!(matches!(odd.status, 400 | 416), "{odd}");
    expect_unharmed(metahub);
}

#[test]
fn an_upload_that_nobody_began_is_unknown() {
    let Some(metahub) = server() else { return };
    for (id, code) in [
        (
            "00000000-0000-0000-0000-000000000000",
            "BLOB_UPLOAD_UNKNOWN",
        ),
        // An encoded `/` is a `/`, and there is no such path.
        ("..%2f..%2fetc%2fpasswd", "UNSUPPORTED"),
        ("nothing", "BLOB_UPLOAD_UNKNOWN"),
    ] {
        let path = format!(
            "/v2/alice/app/blobs/uploads/{id}?digest={}",
            digest_of(BLOB)
        );
        let answer = as_alice(metahub.call("PUT", &path)).body(BLOB).send();
        answer.expect_error(404, code);
    }
    expect_unharmed(metahub);
}

#[test]
fn a_method_or_a_path_that_does_not_exist_is_an_error_and_not_a_panic() {
    let Some(metahub) = server() else { return };
    for (method, path) in [
        ("BREW", "/v2/alice/app/manifests/good"),
        ("POST", "/v2/alice/app/manifests/good"),
        ("PUT", "/v2/"),
        ("GET", "/v2/alice/app/nothing"),
        ("GET", "/nothing"),
        ("OPTIONS", "/v2/alice/app/tags/list"),
    ] {
        let answer = as_alice(metahub.call(method, path)).send();
        assert!((400..500).contains(&answer.status), "{answer}");
    }
    expect_unharmed(metahub);
}

#[rstest]
#[case::not_base64("Basic !!!")]
#[case::no_colon("Basic YWxpY2U=")]
#[case::not_utf8("Basic /zov")]
#[case::unknown_scheme("Digest username=alice")]
#[case::empty_token("Bearer ")]
#[case::unsigned_token("Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiJhZG1pbiJ9.")]
fn credentials_that_make_no_sense_are_refused_with_a_challenge(#[case] value: &str) {
    let Some(metahub) = server() else { return };
    let answer = metahub.get("/v2/").header("Authorization", value).send();
    let answer = answer.expect_error(401, "UNAUTHORIZED");
    assert!(
        answer.header("www-authenticate").starts_with("Bearer "),
        "{answer}"
    );
    expect_unharmed(metahub);
}

#[test]
fn a_user_name_of_forbidden_characters_is_refused() {
    let Some(metahub) = server() else { return };
    for user in [
        "$HOME", "a b", "zen3@x", "<script>", "zen3+", "+", "/", "#", "a/../b", "\u{1}",
    ] {
        let answer = metahub.get("/v2/").login(Some((user, "any"))).send();
        answer.expect_error(401, "UNAUTHORIZED");
    }
    expect_unharmed(metahub);
}

#[test]
fn bytes_that_are_not_http_do_no_harm() {
    let Some(metahub) = server() else { return };
    for bytes in [
        &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..],
        b"GET /v2/ HTTP/9.9\r\n\r\n",
        b"GET /v2/ HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        b"GET /v2/ HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n",
    ] {
        let mut stream = std::net::TcpStream::connect(metahub.host()).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(30)))
            .unwrap();
        stream.write_all(bytes).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
    }
    expect_unharmed(metahub);
}
