//! Upstreams that lead elsewhere, drip, stall, storm or drown: credentials stay where they belong,
//! clients get what there is, and the server keeps its measure.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test")]

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::body::Body;
use bytes::Bytes;
use metahub_e2e::faulty::{Fault, Faulty, Image, MANIFEST_TYPE};
use metahub_e2e::http::{Answer, basic, digest_of};
use metahub_e2e::metahub::MetaHub;
use metahub_e2e::require;
use metahub_e2e::scripted::Scripted;
use metahub_e2e::stand::{Asked, Stand, content, reply};
use rstest::rstest;

const PASSWORD: &str = "correct-horse-battery";

/// A MetaHub before one upstream, with more said of it and little patience.
fn before(host: &str, more: &str) -> MetaHub {
    let config = format!(
        "anonymous: read\nallow_any_host: false\ntag_lifetime: 0s\nupstreams: [{{ host: up.test, \
         url: 'http://{host}', plain_http: true, default: true, {more} }}]\n"
    );
    MetaHub::start(&config, &[])
}

fn get(metahub: &MetaHub, path: &str) -> Answer {
    metahub
        .get(path)
        .header("Accept", MANIFEST_TYPE)
        .send_as_anybody()
}

/// A file with the password, and what to say of it.
fn credentials() -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("password");
    std::fs::write(&file, PASSWORD).unwrap();
    let more = format!(
        "credentials: {{ username: bot, password_file: '{}' }}",
        file.display()
    );
    (folder, more)
}

/// A registry that wants a password, and redirects a client that asks for its blob to `target`.
fn redirecting(image: Image, target: String) -> Stand {
    Stand::start(move |asked: &Asked| {
        if asked.header("authorization") != basic("bot", PASSWORD) {
            return reply(401, "WWW-Authenticate", "Basic realm=\"up\"");
        }
        if asked.line.contains("/manifests/") {
            return content(MANIFEST_TYPE, &image.manifest);
        }
        reply(307, "Location", &target)
    })
}

#[test]
fn a_redirect_to_storage_elsewhere_is_followed_without_credentials() {
    if !require::tools(&["setpriv"]) {
        return;
    }
    let image = Image::new();
    let layer = image.layer.clone();
    let storage = Stand::start(move |_: &Asked| content("application/octet-stream", &layer));
    let target = format!("http://{}/bucket/layer?signature=s3cr3t", storage.host());
    let upstream = redirecting(image.clone(), target);
    let (_file, more) = credentials();
    let metahub = before(upstream.host(), &more);
    get(&metahub, Image::TAG).expect(200);
    let answer = get(&metahub, &Image::blob(&image.layer)).expect(200);
    assert!(!answer.cut && answer.body == image.layer);
    let asked = storage.asked();
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].line, "GET /bucket/layer?signature=s3cr3t");
    assert_eq!(asked[0].header("authorization"), "");
    let sent = format!("{:?}", asked[0].headers);
    assert!(
        !sent.contains(PASSWORD) && !sent.contains("team/app"),
        "{sent}"
    );
    for secret in ["s3cr3t", PASSWORD] {
        assert!(!metahub.log().contains(secret), "{}", metahub.log());
    }
}

#[rstest]
#[case::a_clouds_metadata("http://169.254.169.254/latest/meta-data/iam", "link-local")]
#[case::the_sites_network("http://10.0.0.1/secret", "private")]
#[case::a_number_that_is_an_address("http://2852039166/latest/meta-data/", "link-local")]
#[case::an_address_in_another("http://[::ffff:169.254.169.254]/", "link-local")]
#[case::a_file("file:///etc/passwd", "'file:'")]
#[case::somebodys_login("http://root:toor@127.0.0.1/", "user name")]
fn a_redirect_to_where_it_must_not_lead_is_refused_and_named(
    #[case] target: &str,
    #[case] why: &str,
) {
    if !require::tools(&["setpriv"]) {
        return;
    }
    let image = Image::new();
    let upstream = redirecting(image.clone(), target.to_owned());
    let (_file, more) = credentials();
    let metahub = before(upstream.host(), &more);
    get(&metahub, Image::TAG).expect(200);
    let answer = get(&metahub, &Image::blob(&image.layer)).expect_error(503, "UNAVAILABLE");
    let text = answer.text();
    assert!(text.contains("up.test") && text.contains(why), "{answer}");
    assert!(
        !text.contains("meta-data") && !text.contains("toor"),
        "{answer}"
    );
    assert!(!metahub.holds(&image.layer));
}

