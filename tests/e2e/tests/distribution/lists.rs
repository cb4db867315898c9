//! Lists: tags, repositories and referrers, page by page, and no more than may be seen.

use metahub_e2e::http::{Answer, digest_of};
use metahub_e2e::metahub::MetaHub;
use metahub_e2e::pusher::{MANIFEST, descriptor};
use serde_json::{Value, json};

use crate::{EMPTY, PASSWORD, named, pusher, server};

fn get(metahub: &MetaHub, path: &str) -> Answer {
    let call = metahub.get(path).login(Some(("alice", PASSWORD)));
    call.send().expect(200)
}

/// Every page from `path` on: what `field` holds, following each `Link`.
fn pages(metahub: &MetaHub, path: &str, field: &str) -> Vec<Vec<Value>> {
    let (mut pages, mut next) = (Vec::new(), Some(path.to_owned()));
    while let Some(path) = next {
        let page = get(metahub, &path);
        pages.push(page.json()[field].as_array().unwrap().clone());
        let link = page.header("link");
        assert!(
            link.is_empty() || link.ends_with("; rel=\"next\""),
            "{page}"
        );
        let (path, _) = link
            .trim_start_matches('<')
            .split_once('>')
            .unwrap_or_default();
        next = (!path.is_empty()).then(|| path.to_owned());
        assert!(pages.len() < 100, "the pages do not end");
    }
    pages
}

#[test]
fn tags_and_repositories_come_in_pages_in_order_each_with_a_link_to_the_next() {
    let Some(metahub) = server() else { return };
    let alice = pusher(metahub, "alice/paged");
    for tag in ["b", "c", "a", "e", "d"] {
        let _ = alice.image(tag, "amd64", b"layer");
    }
    let tags = "/v2/alice/paged/tags/list";
    let wanted = [
        vec![json!("a"), json!("b")],
        vec![json!("c"), json!("d")],
        vec![json!("e")],
    ];
    assert_eq!(pages(metahub, &format!("{tags}?n=2"), "tags"), wanted);
    let after = get(metahub, &format!("{tags}?last=c&n=10")).json();
    assert_eq!(after["tags"], json!(["d", "e"]));
    assert_eq!(
        get(metahub, &format!("{tags}?n=0")).json()["tags"],
        json!([])
    );

    let _ = pusher(metahub, "bob/paged").image("a", "amd64", b"layer");
    let all = pages(metahub, "/v2/_catalog?n=1", "repositories");
    assert!(all.iter().all(|page| page.len() <= 1), "{all:?}");
    let all = all.concat();
    assert!(
        all.contains(&json!("alice/paged")) && all.contains(&json!("bob/paged")),
        "{all:?}"
    );
    assert!(
        all.is_sorted_by_key(|name| name.as_str().unwrap().to_owned()),
        "{all:?}"
    );
}

#[test]
fn nobody_is_told_of_a_repository_that_the_caller_may_not_read() {
    let Some(metahub) = server() else { return };
    for repository in ["alice/seen", "alice/unseen"] {
        let _ = pusher(metahub, repository).image("1", "amd64", b"layer");
    }
    let nobody = metahub.get("/v2/_catalog").send();
    nobody.expect_error(401, "UNAUTHORIZED");
    let token = "/token?service=metahub&scope=repository:alice/seen:pull";
    let token = get(metahub, token).json()["token"]
        .as_str()
        .unwrap()
        .to_owned();
    let list = metahub.get("/v2/_catalog");
    let list = list
        .header("Authorization", format!("Bearer {token}"))
        .send();
    assert!(!list.text().contains("alice/unseen"), "{list}");
}

#[test]
fn no_number_of_items_is_so_large_that_it_does_harm() {
    let Some(metahub) = server() else { return };
    let image = pusher(metahub, "alice/numbers").image("1", "amd64", b"layer");
    let subject = image["digest"].as_str().unwrap();
    for list in [
        "/v2/_catalog".to_owned(),
        "/v2/alice/numbers/tags/list".to_owned(),
        format!("/v2/alice/numbers/referrers/{subject}"),
    ] {
        for n in [i64::MAX.to_string(), u64::MAX.to_string()] {
            get(metahub, &format!("{list}?n={n}"));
        }
        for n in ["-1", "1e9", "99999999999999999999999999", "0x10"] {
            let call = metahub.get(&format!("{list}?n={n}"));
            let refused = call.login(Some(("alice", PASSWORD))).send();
            refused.expect_error(400, "PAGINATION_NUMBER_INVALID");
        }
    }
}

