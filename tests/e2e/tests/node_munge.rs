//! Nodes that prove by MUNGE which they are, with a real `munged`: replays, lifetimes, another
//! site's key, another clock, another user, and a real client with nothing typed.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test"
)]

use std::time::Duration;

use metahub_e2e::metahub::MetaHub;
use metahub_e2e::munge::{self, Munged};
use metahub_e2e::node::NodeUser;
use metahub_e2e::process::{Cmd, wait_until};
use metahub_e2e::pusher::Pusher;
use metahub_e2e::require;

const PATH: &str = "/v2/alice/app/manifests/1";

fn metahub(munged: &Munged) -> MetaHub {
    let socket = munged.socket();
    let config = format!("anonymous: none\nnodes: {{munge: '{}'}}", socket.display());
    let metahub = MetaHub::start(&config, &[]);
    metahub.add_account("alice", "pusher", "alice password");
    let pusher = Pusher {
        host: metahub.host(),
        repository: "alice/app",
        login: Some(("alice", "alice password")),
    };
    let _ = pusher.builds();
    metahub
}

/// Status and words of the answer to a pull with this password.
fn pull(metahub: &MetaHub, password: &str) -> (u16, String) {
    let answer = metahub.get(PATH).login(Some(("zen3", password))).send();
    (answer.status, answer.text())
}

fn listed(metahub: &MetaHub) -> serde_json::Value {
    metahub
        .command(&["node", "list", "--format", "json"])
        .ok()
        .ok_json()
}

#[test]
fn a_credential_of_roots_speaks_for_a_node_within_its_lifetime_and_no_other_does() {
    if !require::root_and(&[munge::NEEDS, &["gcc"]].concat()) {
        return;
    }
    let mut munged = Munged::start("a key of this site ");
    let metahub = metahub(&munged);
    let credential = munged.credential("metahub-node Node7", 60);
    assert_eq!(pull(&metahub, &credential).0, 200);
    for _ in 0..20 {
        assert_eq!(pull(&metahub, &credential).0, 200, "seen again");
    }
    // One that somebody else has decoded already is a replay to munged, and still good.
    let decoded = munged.credential("metahub-node node8", 60);
    let decoding = Cmd::new("unmunge").arg("--socket").arg(munged.socket());
    let _ = decoding.stdin(decoded.clone()).ok();
    assert_eq!(pull(&metahub, &decoded).0, 200);

    let foreign = Munged::start("a key of another site ");
    let future = Munged::with_clock("a key of this site ", 7200);
    let past = Munged::with_clock("a key of this site ", -7200);
    let other = "metahub-node node9";
    for (credential, says) in [
        (foreign.credential(other, 60), "this site's key"),
        (future.credential(other, 60), "in the future"),
        (past.credential(other, 60), "has expired"),
        (munged.credential_of(12345, other), "the ID 12345"),
        (
            munged.credential("for another service", 60),
            "something else",
        ),
        (munged.credential("", 60), "something else"),
        ("MUNGE:AwQFAADtC:".to_owned(), "this site's key"),
        (format!("MUNGE:{}:", "A".repeat(3000)), "this site's key"),
    ] {
        let (status, words) = pull(&metahub, &credential);
        assert_eq!(status, 401, "{says}: {words}");
        assert!(words.contains(says), "{says}: {words}");
    }
    // Long enough for a busy machine to use it in time; MUNGE counts whole seconds.
    let short = munged.credential("metahub-node short", 6);
    assert_eq!(pull(&metahub, &short).0, 200);
    let ended = wait_until(Duration::from_secs(40), || pull(&metahub, &short).0 == 401);
    assert!(ended, "it is accepted beyond its lifetime");

    // None of what was refused made a node, and no secret stands in the log.
    let known = wait_until(Duration::from_secs(20), || {
        listed(&metahub).as_array().unwrap().len() == 3
    });
    let nodes = listed(&metahub);
    let names: Vec<_> = nodes
        .as_array()
        .unwrap()
        .iter()
        .map(|n| &n["name"])
        .collect();
    assert!(known && names == ["node7", "node8", "short"], "{nodes}");
    assert!(!metahub.log().contains("MUNGE:"), "{}", metahub.log());
    assert!(metahub.says("a node was refused"), "{}", metahub.log());

    let _ = metahub.command(&["node", "revoke", "node7"]).ok();
    let revoked = wait_until(Duration::from_secs(20), || {
        pull(&metahub, &credential).0 == 401
    });
    assert!(revoked && pull(&metahub, &credential).1.contains("revoked"));
    let anew = munged.credential("metahub-node node7", 60);
    assert_eq!(pull(&metahub, &anew).0, 401);
    let _ = metahub.command(&["node", "remove", "node7"]).ok();
    assert_eq!(pull(&metahub, &anew).0, 200);

    // Without munged, who was decoded is known on, and others are told to come again.
    let unseen = munged.credential("metahub-node unseen", 60);
    munged.stop();
    assert_eq!(pull(&metahub, &anew).0, 200);
    assert_eq!(pull(&metahub, &unseen).0, 503);
    assert!(metahub.says("is munged running"), "{}", metahub.log());
}

#[test]
fn skopeo_pulls_as_the_node_with_nothing_typed_and_a_users_client_says_why_it_does_not() {
    if !require::root_and(&[munge::NEEDS, &["skopeo"]].concat()) {
        return;
    }
    let munged = Munged::start("a key of this site ");
    let metahub = metahub(&munged);
    let host = metahub.host();
    let user = NodeUser::new(&["arch:zen3"]);
    let policy = user.read("node.yaml");
    let socket = munged.socket();
    let more = format!("identity: munge\nmunge_socket: '{}'\n", socket.display());
    user.write(
        "node.yaml",
        &format!("registries: ['{host}']\n{policy}{more}"),
    );
    let _ = user
        .command(&["setup", "podman", "--user", "--registry", host])
        .ok();
    let refreshed = user.command(&["refresh"]).ok();
    let _ = refreshed.says("zen3, for root's clients");
    let image = format!("docker://{}", metahub.image("alice/app:1"));
    let inspect = Cmd::new("skopeo").args(["inspect", "--tls-verify=false", &image]);
    let _ = user.with(inspect).ok().says("sha256:");
    let seen = wait_until(Duration::from_secs(90), || {
        let nodes = listed(&metahub);
        nodes[0]["images"][0]["image"] == "alice/app:1"
            && nodes[0]["features"]
                .as_array()
                .unwrap()
                .contains(&"arch:zen3".into())
    });
    let nodes = listed(&metahub);
    assert!(seen, "{nodes}");
    assert_eq!(nodes[0]["way"], "munge");
    assert!(nodes[0]["version"].is_string(), "{nodes}");
    let _ = user
        .command(&["doctor"])
        .ok()
        .says("prove which node this is");
    // As a user there is no secret, which is said once; this registry has nothing for nobody.
    let helper = |input: &str| {
        let command = Cmd::new("setpriv")
            .args(["--reuid=12345", "--regid=12345", "--clear-groups"])
            .arg(metahub_e2e::node::program())
            .args(["credential", "get"]);
        user.with(command)
            .env("XDG_RUNTIME_DIR", "")
            .stdin(input)
            .run()
    };
    let _ = Cmd::new("chmod")
        .args(["-R", "a+rX"])
        .arg(user.path(""))
        .ok();
    let answer = helper(host);
    let _ = answer.says("credentials not found").says("only root gets");
}