#[test]
fn a_realm_elsewhere_gets_no_credentials_and_the_error_says_how_to_trust_it() {
    if !require::tools(&["setpriv"]) {
        return;
    }
    let manifest = Image::new().manifest;
    let thief = Stand::start(|_: &Asked| content("application/json", b"{\"token\":\"good\"}"));
    let challenge = format!(
        "Bearer realm=\"http://{}/token\",service=\"up\"",
        thief.host()
    );
    let upstream = Stand::start(move |asked: &Asked| match asked.header("authorization") {
        "Bearer good" => content(MANIFEST_TYPE, &manifest),
        _ => reply(401, "WWW-Authenticate", &challenge),
    });
    let (_file, more) = credentials();
    let metahub = before(upstream.host(), &more);
    let answer = get(&metahub, Image::TAG);
    assert_eq!(answer.status / 100, 5, "{answer}");
    let text = answer.text();
    assert!(
        text.contains("realm_hosts") && text.contains(thief.host()),
        "{answer}"
    );
    assert!(thief.asked().is_empty(), "{:?}", thief.asked());
    // Trusted by name it gets them; and without credentials there is nothing to lose.
    for (more, sent) in [
        (
            format!("{more}, realm_hosts: ['{}']", thief.host()),
            basic("bot", PASSWORD),
        ),
        (String::new(), String::new()),
    ] {
        let metahub = before(upstream.host(), &more);
        get(&metahub, Image::TAG).expect(200);
        assert_eq!(thief.asked().last().unwrap().header("authorization"), sent);
    }
}

#[test]
fn an_identity_token_of_dockers_file_is_exchanged_and_what_replaces_it_is_sent_next() {
    if !require::tools(&["setpriv"]) {
        return;
    }
    let manifest = Image::new().manifest;
    let upstream = Stand::start(move |asked: &Asked| {
        if !asked.line.starts_with("POST /token") {
            return match asked.header("authorization") {
                "Bearer good" => content(MANIFEST_TYPE, &manifest),
                _ => reply(
                    401,
                    "WWW-Authenticate",
                    "Bearer realm=\"/token\",service=\"up\"",
                ),
            };
        }
        let next = if asked.body.contains("first-token") {
            "second-token"
        } else {
            "third-token"
        };
        let given = format!("{{\"access_token\": \"good\", \"refresh_token\": \"{next}\"}}");
        content("application/json", given.as_bytes())
    });
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("config.json");
    let config = "{\"auths\": {\"up.test\": {\"identitytoken\": \"first-token\"}}}";
    std::fs::write(&file, config).unwrap();
    let more = format!("credentials: {{ docker_config: '{}' }}", file.display());
    let metahub = before(upstream.host(), &more);
    for repository in ["team/app", "team/other", "team/third"] {
        get(&metahub, &format!("/v2/{repository}/manifests/1.0")).expect(200);
    }
    let asked = upstream.asked();
    let exchanges = asked.iter().filter(|one| one.line == "POST /token");
    let sent: Vec<&str> = exchanges.map(|one| one.body.as_str()).collect();
    assert_eq!(sent.len(), 3, "{sent:?}");
    for (body, (token, scope)) in sent.iter().zip([
        ("first-token", "team%2Fapp"),
        ("second-token", "team%2Fother"),
        ("third-token", "team%2Fthird"),
    ]) {
        assert!(body.contains("grant_type=refresh_token"), "{body}");
        assert!(body.contains(token) && body.contains(scope), "{body}");
    }
    assert!(!metahub.log().contains("-token"), "{}", metahub.log());
}

#[test]
fn a_blob_that_drips_comes_whole_however_long_it_takes() {
    if !require::tools(&["setpriv"]) {
        return;
    }
    let upstream = Faulty::start();
    // Thirty pieces take longer than anything that is waited for.
    let metahub = before(
        upstream.host(),
        "timeouts: { connect: 1s, answer: 1s, between_bytes: 1s }, retry: { attempts: 1, patience: 1s }",
    );
    get(&metahub, Image::TAG).expect(200);
    let layer = Image::blob(&upstream.image.layer);
    upstream.break_path(&layer, Fault::Drip(upstream.image.layer.len().div_ceil(30)));
    let answer = get(&metahub, &layer).expect(200);
    assert!(!answer.cut && answer.body == upstream.image.layer);
    assert_eq!(upstream.times_asked(&layer), 1, "it moved all the time");
}

#[test]
fn a_blob_that_stalls_is_taken_up_where_it_stalled() {
    if !require::tools(&["setpriv"]) {
        return;
    }
    let upstream = Faulty::start();
    let metahub = before(upstream.host(), "timeouts: { between_bytes: 1s }");
    get(&metahub, Image::TAG).expect(200);
    let layer = Image::blob(&upstream.image.layer);
    upstream.break_path(&layer, Fault::StallAt(70_000));
    let answer = get(&metahub, &layer).expect(200);
    assert!(!answer.cut && answer.body == upstream.image.layer);
    assert_eq!(upstream.times_asked(&layer), 2);
    let whole = upstream.image.layer.len() as u64;
    assert_eq!(upstream.bytes_sent(&layer), whole, "no byte came twice");
}

