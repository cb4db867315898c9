//! Nodes that join with a token, show a certificate or bring a token of Slurm, and what becomes of
//! those that are revoked.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test"
)]

use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use metahub_e2e::metahub::MetaHub;
use metahub_e2e::node::NodeUser;
use metahub_e2e::process::{Cmd, Outcome, wait_until};
use metahub_e2e::require;
use metahub_e2e::site::Site;

const LIMIT: Duration = Duration::from_secs(60);

fn listed(metahub: &MetaHub) -> serde_json::Value {
    metahub
        .command(&["node", "list", "--format", "json"])
        .ok()
        .ok_json()
}

fn joining(user: &NodeUser, host: &str, token: &str, name: &str) -> Outcome {
    user.command(&["join", "--registry", host, "--name", name])
        .stdin(token)
        .run()
}

#[test]
fn a_node_joins_with_a_token_on_standard_input_and_stops_when_it_is_revoked() {
    if !require::tools(&["setpriv"]) {
        return;
    }
    let metahub = MetaHub::start("anonymous: none\nnodes: {join: true}", &[]);
    let host = metahub.host();
    let user = NodeUser::new(&["arch:zen3"]);
    let policy = user.read("node.yaml");
    let tokens = user.path("tokens/node.json");
    let more = format!("identity: token\ntokens: '{}'\n", tokens.display());
    user.write(
        "node.yaml",
        &format!("registries: ['{host}']\n{policy}{more}"),
    );
    let refreshed = user.command(&["refresh"]).ok();
    let _ = refreshed.says("has not joined").says("anonymous");

    let made = metahub.command(&["node", "token", "--uses", "2"]).ok();
    let token = made.stdout.trim().to_owned();
    assert!(token.starts_with("mhj_"), "{token}");
    let shown = metahub.command(&["node", "tokens"]).ok();
    assert!(!shown.stdout.contains(&token), "{}", shown.stdout);
    let joined = joining(&user, host, &token, "Node7.example");
    assert_eq!(joined.code, Some(0), "{}", joined.all());
    let own = user.read("tokens/node.json");
    let mode = std::fs::metadata(&tokens).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let own = own
        .split('"')
        .find(|word| word.starts_with("mhn_"))
        .unwrap();
    // A second node of that name is refused, and uses nothing up; a third is not.
    let taken = joining(&user, host, &token, "node7.example");
    assert_eq!(taken.code, Some(1));
    let _ = taken.says("has joined before");
    let other = NodeUser::new(&["arch:zen2"]);
    other.write(
        "node.yaml",
        &format!("tokens: '{}'\n", other.path("t.json").display()),
    );
    assert_eq!(joining(&other, host, &token, "node8").code, Some(0));
    let used_up = joining(&other, host, &token, "node9");
    let _ = used_up.says("of no use");
    for wrong in ["", "mhj_", "not a token"] {
        assert_ne!(
            joining(&other, host, wrong, "node9").code,
            Some(0),
            "{wrong}"
        );
    }

    let _ = user
        .command(&["refresh"])
        .ok()
        .says("zen3, for root's clients");
    let got = user
        .command(&["credential", "get"])
        .stdin(host)
        .ok()
        .ok_json();
    assert_eq!(
        (got["Username"].as_str(), got["Secret"].as_str()),
        (Some("zen3"), Some(own))
    );
    // What clients give back is not kept in a user's file.
    let _ = user
        .command(&["credential", "store"])
        .stdin(got.to_string())
        .ok();
    assert!(!user.read(".config/metahub/logins.json").contains("mhn_"));
    assert_eq!(
        metahub.get("/v2/").login(Some(("zen3", own))).send().status,
        200
    );
    let reported = wait_until(LIMIT, || {
        let features = listed(&metahub)[0]["features"].clone();
        features.as_array().unwrap().contains(&"arch:zen3".into())
    });
    let nodes = listed(&metahub);
    assert!(reported && nodes[0]["name"] == "node7.example", "{nodes}");
    assert_eq!(nodes[1]["way"], "token");

    let _ = metahub.command(&["node", "revoke", "node7.example"]).ok();
    let refused = || metahub.get("/v2/").login(Some(("zen3", own))).send().status == 401;
    assert!(wait_until(LIMIT, refused), "a revoked node is served");
    let metahub = metahub.restart();
    let answer = metahub.get("/v2/").login(Some(("zen3", own))).send();
    assert!(
        answer.status == 401 && answer.text().contains("revoked"),
        "{}",
        answer.text()
    );
    for secret in [own, &token] {
        assert!(!metahub.log().contains(secret), "{}", metahub.log());
    }
}

