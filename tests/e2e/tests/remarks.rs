//! Logins that mean less than they seem to, and nodes that say what they are by a header: what the
//! answers say of it.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test"
)]

use metahub_e2e::http::{Answer, image_of};
use metahub_e2e::metahub::MetaHub;
use metahub_e2e::pusher::Pusher;
use metahub_e2e::require;
use serde_json::Value;

/// A MetaHub with an index of images for icelake, zen3, zen2 and any machine, in this order.
fn start(more: &str) -> Option<(MetaHub, Vec<Value>)> {
    if !require::tools(&["setpriv"]) {
        return None;
    }
    let config = format!("anonymous: write\noffline: true\nupstreams: []\n{more}");
    let metahub = MetaHub::start(&config, &[]);
    let pusher = Pusher {
        host: metahub.host(),
        repository: "team/app",
        login: None,
    };
    let images = pusher.builds();
    Some((metahub, images))
}

fn pull(metahub: &MetaHub, login: Option<(&str, &str)>, header: Option<&str>) -> Answer {
    let mut call = metahub.get("/v2/team/app/manifests/1").login(login);
    if let Some(header) = header {
        call = call.header("X-Meta-Profile", header);
    }
    call.send()
}

#[test]
fn a_pull_is_answered_with_what_its_login_does_not_mean() {
    let Some((metahub, images)) = start("") else {
        return;
    };
    for (login, image, says) in [
        ("cpu=icelake+cpu=zen2", 2, "arch:zen2 replaces arch:icelake"),
        ("zen2+icelake", 0, "arch:icelake replaces arch:zen2"),
        ("cpu=zen99", 3, "cpu=zen99 is not known to this registry"),
        ("zen3+acrh=zen4", 1, "did you mean arch=zen4?"),
        ("target=zen3", 3, "did you mean cpu=zen3?"),
        ("zen3+gpu=h100", 1, "did you mean cc=9.0?"),
        ("zen3", 1, ""),
    ] {
        let answer = pull(&metahub, Some((login, "any")), None).expect(200);
        let warning = answer.header("warning");
        assert!(warning.contains(says), "{login}: {warning}");
        assert_eq!(warning.is_empty(), says.is_empty(), "{login}: {warning}");
        assert_eq!(image_of(&answer), images[image]["digest"], "{login}");
        let server = format!("--server=http://{}", metahub.host());
        let resolve = ["resolve", "team/app:1", "--explain", &server, "--as", login];
        let explained = metahub_e2e::metahub::command(&resolve).ok();
        explained.says(says);
        // Where a login begins, too, since a node asks for a token before anything else.
        let token = metahub.get("/token?service=metahub");
        let token = token.login(Some((login, "any"))).send().expect(200);
        let warning = token.header("warning");
        assert!(warning.contains(says), "{login}: {warning}");
        assert_eq!(warning.is_empty(), says.is_empty(), "{login}: {warning}");
    }
}

#[test]
fn an_unknown_target_locks_no_node_out_and_an_error_names_it() {
    let Some((metahub, _)) = start("") else {
        return;
    };
    let login = Some(("cpu=zen99+kernel=6.1", "any"));
    metahub.get("/v2/").login(login).send().expect(200);
    let pusher = Pusher {
        host: metahub.host(),
        repository: "team/fast",
        login: None,
    };
    let image = pusher.image("zen3", "amd64", b"fast");
    pusher.index("1", &[(&image, "amd64", &["arch:zen3"])]);
    let path = "/v2/team/fast/manifests/1";
    let answer = metahub.get(path).login(login).send();
    let answer = answer.expect_error(404, "MANIFEST_UNKNOWN");
    assert!(
        answer.text().contains("cpu=zen99 is not known"),
        "{}",
        answer.text()
    );
}

#[test]
fn a_header_chooses_a_profile_where_it_is_let() {
    let Some((metahub, images)) = start("profile_header: true\n") else {
        return;
    };
    metahub.add_account("alice", "reader", "a long password");
    let alice = ("alice", "a long password");
    let nobody = metahub
        .get("/token?scope=repository:team/app:pull")
        .send()
        .expect(200)
        .json();
    let token = format!("Bearer {}", nobody["token"].as_str().unwrap());
    let of = |answer: Answer| {
        let digest = image_of(&answer);
        images.iter().position(|image| image["digest"] == digest)
    };
    let anonymous = |header: &str| {
        let call = metahub.get("/v2/team/app/manifests/1");
        let call = call.header("Authorization", token.clone());
        call.header("X-Meta-Profile", header).send()
    };
    let answer = anonymous("zen3").expect(200);
    assert!(answer.header("vary").contains("Authorization"));
    assert_eq!(of(answer), Some(1));
    assert_eq!(
        of(pull(&metahub, Some(alice), Some("zen2")).expect(200)),
        Some(2)
    );
    assert_eq!(
        of(pull(&metahub, Some(("zen3", "any")), Some("zen2")).expect(200)),
        Some(1)
    );
    // It is no login.
    pull(&metahub, None, Some("zen2")).expect(401);
    for wrong in ["no-such-thing", "alice", "alice/zen3", "zen3 zen2", ""] {
        let answer = anonymous(wrong).expect(400);
        assert!(
            answer.text().contains("X-Meta-Profile"),
            "{}",
            answer.text()
        );
    }
    let metahub = metahub.restart_with("profile_header: false");
    let token = metahub
        .get("/token?scope=repository:team/app:pull")
        .send()
        .expect(200)
        .json();
    let call = metahub.get("/v2/team/app/manifests/1");
    let call = call.header(
        "Authorization",
        format!("Bearer {}", token["token"].as_str().unwrap()),
    );
    let answer = call.header("X-Meta-Profile", "zen3").send().expect(200);
    assert_eq!(answer.json()["manifests"].as_array().unwrap().len(), 4);
}
