//! A real client, and a real registry as the upstream.

use metahub_e2e::metahub::MetaHub;
use metahub_e2e::pusher::Pusher;
use metahub_e2e::registry::{self, Registry};
use metahub_e2e::require;
use metahub_e2e::skopeo::{self, Skopeo};

use crate::world::{HERE, log_in, there};

/// Alice as that registry knows her, with the password that [`there`] gives her.
const USERS: &str = "alice-there:$2y$04$Miw.Oh2lz/m/nievtA4EpeOOEraboBzLMc6YY9jWNonJ4gNoAx1lm\n";

#[test]
fn skopeo_copies_for_whom_the_upstream_knows_and_for_nobody_else() {
    if !require::tools(&[registry::NEEDS, skopeo::NEEDS].concat()) {
        return;
    }
    let root = tempfile::tempdir().unwrap();
    let upstream = Registry::guarded(root.path(), USERS);
    let password = there("alice");
    let pusher = Pusher {
        host: upstream.host(),
        repository: "team/app",
        login: Some(("alice-there", &password)),
    };
    let _ = pusher.image("1", "amd64", b"only for some");
    let config = format!(
        "anonymous: read\nallow_any_host: false\nupstreams: [{{ host: up.test, url: 'http://{}', \
         plain_http: true, pass_through: {{}}, prefixes: [{{ prefix: mine }}] }}]\n",
        upstream.host()
    );
    let metahub = MetaHub::start(&config, &[]);
    for account in ["alice", "bob", "carol"] {
        metahub.add_account(account, "reader", HERE);
    }
    log_in(&metahub, "alice", &password);
    log_in(&metahub, "bob", "a guess");
    let copy = |login: &str, name: &str| {
        let skopeo = Skopeo::new();
        let (user, password) = (login, if login.is_empty() { "" } else { HERE });
        if !login.is_empty() {
            let done = skopeo.login(metahub.host(), user, password);
            assert_eq!(done.code, Some(0), "{done}");
        }
        let to = format!("dir:{}", skopeo.path("image").display());
        skopeo.copy(&format!("docker://{}", metahub.image(name)), &to, false)
    };
    // Before and after it is kept, under each of its names.
    for _ in 0..2 {
        for name in ["mine/team/app:1", "up.test/team/app:1"] {
            for login in ["bob", "carol", ""] {
                let refused = copy(login, name);
                assert_ne!(refused.code, Some(0), "{login}: {refused}");
                assert!(refused.stderr.contains("up.test"), "{login}: {refused}");
            }
            for login in ["alice", "alice/zen3"] {
                let copied = copy(login, name);
                assert_eq!(copied.code, Some(0), "{copied}");
            }
        }
    }
}