#[test]
fn a_certificate_names_a_node_where_no_account_speaks_for_itself() {
    if !require::tools(&["setpriv", "curl"]) {
        return;
    }
    let site = Site::new();
    let tls = site.tls_key_for_clients();
    let config = format!("anonymous: none\n{tls}\nnodes: {{certificate: ['*.nodes.example']}}\n");
    let metahub = MetaHub::start(&config, &[]);
    metahub.add_account("alice", "reader", "alice password");
    site.issue_for("node7.nodes.example", "node7");
    site.issue_for("elsewhere.example", "other");
    let curl = |certificate: &str, login: &str| {
        let mut curl =
            site.curl(certificate)
                .args(["--output", "/dev/null", "--write-out", "%{http_code}"]);
        if !login.is_empty() {
            curl = curl.args(["--user", login]);
        }
        let url = format!("https://{}/token?service=metahub", metahub.host());
        curl.arg(url).ok().stdout
    };
    for (certificate, login, expected) in [
        ("", "", "401"),
        ("other", "", "401"),
        ("other", "zen3:x", "401"),
        ("node7", "", "200"),
        ("node7", "zen3:x", "200"),
        ("node7", "alice:alice password", "200"),
        ("node7", "alice:wrong", "401"),
    ] {
        assert_eq!(curl(certificate, login), expected, "{certificate} {login}");
    }
    let seen = wait_until(LIMIT, || {
        listed(&metahub)[0]["name"] == "node7.nodes.example"
    });
    assert!(seen, "{}", listed(&metahub));
    let _ = metahub
        .command(&["node", "revoke", "node7.nodes.example"])
        .ok();
    assert!(wait_until(LIMIT, || curl("node7", "zen3:x") == "401"));
    // Who has an account is let in from there as from anywhere.
    assert_eq!(curl("node7", "alice:alice password"), "200");
}

#[test]
fn slurms_shared_key_is_used_after_a_warning_and_only_for_who_speaks_for_nodes() {
    if !require::tools(&["setpriv", "openssl"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("jwt_hs256.key");
    let key = "a key that the daemons of Slurm share";
    std::fs::write(&file, key).unwrap();
    let config = format!(
        "anonymous: none\nnodes: {{slurm_jwt: {{hs256_key_file: '{}'}}}}\n",
        file.display()
    );
    let metahub = MetaHub::start(&config, &[]);
    assert!(metahub.says("can make tokens for anybody"));
    // As scontrol token makes them.
    let token = |user: &str, expires: u64| {
        let base64 = |text: &str| {
            let encoding = Cmd::new("openssl").args(["base64", "-A"]).stdin(text);
            let text = encoding.ok().stdout;
            text.trim_end_matches('=')
                .replace('+', "-")
                .replace('/', "_")
        };
        let claims = format!(r#"{{"exp":{expires},"iat":1700000000,"sun":"{user}"}}"#);
        let signed = format!(
            "{}.{}",
            base64(r#"{"alg":"HS256","typ":"JWT"}"#),
            base64(&claims)
        );
        let script = format!(
            "printf %s '{signed}' | openssl dgst -sha256 -hmac '{key}' -binary | openssl base64 -A"
        );
        let signature = Cmd::new("sh").args(["-c", &script]).ok().stdout;
        let signature = signature
            .trim_end_matches('=')
            .replace('+', "-")
            .replace('/', "_");
        format!("slurm:node7:{signed}.{signature}")
    };
    let asked = |password: &str| {
        let answer = metahub.get("/v2/").login(Some(("zen3", password))).send();
        (answer.status, answer.text())
    };
    assert_eq!(asked(&token("root", 4_000_000_000)).0, 200);
    for (password, says) in [
        (token("alice", 4_000_000_000), "of 'alice'"),
        (token("root", 1_700_000_001), "has expired"),
        (
            format!("{}x", token("root", 4_000_000_000)),
            "this site's key",
        ),
    ] {
        let (status, words) = asked(&password);
        assert!(status == 401 && words.contains(says), "{status} {words}");
    }
    let seen = wait_until(LIMIT, || listed(&metahub)[0]["way"] == "slurm-jwt");
    assert!(seen, "{}", listed(&metahub));
}