#[test]
fn referrers_are_named_on_push_and_listed_by_type_and_in_pages() {
    let Some(metahub) = server() else { return };
    let alice = pusher(metahub, "alice/referrers");
    let subject = alice.image("1", "amd64", b"layer");
    let digest = subject["digest"].as_str().unwrap();
    alice.blob(EMPTY);
    let list = format!("/v2/alice/referrers/referrers/{digest}");
    assert_eq!(get(metahub, &list).json()["manifests"], json!([]));
    let mut pushed = Vec::new();
    for (number, kind) in ["a/sbom+json", "a/sig", "a/sig", "a/sig"]
        .iter()
        .enumerate()
    {
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "artifactType": kind,
            "config": descriptor("application/vnd.oci.empty.v1+json", EMPTY),
            "layers": [descriptor("application/vnd.oci.empty.v1+json", EMPTY)],
            "subject": subject,
            "annotations": { "number": number.to_string() },
        });
        let bytes = serde_json::to_vec(&manifest).unwrap();
        let answer = alice.manifest(&digest_of(&bytes), MANIFEST, &bytes);
        let answer = named(answer, 201, &digest_of(&bytes));
        assert_eq!(answer.header("oci-subject"), digest);
        let mut entry = descriptor(MANIFEST, &bytes);
        entry["artifactType"] = json!(kind);
        entry["annotations"] = manifest["annotations"].clone();
        pushed.push(entry);
    }
    pushed.sort_by_key(|entry| entry["digest"].as_str().unwrap().to_owned());
    let all = get(metahub, &list);
    assert_eq!(
        all.header("content-type"),
        "application/vnd.oci.image.index.v1+json"
    );
    assert_eq!(all.header("oci-filters-applied"), "");
    assert_eq!(all.json()["manifests"], json!(pushed));
    for n in 1..=5 {
        let paged = pages(metahub, &format!("{list}?n={n}"), "manifests");
        assert!(paged.iter().all(|page| page.len() <= n), "{paged:?}");
        assert_eq!(paged.concat(), pushed);
    }
    for kind in ["a/sig", "a/sbom+json"] {
        let filtered = format!("{list}?artifactType={}", kind.replace('+', "%2B"));
        let answer = get(metahub, &filtered);
        assert_eq!(answer.header("oci-filters-applied"), "artifactType");
        let wanted: Vec<_> = pushed
            .iter()
            .filter(|e| e["artifactType"] == kind)
            .cloned()
            .collect();
        assert_eq!(answer.json()["manifests"], json!(wanted));
        let paged = pages(metahub, &format!("{filtered}&n=1"), "manifests");
        assert_eq!(paged.concat(), wanted, "a page keeps the filter");
    }
}

#[test]
fn a_page_of_referrers_with_huge_annotations_stays_under_the_size_of_an_index() {
    let Some(metahub) = server() else { return };
    let alice = pusher(metahub, "alice/heavy");
    let subject = alice.image("1", "amd64", b"layer");
    alice.blob(EMPTY);
    let filler = "x".repeat(1_500_000);
    for number in 0..3 {
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "artifactType": "a/heavy",
            "config": descriptor("application/vnd.oci.empty.v1+json", EMPTY),
            "layers": [descriptor("application/vnd.oci.empty.v1+json", EMPTY)],
            "subject": subject,
            "annotations": { "number": number.to_string(), "filler": filler },
        });
        let bytes = serde_json::to_vec(&manifest).unwrap();
        alice
            .manifest(&digest_of(&bytes), MANIFEST, &bytes)
            .expect(201);
    }
    let list = format!(
        "/v2/alice/heavy/referrers/{}",
        subject["digest"].as_str().unwrap()
    );
    assert!(get(metahub, &list).body.len() < 4 * 1024 * 1024);
    let paged = pages(metahub, &list, "manifests");
    assert!(
        paged.len() > 1 && paged.concat().len() == 3,
        "{}",
        paged.len()
    );
}
