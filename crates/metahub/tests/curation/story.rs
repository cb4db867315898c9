//! From the first document to the rollback of a bad one: two curators, and nodes that pull.

use metahub_testkit::http::call;
use serde_json::Value;

use crate::site::{NODE, PASSWORD, Site, ZEN3, metahub, with_input};

const ZEN2: &str = "profile:\n  name: site/node\n  features: [arch:zen2]\n";
const HISTORY: &str = "/api/v1/history/profiles/site/node:latest";
const APP: &str = "/v2/lab/app/manifests/v1";

#[test]
fn two_curators_change_a_profile_under_nodes_that_pull() {
    let site = Site::new();
    let builds = site.push_builds("lab/app", "v1", &["zen2", "zen3"]);
    let [zen2, zen3] = builds.as_slice() else {
        panic!("{builds:?}");
    };
    let until_pulled = |digest: &str| {
        while site.pull("site/node", APP).as_deref() != Ok(digest) {
            std::thread::yield_now();
        }
    };
    let put = |who: &str, etag: &str, text: &str| {
        let put = call(&site.host, "PUT", NODE).login(Some((who, PASSWORD)));
        put.header("If-Match", etag).body(text).send()
    };

    // Before there is such a profile, a node that names it gets nothing.
    assert_eq!(site.pull("site/node", APP), Err(401));
    let first = site
        .create(NODE, ZEN3)
        .expect(201)
        .header("etag")
        .to_owned();
    until_pulled(zen3);

    // Both read the same; who comes second is told so, and changes nothing.
    let changed = put("dora", &first, ZEN2).expect(200);
    let second = changed.header("etag").to_owned();
    let refused = put(
        "curator",
        &first,
        "profile: {name: site/node, features: [arch:zen4]}\n",
    );
    let refused = refused.expect_error(412, "PRECONDITION_FAILED");
    assert_eq!(refused.header("etag"), second);
    assert!(
        refused.text().contains("read it again"),
        "{}",
        refused.text()
    );
    until_pulled(zen2);

    // A mistake reaches no node: it is told with its place, and what was there stays.
    let wrong = ZEN2.replace("features", "featurs");
    let refused = put("curator", &second, &wrong).expect_error(422, "DOCUMENT_INVALID");
    let problem = &refused.json()["errors"][0]["detail"]["problems"][0];
    assert_eq!(problem["line"], 3, "{}", refused.text());
    assert_eq!(site.get(NODE).expect(200).text(), ZEN2);
    assert_eq!(site.pull("site/node", APP).as_ref(), Ok(zen2));

    let mut rollback = metahub(&["profile", "rollback", "site/node", "--to", "1"]);
    let url = format!("http://{}", site.host);
    rollback.args(["--server", &url, "--as", "curator", "--password-stdin"]);
    let rolled = with_input(&mut rollback, PASSWORD);
    assert!(rolled.status.success(), "{rolled:?}");
    until_pulled(zen3);

    let history = site.get(HISTORY).expect(200).json();
    let told: Vec<(u64, &str)> = versions(&history)
        .map(|one| {
            (
                one["version"].as_u64().unwrap(),
                one["account"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(told, [(3, "curator"), (2, "dora"), (1, "curator")]);
    let mut times: Vec<jiff::Timestamp> = versions(&history)
        .map(|one| one["changed_at"].as_str().unwrap().parse().unwrap())
        .collect();
    times.reverse();
    assert!(times.is_sorted(), "{times:?}");
}

#[test]
fn the_last_twenty_versions_are_kept() {
    let site = Site::new();
    site.create(NODE, ZEN3).expect(201);
    for number in 2..=22 {
        let text = format!("# {number}\n{ZEN3}");
        site.replace(NODE, "*", &text).expect(200);
    }
    let history = site.get(HISTORY).expect(200).json();
    let kept: Vec<u64> = versions(&history)
        .map(|one| one["version"].as_u64().unwrap())
        .collect();
    assert_eq!(kept, (3..=22).rev().collect::<Vec<u64>>());
    site.get(&format!("{NODE}?version=2"))
        .expect_error(404, "NAME_UNKNOWN");
    let third = site.get(&format!("{NODE}?version=3")).expect(200);
    assert_eq!(third.text(), format!("# 3\n{ZEN3}"));
    // The last one that is kept can still be made the present one.
    let mut rollback = metahub(&["profile", "rollback", "site/node", "--to", "2"]);
    let url = format!("http://{}", site.host);
    rollback.args(["--server", &url, "--as", "curator", "--password-stdin"]);
    let refused = with_input(&mut rollback, PASSWORD);
    let told = String::from_utf8(refused.stderr).unwrap();
    assert!(
        told.contains("keeps no version 2 of site/node:latest"),
        "{told}"
    );
}

#[test]
fn a_name_with_its_slashes_encoded_is_the_same_name() {
    let site = Site::new();
    let encoded = "/api/v1/profiles/site%2Fnode%3Alatest";
    site.create(encoded, ZEN3).expect(201);
    assert_eq!(site.get(NODE).expect(200).text(), ZEN3);
    assert_eq!(site.get(encoded).expect(200).text(), ZEN3);
}

fn versions(history: &Value) -> impl Iterator<Item = &Value> {
    history["versions"].as_array().unwrap().iter()
}
