//! Nodes that join, pull and report, and what a revoked one is told.

use std::time::{Duration, SystemTime};

use metahub_auth::{AnonymousAccess, NodeSecret, NodesConfig};
use metahub_store::JoinToken;
use metahub_testkit::runtime;
use serde_json::{Value, json};

use crate::site::{Site, With, told};

/// A site where nodes join and nobody else pulls without an account.
fn site() -> Site {
    Site::start(With {
        anonymous: AnonymousAccess::None,
        nodes: NodesConfig {
            join: true,
            ..NodesConfig::default()
        },
        ..With::default()
    })
}

/// A join token for so many nodes.
fn join_token(site: &Site, uses: u32, replace: bool) -> String {
    let secret = NodeSecret::for_joining();
    let now = SystemTime::now();
    let token = JoinToken {
        hash: secret.hash(),
        created_at: now,
        expires_at: now + Duration::from_hours(1),
        uses,
        replace,
    };
    let added = runtime().block_on(site.store.add_join_token(token, 10));
    assert!(added.unwrap());
    secret.expose().to_owned()
}

fn join(site: &Site, name: &str, token: &str) -> Result<String, String> {
    let body = json!({"name": name, "token": token}).to_string();
    let answer = site
        .call("", "POST", "/api/v1/nodes/join")
        .body(body.as_bytes())
        .send();
    if answer.status != 201 {
        return Err(told(&answer));
    }
    let body: Value = serde_json::from_slice(&answer.body).unwrap();
    Ok(body["token"].as_str().unwrap().to_owned())
}

#[test]
fn a_node_joins_once_pulls_and_is_known_until_it_is_revoked() {
    let site = site();
    let (digest, _) = site.push("alice/app", "1", "layer");
    let path = "/v2/alice/app/manifests/1";
    let one = join_token(&site, 1, false);
    let token = join(&site, "Node7", &one).unwrap();
    assert_eq!(
        join(&site, "node8", &one),
        Err("403 DENIED".to_owned()),
        "used up"
    );
    let more = join_token(&site, 9, false);
    assert_eq!(
        join(&site, "node7", &more),
        Err("409 DENIED".to_owned()),
        "taken"
    );
    let other = join_token(&site, 9, true);
    let pull = |token: &str| told(&site.call_as("zen3", token, path).send());
    assert_eq!(pull(&token), "200");
    // Also with a token of this registry, which is asked for by the same name and password.
    let registry_token = |token: &str| {
        let asking = site.call_as("zen3", token, "/token?scope=repository:alice/app:pull");
        let answer = asking.send();
        let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        body["token"].as_str().unwrap_or_default().to_owned()
    };
    let bearer = |token: &str| {
        let value = format!("Bearer {token}");
        told(
            &site
                .call("", "GET", path)
                .header("Authorization", &value)
                .send(),
        )
    };
    let registrys = registry_token(&token);
    assert_eq!(bearer(&registrys), "200");
    // It may pull, and nothing more; and it is nobody beside an account.
    let delete = site.ask_as("DELETE", "zen3", &token, path).send();
    assert_eq!(told(&delete), "401 UNAUTHORIZED");
    for user in ["alice/zen3", "alice"] {
        let answer = site.call_as(user, &token, path).send();
        assert_eq!(told(&answer), "401 UNAUTHORIZED", "{user}");
    }
    // What it pulled and reported is known.
    let report = json!({"features": ["arch:zen3"], "version": "9.9"}).to_string();
    let report = |token: &str| {
        let call = site.ask_as("POST", "zen3", token, "/api/v1/nodes/report");
        told(&call.body(report.as_bytes()).send())
    };
    assert_eq!(report(&token), "202");
    runtime().block_on(site.nodes.write());
    let node = runtime()
        .block_on(site.store.node("node7"))
        .unwrap()
        .unwrap();
    assert_eq!(
        (node.features, node.version),
        (vec!["arch:zen3".to_owned()], Some("9.9".into()))
    );
    assert_eq!(node.images[0].image, "alice/app:1");
    assert!(node.images[0].digest == digest && node.last_pull.is_some());
    // One that replaces ends the token before, and what was issued for it.
    let replaced = join(&site, "node7", &other).unwrap();
    assert_eq!(
        [pull(&token), bearer(&registrys)],
        ["401 UNAUTHORIZED"; 2].map(str::to_owned)
    );
    assert_eq!(pull(&replaced), "200");
    let registrys = registry_token(&replaced);
    assert!(runtime().block_on(site.store.revoke_node("node7")).unwrap());
    let revoked = site.call_as("zen3", &replaced, path).send();
    let body = String::from_utf8_lossy(&revoked.body).into_owned();
    assert!(revoked.status == 401 && body.contains("revoked"), "{body}");
    assert_eq!(bearer(&registrys), "401 UNAUTHORIZED");
    assert_eq!(join(&site, "node7", &other), Err("403 DENIED".to_owned()));
}

#[test]
fn who_is_no_node_reports_nothing_and_where_none_joins_a_token_is_any_password() {
    let site = site();
    let path = "/api/v1/nodes/report";
    let report = br#"{"features": [], "version": "1"}"#;
    for (who, expected) in [("", "401 UNAUTHORIZED"), ("bob", "403 DENIED")] {
        let answer = site.call(who, "POST", path).body(report).send();
        assert_eq!(told(&answer), expected, "{who}");
    }
    for body in ["", "{}", r#"{"name": "a", "token": "mhj_x", "more": 1}"#] {
        let answer = site
            .call("", "POST", "/api/v1/nodes/join")
            .body(body.as_bytes())
            .send();
        assert_eq!(answer.status, 400, "{body}");
    }
    assert_eq!(join(&site, "a", "mhj_x"), Err("403 DENIED".to_owned()));
    assert_eq!(
        join(&site, "a/b", "mhj_x"),
        Err("400 UNSUPPORTED".to_owned())
    );
    let off = Site::start(With::default());
    assert_eq!(join(&off, "a", "mhj_x"), Err("404 UNSUPPORTED".to_owned()));
    let _ = off.push("alice/app", "1", "layer");
    let pulled = off
        .call_as("zen3", "mhn_x", "/v2/alice/app/manifests/1")
        .send();
    assert_eq!(told(&pulled), "200");
    let pulled = site
        .call_as("zen3", "mhn_x", "/v2/alice/app/manifests/1")
        .send();
    assert_eq!(told(&pulled), "401 UNAUTHORIZED");
}

#[test]
fn invented_nodes_take_no_room_and_no_more_join_than_may() {
    let site = Site::start(With {
        nodes: NodesConfig {
            join: true,
            limit: 2,
            ..NodesConfig::default()
        },
        ..With::default()
    });
    let token = join_token(&site, 100, false);
    for number in 0..20 {
        let expected = match number {
            0 | 1 => Ok(()),
            _ => Err("507 DENIED".to_owned()),
        };
        let joined = join(&site, &format!("node{number}"), &token);
        assert_eq!(joined.map(|_| ()), expected);
        let _ = site
            .call_as("zen3", &format!("mhn_{number}"), "/v2/")
            .send();
    }
    runtime().block_on(site.nodes.write());
    assert_eq!(runtime().block_on(site.store.nodes()).unwrap().len(), 2);
}
