//! Some people, what they may read at an upstream, and a MetaHub that reads it for each of them.

use metahub_e2e::faulty::MANIFEST_TYPE;
use metahub_e2e::http::{Answer, Call, digest_of};
use metahub_e2e::metahub::MetaHub;
use metahub_e2e::require;
use metahub_e2e::scripted::Scripted;

/// The password of everybody here.
pub(crate) const HERE: &str = "password-here";
pub(crate) const LAYER: &str = "only for some";

/// Alice and carol may read `team/app` there; bob is known there and may not, dave has a wrong
/// password there, and erin has no login there.
const PEOPLE: [&str; 5] = ["alice", "bob", "carol", "dave", "erin"];

pub(crate) struct World {
    pub(crate) upstream: Scripted,
    /// Another one, which everybody may read.
    pub(crate) open: Scripted,
    pub(crate) metahub: MetaHub,
    pub(crate) manifest: Vec<u8>,
}

pub(crate) fn there(user: &str) -> String {
    format!("{user}-password-there")
}

/// `status`: what the upstream says to who may not read a repository. `of_upstream` and `more`:
/// further keys of the upstream and of the configuration.
pub(crate) fn world(
    status: u16,
    of_upstream: &str,
    more: &str,
    documents: &[(&str, &str)],
) -> Option<World> {
    if !require::tools(&["setpriv"]) {
        return None;
    }
    let upstream = Scripted::start();
    let manifest = upstream.put("team/app", "1", LAYER);
    upstream.put("bobs/app", "1", "of bob");
    for user in ["alice", "bob", "carol", "dave"] {
        upstream.add_user(&format!("{user}-there"), &there(user));
    }
    upstream.close("team/app", &["alice-there", "carol-there"], status);
    upstream.close("bobs/app", &["bob-there"], status);
    let open = Scripted::start();
    open.put("layers/extra", "1", "an added layer");
    open.put("team/public", "1", "for all");
    let ours = format!("prefixes: [{{ prefix: mine }}], retry: {{ attempts: 1 }}, {of_upstream}");
    let config = format!(
        "anonymous: read\nallow_any_host: false\nmetrics: everybody\n{more}\nupstreams: [{}, {}]\n",
        upstream.entry("up.test", &ours),
        open.entry("open.test", "default: true")
    );
    let metahub = MetaHub::start(&config, documents);
    for account in PEOPLE {
        metahub.add_account(account, "pusher", HERE);
    }
    for account in ["alice", "bob", "carol"] {
        log_in(&metahub, account, &there(account));
    }
    log_in(&metahub, "dave", "not his password");
    Some(World {
        upstream,
        open,
        metahub,
        manifest,
    })
}

pub(crate) fn log_in(metahub: &MetaHub, account: &str, password: &str) {
    let user = format!("{account}-there");
    let args = [
        "account",
        "upstream-login",
        account,
        "up.test",
        "--username",
        &user,
        "--password-stdin",
    ];
    metahub.command(&args).stdin(password).ok();
}

/// The profile that adds a layer to the image, under both of its names.
pub(crate) const EXTRA: &str = "
profile:
  name: extra
  actions:
    - name: manifest-add
      event: post-manifest-get
      args:
        layerRepository: open.test/layers/extra:1
        repository: (mine|up.test)/team/app
";

impl World {
    pub(crate) fn call(&self, login: &str, method: &str, path: &str) -> Call {
        let call = self
            .metahub
            .call(method, path)
            .header("Accept", MANIFEST_TYPE);
        if login.is_empty() {
            return call;
        }
        call.login(Some((login, HERE)))
    }

    pub(crate) fn get(&self, login: &str, path: &str) -> Answer {
        self.call(login, "GET", path).send()
    }

    /// What `login`, or nobody, is told.
    pub(crate) fn told(&self, login: &str, method: &str, path: &str) -> (u16, Vec<u8>) {
        let call = self.call(login, method, path);
        let answer = if login.is_empty() {
            call.send_as_anybody()
        } else {
            call.send()
        };
        (answer.status, answer.body)
    }

    pub(crate) fn digest(&self) -> String {
        digest_of(&self.manifest)
    }
}

/// Every way to ask for something of the image, under every name that leads to it.
pub(crate) fn ways(digests: &[String], blobs: &[String]) -> Vec<(&'static str, String)> {
    let mut ways = Vec::new();
    for name in ["up.test/team/app", "mine/team/app"] {
        let path = |rest: &str| format!("/v2/{name}/{rest}");
        for method in ["GET", "HEAD"] {
            ways.push((method, path("manifests/1")));
            ways.extend(
                digests
                    .iter()
                    .map(|d| (method, path(&format!("manifests/{d}")))),
            );
            ways.extend(blobs.iter().map(|d| (method, path(&format!("blobs/{d}")))));
        }
        ways.push(("GET", path("tags/list")));
        ways.extend(
            digests
                .iter()
                .map(|d| ("GET", path(&format!("referrers/{d}")))),
        );
        for reference in [":1".to_owned(), format!("@{}", digests[0])] {
            ways.push(("GET", format!("/api/v1/resolve?image={name}{reference}")));
        }
    }
    // As a mirror's client asks.
    ways.push(("GET", "/v2/team/app/manifests/1?ns=up.test".to_owned()));
    ways.push(("GET", format!("/v2/team/app/blobs/{}?ns=up.test", blobs[0])));
    ways
}

/// What alice's pulls bring: the digests of the image and of the one with a layer added, and the
/// blobs of both.
pub(crate) fn alice_pulls(world: &World) -> (Vec<String>, Vec<String>) {
    let mut digests = vec![world.digest()];
    let mut blobs = vec![digest_of(LAYER.as_bytes())];
    for name in ["up.test/team/app", "mine/team/app"] {
        let path = |rest: &str| format!("/v2/{name}/{rest}");
        for login in ["alice", "alice/extra"] {
            let pulled = world.get(login, &path("manifests/1")).expect(200);
            assert_eq!(pulled.body == world.manifest, login == "alice");
            digests.push(digest_of(&pulled.body));
            let manifest = pulled.json();
            let layers = manifest["layers"].as_array().unwrap().iter();
            for blob in layers.chain([&manifest["config"]]) {
                let digest = blob["digest"].as_str().unwrap();
                world
                    .get("alice", &path(&format!("blobs/{digest}")))
                    .expect(200);
                blobs.push(digest.to_owned());
            }
            world
                .get(
                    "alice",
                    &path(&format!("manifests/{}", digest_of(&pulled.body))),
                )
                .expect(200);
        }
    }
    for list in [&mut digests, &mut blobs] {
        let first = list[0].clone();
        list.sort();
        list.dedup();
        list.retain(|one| *one != first);
        list.insert(0, first);
    }
    assert!(
        digests.len() >= 2 && blobs.len() >= 4,
        "{digests:?} {blobs:?}"
    );
    (digests, blobs)
}
