//! Every route, asked by everybody. What is asked for is chosen so that one answer changes no
//! other: an allowed change names what is not there.

use metahub_auth::AnonymousAccess;
use metahub_server::MetricsAccess;

use crate::site::{Site, With, told};

/// Nobody without a token, nobody with the token that the challenge leads to, a reader, a pusher
/// in whose namespace `alice/…` is, an admin, and a wrong password.
const WHO: [&str; 6] = ["", "anybody", "bob", "alice", "root", "wrong"];

fn ask(site: &Site, who: &str, method: &str, path: &str) -> String {
    if who == "anybody" {
        return told(&site.call("", method, path).send_as_anybody());
    }
    told(&site.call(who, method, path).send())
}

/// Checks a table of `METHOD PATH`, and what each of [`WHO`] is told.
fn check(site: &Site, digests: (&str, &str), table: &[(&str, [&str; 6])]) {
    let (manifest, blob) = digests;
    let none = format!("sha256:{}", "0".repeat(64));
    let mut wrong = Vec::new();
    for (line, expected) in table {
        let line = line
            .replace("MANIFEST", manifest)
            .replace("BLOB", blob)
            .replace("NONE", &none);
        let (method, path) = line.split_once(' ').unwrap();
        for (who, expected) in WHO.iter().zip(expected) {
            let told = ask(site, who, method, path);
            if told != *expected {
                wrong.push(format!("{line} by '{who}': {told}, expected {expected}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

const UNAUTHORIZED: &str = "401 UNAUTHORIZED";
const DENIED: &str = "403 DENIED";

/// What all but nobody and a wrong password are told.
const fn all(told: &'static str) -> [&'static str; 6] {
    [UNAUTHORIZED, told, told, told, told, UNAUTHORIZED]
}

/// The same where rights differ.
const fn by_right(
    reader: &'static str,
    pusher: &'static str,
    admin: &'static str,
) -> [&'static str; 6] {
    [
        UNAUTHORIZED,
        UNAUTHORIZED,
        reader,
        pusher,
        admin,
        UNAUTHORIZED,
    ]
}

#[test]
fn each_route_tells_each_caller_what_its_right_allows() {
    let site = Site::start(With::default());
    let (manifest, blob) = site.push("alice/app", "1", "a layer");
    check(
        &site,
        (&manifest, &blob),
        &[
            ("GET /v2/", all("200")),
            ("GET /v2/alice/app/manifests/1", all("200")),
            (
                "HEAD /v2/alice/app/manifests/MANIFEST",
                ["401", "200", "200", "200", "200", "401"],
            ),
            ("GET /v2/alice/app/manifests/2", all("404 MANIFEST_UNKNOWN")),
            ("GET /v2/alice/app/blobs/BLOB", all("200")),
            ("GET /v2/alice/app/blobs/NONE", all("404 BLOB_UNKNOWN")),
            ("GET /v2/bob/app/blobs/BLOB", all("404 BLOB_UNKNOWN")),
            ("GET /v2/alice/app/tags/list", all("200")),
            ("GET /v2/bob/app/tags/list", all("404 NAME_UNKNOWN")),
            ("GET /v2/alice/app/referrers/MANIFEST", all("200")),
            (
                "PUT /v2/alice/app/manifests/1",
                by_right(DENIED, "400 MANIFEST_INVALID", "400 MANIFEST_INVALID"),
            ),
            (
                "PUT /v2/bob/app/manifests/1",
                by_right(DENIED, DENIED, "400 MANIFEST_INVALID"),
            ),
            (
                "POST /v2/alice/app/blobs/uploads/",
                by_right(DENIED, "202", "202"),
            ),
            (
                "POST /v2/bob/app/blobs/uploads/",
                by_right(DENIED, DENIED, "202"),
            ),
            (
                "GET /v2/alice/app/blobs/uploads/x",
                by_right(DENIED, "404 BLOB_UPLOAD_UNKNOWN", "404 BLOB_UPLOAD_UNKNOWN"),
            ),
            (
                "PATCH /v2/alice/app/blobs/uploads/x",
                by_right(DENIED, "404 BLOB_UPLOAD_UNKNOWN", "404 BLOB_UPLOAD_UNKNOWN"),
            ),
            (
                "DELETE /v2/alice/app/manifests/NONE",
                by_right(DENIED, "404 MANIFEST_UNKNOWN", "404 MANIFEST_UNKNOWN"),
            ),
            (
                "DELETE /v2/alice/app/blobs/NONE",
                by_right(DENIED, "404 BLOB_UNKNOWN", "404 BLOB_UNKNOWN"),
            ),
            (
                "DELETE /v2/alice/app/tags/2",
                by_right(DENIED, "404 MANIFEST_UNKNOWN", "404 MANIFEST_UNKNOWN"),
            ),
            (
                "DELETE /v2/bob/app/manifests/NONE",
                by_right(DENIED, DENIED, "404 MANIFEST_UNKNOWN"),
            ),
        ],
    );
}

#[test]
fn what_is_no_repository_has_rules_of_its_own() {
    let site = Site::start(With::default());
    let (manifest, blob) = site.push("alice/app", "1", "a layer");
    let everybody = |told: &'static str| [told; 6];
    check(
        &site,
        (&manifest, &blob),
        &[
            ("GET /", everybody("200")),
            ("GET /healthz", everybody("200")),
            ("GET /readyz", everybody("200")),
            ("GET /api/v1/hardware", everybody("200")),
            ("GET /elsewhere", everybody("404 UNSUPPORTED")),
            ("PUT /v2/", everybody("405 UNSUPPORTED")),
            (
                "GET /v2/Alice/app/manifests/1",
                everybody("400 NAME_INVALID"),
            ),
            (
                "GET /v2/alice/app/manifests/sha256:0",
                everybody("400 DIGEST_INVALID"),
            ),
            ("GET /v2/_catalog", all("200")),
            (
                "GET /metrics",
                [UNAUTHORIZED, DENIED, "200", "200", "200", UNAUTHORIZED],
            ),
            (
                "GET /api/v1/resolve?image=alice/app:1",
                ["200", "200", "200", "200", "200", UNAUTHORIZED],
            ),
            (
                "GET /api/v1/resolve?image=alice/app:2",
                [
                    "404 MANIFEST_UNKNOWN",
                    "404 MANIFEST_UNKNOWN",
                    "404 MANIFEST_UNKNOWN",
                    "404 MANIFEST_UNKNOWN",
                    "404 MANIFEST_UNKNOWN",
                    UNAUTHORIZED,
                ],
            ),
            ("GET /api/v1/resolve", everybody("400 NAME_INVALID")),
        ],
    );
}

#[test]
fn a_site_without_anonymous_access_tells_nobody_anything() {
    let site = Site::start(With {
        anonymous: AnonymousAccess::None,
        ..With::default()
    });
    let (manifest, blob) = site.push("alice/app", "1", "a layer");
    for line in [
        "GET /v2/",
        "GET /v2/alice/app/manifests/1",
        "GET /v2/alice/app/manifests/2",
        &format!("GET /v2/alice/app/manifests/{manifest}"),
        &format!("GET /v2/alice/app/blobs/{blob}"),
        "GET /v2/alice/app/tags/list",
        "GET /v2/nobody/app/tags/list",
        "GET /api/v1/resolve?image=alice/app:1",
    ] {
        let (method, path) = line.split_once(' ').unwrap();
        assert_eq!(ask(&site, "", method, path), UNAUTHORIZED, "{line}");
        assert_ne!(ask(&site, "bob", method, path), UNAUTHORIZED, "{line}");
    }
    let token = site.get("", "/token?service=metahub&scope=repository:alice/app:pull");
    assert_eq!(token.status, 401);
}

#[test]
fn a_read_only_site_takes_no_change_by_anybody_and_hides_its_metrics_if_told() {
    let site = Site::start(With {
        read_only: true,
        metrics: MetricsAccess::Nobody,
        ..With::default()
    });
    for line in [
        "PUT /v2/alice/app/manifests/1",
        "POST /v2/alice/app/blobs/uploads/",
        "PATCH /v2/alice/app/blobs/uploads/x",
        "DELETE /v2/alice/app/manifests/1",
        "DELETE /v2/alice/app/tags/1",
    ] {
        let (method, path) = line.split_once(' ').unwrap();
        for who in ["", "bob", "alice", "root"] {
            assert_eq!(ask(&site, who, method, path), "405 UNSUPPORTED", "{line}");
        }
    }
    for who in ["", "bob", "root"] {
        assert_eq!(ask(&site, who, "GET", "/metrics"), "404 UNSUPPORTED");
    }
}
