//! An upstream that lies, cuts, stalls, answers HTML or is down: the client gets a clear error,
//! nothing wrong is kept, and the server goes on.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test"
)]

use metahub_e2e::faulty::{Fault, Faulty, Image, MANIFEST_TYPE, dead_host};
use metahub_e2e::http::Answer;
use metahub_e2e::metahub::MetaHub;
use metahub_e2e::require;
use metahub_e2e::world::config;
use rstest::rstest;

/// A MetaHub that has little patience with its one upstream.
fn before(host: &str) -> Option<MetaHub> {
    let impatient = "    timeouts: { connect: 2s, answer: 2s, between_bytes: 2s }\n    \
                     retry: { attempts: 2, first_wait: 50ms, longest_wait: 100ms, patience: 5s }";
    let config = format!("{}\n{impatient}", config(host, "read"));
    require::tools(&["setpriv"]).then(|| MetaHub::start(&config, &[]))
}

fn get(metahub: &MetaHub, path: &str) -> Answer {
    metahub
        .get(path)
        .header("Accept", MANIFEST_TYPE)
        .header("Authorization", anonymous(metahub))
        .send()
}

/// The token that anybody gets, as clients without a login use it.
fn anonymous(metahub: &MetaHub) -> String {
    let given = metahub
        .get("/token?service=metahub&scope=repository:team/app:pull&scope=repository:team/nothing:pull")
        .send();
    format!(
        "Bearer {}",
        given.expect(200).json()["token"].as_str().unwrap()
    )
}

/// A gateway's error: it is the upstream's fault, said as the specification says errors.
#[track_caller]
fn expect_gateway_error(answer: &Answer) {
    assert!(
        (500..600).contains(&answer.status) || answer.status == 429,
        "{answer}"
    );
    let error = &answer.json()["errors"][0];
    assert!(error["code"].is_string(), "{answer}");
    let message = error["message"].as_str().unwrap();
    assert!(
        message.contains("upstream"),
        "the message names the upstream: {answer}"
    );
    assert!(!message.contains("<html"), "{answer}");
}

/// Everything is right again, to the last byte.
#[track_caller]
fn expect_healthy(metahub: &MetaHub, image: &Image) {
    for (path, bytes) in [
        (Image::TAG.to_owned(), &image.manifest),
        (image.by_digest(), &image.manifest),
        (Image::blob(&image.config), &image.config),
        (Image::blob(&image.layer), &image.layer),
    ] {
        let answer = get(metahub, &path).expect(200);
        assert!(
            !answer.cut && answer.body == *bytes,
            "{path} is not what was pushed upstream"
        );
    }
    assert!(
        metahub.files_that_lie().is_empty(),
        "{:?}",
        metahub.files_that_lie()
    );
}

#[rstest]
#[case::lies(Fault::OtherBytes)]
#[case::is_html(Fault::Html)]
#[case::fails(Fault::ServerError)]
#[case::is_cut(Fault::Cut)]
#[case::stalls(Fault::StallInside)]
#[case::is_silent(Fault::Silence)]
#[case::never_ends(Fault::Endless)]
#[case::is_no_manifest(Fault::NotAManifest)]
fn a_manifest_by_digest_that_goes_wrong_is_an_error_and_is_not_kept(#[case] fault: Fault) {
    let upstream = Faulty::start();
    let Some(metahub) = before(upstream.host()) else {
        return;
    };
    let path = upstream.image.by_digest();
    upstream.break_path(&path, fault);
    expect_gateway_error(&get(&metahub, &path));
    assert!(!metahub.holds(&upstream.image.manifest));
    upstream.mend();
    expect_healthy(&metahub, &upstream.image);
}

#[rstest]
#[case::is_html(Fault::Html)]
#[case::fails(Fault::ServerError)]
#[case::is_cut(Fault::Cut)]
#[case::stalls(Fault::StallInside)]
#[case::never_ends(Fault::Endless)]
#[case::is_no_manifest(Fault::NotAManifest)]
#[case::lies_in_its_header(Fault::WrongDigestHeader)]
fn a_manifest_by_tag_that_goes_wrong_is_an_error_and_is_not_kept(#[case] fault: Fault) {
    let upstream = Faulty::start();
    let Some(metahub) = before(upstream.host()) else {
        return;
    };
    upstream.break_path(Image::TAG, fault);
    expect_gateway_error(&get(&metahub, Image::TAG));
    upstream.mend();
    expect_healthy(&metahub, &upstream.image);
}