/// What fifty clients get who ask at once.
fn fifty(metahub: &MetaHub, path: impl Fn(usize) -> String + Sync) -> Vec<Answer> {
    std::thread::scope(|scope| {
        let path = &path;
        let clients: Vec<_> = (0..50)
            .map(|number| scope.spawn(move || get(metahub, &path(number))))
            .collect();
        clients
            .into_iter()
            .map(|client| client.join().unwrap())
            .collect()
    })
}

#[test]
fn fifty_clients_who_meet_a_rate_limit_wait_it_out_with_one_request_more() {
    if !require::tools(&["setpriv"]) {
        return;
    }
    let image = Image::new();
    let (manifest, layer) = (image.manifest.clone(), image.layer.clone());
    let limited = Arc::new(AtomicBool::new(true));
    let limits = Arc::clone(&limited);
    let upstream = Stand::start(move |asked: &Asked| {
        if limits.swap(false, Ordering::SeqCst) {
            return reply(429, "Retry-After", "1");
        }
        match asked.line.contains("/blobs/") {
            true => content("application/octet-stream", &layer),
            false => content(MANIFEST_TYPE, &manifest),
        }
    });
    let metahub = before(upstream.host(), "");
    for answer in fifty(&metahub, |_| Image::TAG.to_owned()) {
        assert_eq!(answer.expect(200).body, image.manifest);
    }
    assert_eq!(upstream.asked().len(), 2, "{:?}", upstream.asked());
    limited.store(true, Ordering::SeqCst);
    for answer in fifty(&metahub, |_| Image::blob(&image.layer)) {
        assert!(!answer.cut && answer.expect(200).body == image.layer);
    }
    assert_eq!(upstream.asked().len(), 4, "{:?}", upstream.asked());
}

#[test]
fn a_rate_limit_beyond_all_patience_is_told_to_everybody_and_asked_about_once() {
    if !require::tools(&["setpriv"]) {
        return;
    }
    let upstream = Scripted::start();
    upstream.put("team/app", "1", "one");
    let metahub = before(upstream.host(), "");
    let kept = get(&metahub, "/v2/team/app/manifests/1").expect(200);
    upstream.fail(429, Some(3600));
    let _ = upstream.asked();
    // Whoever learns it first spares the others the question.
    get(&metahub, "/v2/team/app/manifests/2").expect_error(503, "UNAVAILABLE");
    let other = |number: usize| format!("/v2/team/app{number}/manifests/2");
    for answer in fifty(&metahub, other) {
        let answer = answer.expect_error(503, "UNAVAILABLE");
        assert!(answer.text().contains("up.test"), "{answer}");
        let wait: u64 = answer.header("retry-after").parse().unwrap();
        // However long it says, somebody asks again within a minute.
        assert!((1..=60).contains(&wait), "{answer}");
    }
    assert_eq!(upstream.asked(), ["GET /v2/team/app/manifests/2"]);
    // What is kept needs no patience, and costs one question for all.
    for answer in fifty(&metahub, |_| "/v2/team/app/manifests/1".to_owned()) {
        assert_eq!(answer.expect(200).body, kept.body);
    }
    assert_eq!(upstream.asked(), ["HEAD /v2/team/app/manifests/1"]);
}

#[test]
fn manifests_without_end_take_little_memory_and_the_error_says_how_much_is_read() {
    if !require::tools(&["setpriv"]) {
        return;
    }
    let manifest = Image::new().manifest;
    let upstream = Stand::start(move |asked: &Asked| {
        if asked.line.ends_with("/manifests/1.0") {
            return content(MANIFEST_TYPE, &manifest);
        }
        let blanks = Ok::<_, Infallible>(Bytes::from_static(&[b' '; 65536]));
        let body = Body::from_stream(futures_util::stream::repeat(blanks));
        let mut answer = content(MANIFEST_TYPE, b"");
        *answer.body_mut() = body;
        answer.headers_mut().remove("Docker-Content-Digest");
        answer
    });
    let metahub = before(upstream.host(), "retry: { attempts: 1 }");
    for answer in fifty(&metahub, |_| Image::TAG.to_owned()) {
        answer.expect(200);
    }
    let before = metahub.peak_memory();
    let path = |number: usize| {
        let digest = digest_of(number.to_string().as_bytes());
        format!("/v2/team/app/manifests/{digest}")
    };
    for answer in fifty(&metahub, path) {
        let text = answer.expect_error(503, "UNAVAILABLE").text();
        assert!(
            text.contains("up.test") && text.contains("4194304"),
            "{text}"
        );
    }
    let grown = metahub.peak_memory().saturating_sub(before);
    assert!(grown < 96 * 1024 * 1024, "{grown} bytes more than before");
}
