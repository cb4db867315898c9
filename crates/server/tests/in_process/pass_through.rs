//! An upstream that is read for each account as that account: what it lets one read is cached, and
//! given to no other that it refuses or says nothing of.

use metahub_testkit::http::digest_of;
use metahub_testkit::scripted::Scripted;
use metahub_upstream::{Logins, PassThrough, RetryPolicy, Secret, UpstreamConfig};

use crate::site::{Site, With, told};

const LAYER: &str = "only for some";

struct World {
    upstream: Scripted,
    site: Site,
    manifest: String,
    layer: String,
    _logins: tempfile::TempDir,
}

/// Alice may read `team/app` there, carol is known there and may not, bob has no login there.
/// `status`: what the upstream says to who may not.
fn world(status: u16, remember: std::time::Duration) -> World {
    let upstream = Scripted::start();
    let manifest = upstream.put("team/app", "1", LAYER);
    let folder = tempfile::tempdir().unwrap();
    let logins = Logins::new(folder.path().join("logins"));
    for account in ["alice", "carol"] {
        let (user, password) = (format!("{account}-there"), format!("{account}-secret"));
        upstream.add_user(&user, &password);
        let host = "up.test".parse().unwrap();
        logins
            .set(account, &host, &user, &Secret::new(password))
            .unwrap();
    }
    upstream.close("team/app", &["alice-there"], status);
    let config = UpstreamConfig {
        url: Some(format!("http://{}", upstream.host()).parse().unwrap()),
        plain_http: true,
        pass_through: Some(PassThrough { remember }),
        retry: RetryPolicy {
            attempts: 1,
            ..RetryPolicy::default()
        },
        ..UpstreamConfig::new("up.test".parse().unwrap())
    };
    let site = Site::start(With {
        upstreams: vec![config],
        logins: Some(logins),
        ..With::default()
    });
    World {
        upstream,
        site,
        manifest: digest_of(&manifest),
        layer: digest_of(LAYER.as_bytes()),
        _logins: folder,
    }
}

impl World {
    /// Every way to the image.
    fn paths(&self) -> Vec<String> {
        [
            "manifests/1".to_owned(),
            format!("manifests/{}", self.manifest),
            format!("blobs/{}", self.layer),
            "tags/list".to_owned(),
            format!("referrers/{}", self.manifest),
        ]
        .iter()
        .map(|rest| format!("/v2/up.test/team/app/{rest}"))
        .collect()
    }

    fn alice_pulls(&self) {
        for path in self.paths() {
            let answer = self.site.get("alice", &path);
            assert_eq!(answer.status, 200, "{path}: {answer}");
        }
    }

    /// What `who` is told at each path, nothing of the content among it.
    fn told(&self, who: &str) -> Vec<String> {
        self.paths()
            .iter()
            .map(|path| {
                let call = self.site.call(who, "GET", path);
                let answer = match who {
                    "" => call.send_as_anybody(),
                    _ => call.send(),
                };
                assert!(!answer.text().contains(LAYER), "{who}: {path}: {answer}");
                assert!(
                    !answer.text().contains("-secret"),
                    "{who}: {path}: {answer}"
                );
                told(&answer)
            })
            .collect()
    }
}

#[test]
fn who_is_refused_there_is_told_the_same_before_and_after_it_is_cached() {
    for (status, allowed) in [(403, "403 DENIED"), (404, "404"), (401, "403 DENIED")] {
        let world = world(status, std::time::Duration::from_mins(5));
        let others = ["carol", "bob", "root", ""];
        let before: Vec<_> = others.map(|who| world.told(who)).to_vec();
        for told in before.iter().flatten() {
            assert!(
                told.starts_with(allowed) || told == "403 DENIED",
                "{status}: {told}"
            );
        }
        world.alice_pulls();
        let after: Vec<_> = others.map(|who| world.told(who)).to_vec();
        assert_eq!(before, after, "{status}");
    }
}

#[test]
fn what_is_cached_is_given_to_who_may_read_it_there_without_another_fetch() {
    let world = world(403, std::time::Duration::from_mins(5));
    world.alice_pulls();
    let _ = world.upstream.asked();
    world.alice_pulls();
    let asked = world.upstream.asked();
    let fetched = |line: &&String| line.starts_with("GET") && line.contains("/blobs/");
    assert_eq!(asked.iter().filter(fetched).count(), 0, "{asked:?}");
}

#[test]
fn an_upstream_that_says_nothing_lets_nobody_read_what_is_cached_unless_it_did_lately() {
    let lately = world(403, std::time::Duration::from_mins(5));
    lately.alice_pulls();
    lately.upstream.fail(500, None);
    // What she could read a moment ago she still may; of others nothing is known.
    let blob = format!("/v2/up.test/team/app/blobs/{}", lately.layer);
    assert_eq!(lately.site.get("alice", &blob).status, 200);
    for who in ["carol", "bob", ""] {
        for told in lately.told(who) {
            assert!(!told.starts_with('2'), "{who}: {told}");
        }
    }
    let long_ago = world(403, std::time::Duration::ZERO);
    long_ago.alice_pulls();
    long_ago.upstream.fail(500, None);
    for told in long_ago.told("alice") {
        assert!(!told.starts_with('2'), "{told}");
    }
    long_ago.upstream.mend();
    long_ago.alice_pulls();
}

#[test]
fn who_loses_the_right_there_loses_it_here() {
    let world = world(403, std::time::Duration::ZERO);
    world.alice_pulls();
    world.upstream.close("team/app", &["carol-there"], 403);
    for told in world.told("alice") {
        assert_eq!(told, "403 DENIED");
    }
    let blob = format!("/v2/up.test/team/app/blobs/{}", world.layer);
    assert_eq!(world.site.get("carol", &blob).status, 200);
}