#[rstest]
#[case::lies(Fault::OtherBytes)]
#[case::is_html(Fault::Html)]
#[case::fails(Fault::ServerError)]
#[case::is_cut(Fault::Cut)]
#[case::stalls(Fault::StallInside)]
#[case::is_silent(Fault::Silence)]
#[case::is_short(Fault::Short)]
#[case::is_long(Fault::Long)]
#[case::ignores_ranges_and_never_gets_far(Fault::CutIgnoringRange(50_000))]
#[case::gives_another_range(Fault::CutAnotherRange(50_000))]
#[case::goes_on_with_other_bytes(Fault::CutThenOther(100_000))]
fn a_blob_that_goes_wrong_never_looks_whole_and_is_not_kept(#[case] fault: Fault) {
    let upstream = Faulty::start();
    let Some(metahub) = before(upstream.host()) else {
        return;
    };
    get(&metahub, Image::TAG).expect(200);
    let path = Image::blob(&upstream.image.layer);
    upstream.break_path(&path, fault.clone());
    let answer = get(&metahub, &path);
    // It may have been streaming when it found out: then the body must end early.
    if fault == Fault::Long && answer.status == 200 && !answer.cut {
        // No more of it is read than the manifest says, and that is right.
        assert!(answer.body == upstream.image.layer);
        return;
    }
    if answer.status == 200 {
        assert!(answer.cut, "{fault:?}: a wrong blob was served as if whole");
    } else {
        expect_gateway_error(&answer);
    }
    assert!(!metahub.holds(&upstream.image.layer));
    upstream.mend();
    expect_healthy(&metahub, &upstream.image);
}

#[test]
fn an_upstream_that_asks_for_patience_is_not_hammered() {
    let upstream = Faulty::start();
    let Some(metahub) = before(upstream.host()) else {
        return;
    };
    upstream.break_path(Image::TAG, Fault::TooMany);
    expect_gateway_error(&get(&metahub, Image::TAG));
    let asked = upstream.times_asked(Image::TAG);
    assert!(asked <= 6, "asked {asked} times within one pull");
}

#[test]
fn an_upstream_that_is_down_is_named_and_what_is_kept_is_served() {
    let Some(metahub) = before(&dead_host()) else {
        return;
    };
    expect_gateway_error(&get(&metahub, Image::TAG));
    // A server error of one upstream is not the server's end.
    metahub.get("/v2/").send().expect(401);
}

#[test]
fn content_that_was_read_once_is_served_while_the_upstream_is_down() {
    let upstream = Faulty::start();
    let Some(metahub) = before(upstream.host()) else {
        return;
    };
    expect_healthy(&metahub, &upstream.image);
    let image = upstream.image.clone();
    drop(upstream);
    for (path, bytes) in [
        (image.by_digest(), &image.manifest),
        (Image::blob(&image.config), &image.config),
        (Image::blob(&image.layer), &image.layer),
    ] {
        assert_eq!(get(&metahub, &path).expect(200).body, *bytes);
    }
}

#[test]
fn what_the_upstream_does_not_have_is_unknown_and_not_an_error_of_the_server() {
    let upstream = Faulty::start();
    let Some(metahub) = before(upstream.host()) else {
        return;
    };
    let absent = format!("/v2/team/app/manifests/sha256:{}", "0".repeat(64));
    get(&metahub, &absent).expect_error(404, "MANIFEST_UNKNOWN");
    let answer = get(&metahub, "/v2/team/nothing/manifests/1.0").expect(404);
    assert!(answer.json()["errors"][0]["code"].is_string());
}

#[test]
fn the_same_blob_asked_for_by_many_at_once_is_fetched_once() {
    let upstream = Faulty::start();
    let Some(metahub) = before(upstream.host()) else {
        return;
    };
    get(&metahub, Image::TAG).expect(200);
    let path = Image::blob(&upstream.image.layer);
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..16)
            .map(|_| scope.spawn(|| get(&metahub, &path).expect(200).body))
            .collect();
        for client in clients {
            assert_eq!(client.join().unwrap(), upstream.image.layer);
        }
    });
    assert_eq!(upstream.times_asked(&path), 1);
}
