//! `metahub serve` as a process: it works with no argument, says where it listens and what to do
//! next, answers what clients need to log in, and ends cleanly when told to.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test"
)]

use std::time::Duration;

use metahub_e2e::daemon::Daemon;
use metahub_e2e::http::{basic, get};
use metahub_e2e::metahub::{self, MetaHub, listening};
use metahub_e2e::process::{Cmd, wait_until};
use metahub_e2e::require;

const SECRET: &str = "s3cret-that-no-log-may-hold";

fn alone() -> Option<MetaHub> {
    require::tools(&["setpriv"])
        .then(|| MetaHub::start("anonymous: read\noffline: true\nupstreams: []", &[]))
}

#[test]
fn it_works_with_no_argument_at_all() {
    let free = std::net::TcpListener::bind("127.0.0.1:5000").is_ok();
    if !require::tools(&["setpriv"]) || !require::that(free, "a free port 5000") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let serve = Cmd::new(metahub::program())
        .arg("serve")
        .dir(folder.path())
        // "A data folder of its own" must not be the home of whoever runs the tests.
        .env("HOME", folder.path())
        .env("XDG_DATA_HOME", folder.path().join("share"));
    let mut daemon = Daemon::start("metahub", &serve);
    let host = listening(&mut daemon);
    assert_eq!(host, "127.0.0.1:5000");
    assert_eq!(get(&host, "/v2/").send().status, 401);
    assert!(
        daemon.says("docker"),
        "it says what to do next:\n{}",
        daemon.log()
    );
    let ended = daemon.terminate().unwrap();
    assert!(ended.success(), "{ended}");
}

#[test]
fn sigterm_ends_it_cleanly_and_its_data_serve_again() {
    let Some(mut metahub) = alone() else { return };
    metahub.add_account("alice", "reader", SECRET);
    assert!(metahub.is_running());
    let ended = metahub.terminate().expect("it ends by itself on SIGTERM");
    assert!(ended.success(), "{ended}");
    let again = metahub.restart();
    again
        .get("/v2/")
        .login(Some(("alice", SECRET)))
        .send()
        .expect(200);
}

#[test]
fn the_log_says_of_each_error_what_the_client_was_told() {
    let Some(metahub) = alone() else { return };
    let told = |path: &str, login| {
        let answer = metahub.get(path).login(login).send();
        let error = answer.json()["errors"][0]["message"].clone();
        (answer.status, error.as_str().unwrap().to_owned())
    };
    for (path, login, status) in [
        ("/v2/no/such/manifests/1", Some(("zen3", "any")), 404),
        ("/v2/no/such/manifests/1", Some(("zen33", "any")), 401),
        ("/v2/no/such/blobs/sha256:12", Some(("zen3", "any")), 400),
        ("/nowhere", None, 404),
    ] {
        let (answered, message) = told(path, login);
        assert_eq!(answered, status, "{path}: {message}");
        let line = format!("error={message:?}");
        let logged = wait_until(Duration::from_secs(30), || metahub.log().contains(&line));
        assert!(logged, "{line}\n{}", metahub.log());
    }
}

#[test]
fn an_open_connection_does_not_keep_it_from_ending() {
    let Some(mut metahub) = alone() else { return };
    let idle = std::net::TcpStream::connect(metahub.host()).unwrap();
    let ended = metahub.terminate().expect("it ends by itself on SIGTERM");
    assert!(ended.success(), "{ended}");
    drop(idle);
}

#[test]
fn a_port_that_is_taken_is_a_clear_error() {
    if !require::tools(&["setpriv"]) {
        return;
    }
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let data = tempfile::tempdir().unwrap();
    metahub::command(&["serve", "--listen", &address])
        .arg("--data")
        .arg(data.path())
        .limit(Duration::from_secs(20))
        .fails()
        .says(&address);
}

#[test]
fn an_unknown_configuration_key_is_refused_by_name_and_place() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("metahub.yaml");
    std::fs::write(&file, "listen: 127.0.0.1:0\nanonymus: read\n").unwrap();
    metahub::command(&["serve", "--config"])
        .arg(&file)
        .arg("--data")
        .arg(folder.path().join("data"))
        .limit(Duration::from_secs(20))
        .fails()
        .says("anonymus")
        .says("metahub.yaml:2");
}

#[test]
fn an_unauthenticated_base_request_is_challenged_without_blanks() {
    let Some(metahub) = alone() else { return };
    let answer = metahub.get("/v2/").send().expect_error(401, "UNAUTHORIZED");
    let challenge = answer.header("www-authenticate");
    let fields = challenge
        .strip_prefix("Bearer ")
        .expect("a Bearer challenge");
    assert!(!fields.contains(' '), "{challenge}");
    assert!(
        fields.contains(&format!("realm=\"http://{}/token\"", metahub.host())),
        "{challenge}"
    );
    assert!(fields.contains("service=\""), "{challenge}");
    assert_eq!(
        answer.header("docker-distribution-api-version"),
        "registry/2.0"
    );
}

#[test]
fn a_login_works_as_basic_and_as_token() {
    let Some(metahub) = alone() else { return };
    metahub.add_account("alice", "reader", SECRET);
    let wanted = Some(("alice", SECRET));
    metahub.get("/v2/").login(wanted).send().expect(200);
    metahub
        .get("/v2/")
        .login(Some(("alice", "wrong")))
        .send()
        .expect(401);
    let token = "/token?service=metahub&scope=repository:alice/app:pull&account=alice";
    let given = metahub.get(token).login(wanted).send().expect(200).json();
    assert_eq!(given["token"], given["access_token"]);
    assert!(given["expires_in"].as_u64().unwrap() >= 60, "{given}");
    assert!(given["issued_at"].is_string(), "{given}");
    let bearer = format!("Bearer {}", given["token"].as_str().unwrap());
    metahub
        .get("/v2/")
        .header("Authorization", bearer)
        .send()
        .expect(200);
    metahub
        .get(token)
        .login(Some(("alice", "wrong")))
        .send()
        .expect(401);
    metahub
        .get("/v2/")
        .header("Authorization", "Bearer not.a.token")
        .send()
        .expect(401);
    // Anybody gets a token for reading.
    metahub.get("/token?service=metahub").send().expect(200);
}

#[test]
fn one_line_per_request_is_logged_and_never_a_secret() {
    let Some(metahub) = alone() else { return };
    metahub.add_account("alice", "reader", SECRET);
    let before = metahub.log().lines().count();
    metahub
        .get("/v2/alice/app/manifests/1.0")
        .login(Some(("alice", SECRET)))
        .send()
        .expect(404);
    let logged =
        wait_until(Duration::from_secs(10), || {
            metahub.log().lines().skip(before).any(|line| {
                line.contains("alice/app") && line.contains("1.0") && line.contains("404")
            })
        });
    let log = metahub.log();
    assert!(logged, "no line tells of the request:\n{log}");
    assert!(!log.contains(SECRET), "{log}");
    let header = basic("alice", SECRET);
    assert!(!log.contains(header.trim_start_matches("Basic ")), "{log}");
}
