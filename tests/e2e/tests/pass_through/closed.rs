//! Every way to ask, by everybody who may not.

use metahub_e2e::http::basic;
use rstest::rstest;

use crate::world::{EXTRA, HERE, LAYER, World, alice_pulls, there, ways, world};

#[rstest]
#[case::says_no(403, 403, false)]
#[case::says_that_there_is_nothing(404, 404, false)]
#[case::says_no_and_of_blobs_that_there_is_nothing(403, 404, false)]
#[case::has_a_token_server(403, 403, true)]
fn what_one_account_may_read_is_closed_to_others_though_it_is_kept(
    #[case] status: u16,
    #[case] of_blobs: u16,
    #[case] tokens: bool,
) {
    let Some(world) = world(status, "pass_through: {}", "", &[("extra.yaml", EXTRA)]) else {
        return;
    };
    world.upstream.refuse_blobs_with(of_blobs);
    if tokens {
        world.upstream.give_tokens();
    }
    let (digests, blobs) = {
        // The same world, where somebody has pulled: what there is to ask for.
        let Some(other) = self::world(status, "pass_through: {}", "", &[("extra.yaml", EXTRA)])
        else {
            return;
        };
        alice_pulls(&other)
    };
    let others = ["bob", "bob/extra", "dave", "erin", "", "extra"];
    let tell = || -> Vec<_> {
        let mut told = Vec::new();
        for (method, path) in ways(&digests, &blobs) {
            for login in others {
                told.push((
                    login,
                    method,
                    path.clone(),
                    world.told(login, method, &path),
                ));
            }
        }
        told
    };
    let before = tell();
    for (login, method, path, (status, body)) in &before {
        let body = String::from_utf8_lossy(body);
        assert!(
            matches!(status, 403 | 404),
            "{login}: {method} {path}: {status} {body}"
        );
        assert!(
            !body.contains(LAYER) && !body.contains("-password"),
            "{body}"
        );
    }
    let pulled = alice_pulls(&world);
    assert_eq!(pulled, (digests.clone(), blobs.clone()));
    // Now it is all here, and those who may not read it there are told the same words.
    for (before, after) in before.iter().zip(tell()) {
        assert_eq!(*before, after);
    }
    // Who may, does, and nothing is fetched again.
    let _ = world.upstream.asked();
    for (method, path) in ways(&digests, &blobs) {
        let answer = world.call("carol", method, &path).send();
        assert_eq!(answer.status, 200, "{method} {path}: {answer}");
    }
    let asked = world.upstream.asked();
    let fetched = asked
        .iter()
        .filter(|asked| asked.starts_with("GET") && asked.contains("/blobs/"));
    assert_eq!(fetched.count(), 0, "{asked:?}");
}

#[test]
fn no_mount_range_condition_or_list_leads_around_the_upstreams_word() {
    let Some(world) = world(403, "pass_through: {}", "", &[("extra.yaml", EXTRA)]) else {
        return;
    };
    let (digests, blobs) = alice_pulls(&world);
    world.metahub.add_account("root", "admin", HERE);
    let layer = &blobs[0];
    for from in ["&from=up.test/team/app", "&from=mine/team/app", ""] {
        let mount = |login: &str| {
            let path = format!("/v2/{login}/own/blobs/uploads/?mount={layer}{from}");
            world.call(login, "POST", &path).send().status
        };
        assert_eq!(mount("bob"), 202, "{from}");
        assert_eq!(mount("dave"), 202, "{from}");
        assert_eq!(
            world
                .get("bob", &format!("/v2/bob/own/blobs/{layer}"))
                .status,
            404
        );
        // Alice may take along what she may read, by its name.
        if !from.is_empty() {
            assert_eq!(mount("alice"), 201, "{from}");
            world
                .call("alice", "DELETE", &format!("/v2/alice/own/blobs/{layer}"))
                .send()
                .expect(202);
        }
    }
    let path = format!("/v2/mine/team/app/blobs/{layer}");
    for (name, value) in [
        ("Range", "bytes=0-3"),
        ("If-None-Match", &format!("\"{layer}\"")),
    ] {
        let ask = |login| world.call(login, "GET", &path).header(name, value).send();
        ask("bob").expect_error(403, "DENIED");
        assert!(matches!(ask("alice").status, 206 | 304), "{name}");
    }
    // Where the store keeps it is nobody's name, an admin's neither, and no list tells it.
    for login in ["alice", "bob", "root"] {
        for rest in [
            format!("manifests/{}", digests[0]),
            "tags/list".to_owned(),
            format!("blobs/{layer}"),
        ] {
            let hidden = format!("/v2/pass-through--up.test/team/app/{rest}");
            world.get(login, &hidden).expect_error(404, "NAME_UNKNOWN");
        }
        let hidden = format!(
            "/v2/{login}/own/blobs/uploads/?mount={layer}&from=pass-through--up.test/team/app"
        );
        assert_eq!(world.call(login, "POST", &hidden).send().status, 202);
        let listed = world.get(login, "/v2/_catalog").expect(200).text();
        assert!(!listed.contains("team/app"), "{listed}");
    }
    // Nothing is put there, and only an admin takes a copy away.
    let changes = [
        ("POST", "blobs/uploads/".to_owned()),
        ("PUT", "manifests/1".to_owned()),
        ("DELETE", format!("blobs/{layer}")),
        ("DELETE", "manifests/1".to_owned()),
        ("DELETE", format!("manifests/{}", digests[0])),
    ];
    for name in ["up.test/team/app", "mine/team/app"] {
        for (method, rest) in &changes {
            let change = |login| {
                world
                    .call(login, method, &format!("/v2/{name}/{rest}"))
                    .send()
            };
            let status = change("root").status;
            let deletes = *method == "DELETE" && name == "up.test/team/app";
            match (*method, deletes) {
                ("DELETE", true) => assert_eq!(status, 202, "{rest}"),
                ("DELETE", false) => assert_eq!(status, 404, "{rest}"),
                _ => assert_eq!(status, 403, "{rest}"),
            }
            assert!(matches!(change("bob").status, 401 | 403), "{rest}");
        }
        let hidden = format!("/v2/pass-through--{name}/manifests/1");
        let deleted = world.call("root", "DELETE", &hidden).send();
        deleted.expect_error(404, "NAME_UNKNOWN");
    }
    let _ = world.upstream.asked();
    world.get("alice", &path).expect(200);
    let fetched = format!("GET /v2/team/app/blobs/{layer}");
    assert!(world.upstream.asked().contains(&fetched));
}

#[test]
fn the_upstream_sees_who_asks_and_nobody_else_does() {
    let Some(world) = world(403, "pass_through: {}", "", &[("extra.yaml", EXTRA)]) else {
        return;
    };
    alice_pulls(&world);
    let path = "/v2/mine/team/app/manifests/1";
    world.get("bob", path).expect_error(403, "DENIED");
    world
        .get("bob", "/v2/mine/bobs/app/manifests/1")
        .expect(200);
    let wrong = world.get("dave", path).expect_error(403, "DENIED");
    assert_eq!(
        wrong.json()["errors"][0]["detail"]["status"],
        401,
        "{wrong}"
    );
    assert!(wrong.text().contains("account dave"), "{wrong}");
    world.get("erin", path).expect_error(403, "DENIED");
    world.told("", "GET", path);
    world.told("extra", "GET", path);

    let seen = world.upstream.authorizations();
    let of = |user: &str, password: &str| {
        let sent = basic(user, password);
        seen.iter().filter(|(by, _)| *by == sent).count()
    };
    let right = ["alice", "bob"].map(|user| of(&format!("{user}-there"), &there(user)));
    assert!(right.iter().all(|count| *count > 0), "{right:?}");
    let wrong = of("dave-there", "not his password");
    assert!(wrong > 0);
    // Besides them only questions without credentials came: the first of each, and nobody's.
    let nobody = seen.iter().filter(|(by, _)| by.is_empty()).count();
    assert_eq!(right[0] + right[1] + wrong + nobody, seen.len(), "{seen:?}");
    let own = |(by, asked): &(String, String)| by.is_empty() || asked.contains("/bobs/");
    let bobs = basic("bob-there", &there("bob"));
    let of_bob = seen.iter().filter(|(by, _)| *by == bobs);
    assert!(
        of_bob.clone().any(own) && of_bob.clone().count() <= 8,
        "{seen:?}"
    );
    assert!(
        world
            .open
            .authorizations()
            .iter()
            .all(|(by, _)| by.is_empty())
    );

    // At its end it has written all that it had to say.
    let World { mut metahub, .. } = world;
    metahub.terminate();
    let log = metahub.log();
    assert!(
        log.contains("account dave") || log.contains("team/app"),
        "{log}"
    );
    for user in ["alice", "bob"] {
        let pair = basic(&format!("{user}-there"), &there(user));
        let pair = pair.trim_start_matches("Basic ");
        assert!(!log.contains(&there(user)) && !log.contains(pair), "{log}");
    }
    assert!(!log.contains("not his password"), "{log}");
}

#[test]
fn what_was_kept_for_some_is_not_for_all_when_the_configuration_changes() {
    let Some(world) = world(403, "pass_through: {}", "", &[("extra.yaml", EXTRA)]) else {
        return;
    };
    let (digests, blobs) = alice_pulls(&world);
    let World {
        upstream, metahub, ..
    } = world;
    // The same upstream, read under one identity for all; then none at all, whose names may lead
    // to a public registry of that host; then only what is here.
    let shared = upstream.entry("up.test", "retry: { attempts: 1 }");
    let mut metahub = metahub;
    for settings in [
        format!("upstreams: [{shared}]"),
        "upstreams: []".to_owned(),
        "upstreams: []\noffline: true\nallow_any_host: true".to_owned(),
    ] {
        metahub = metahub.restart_with(&settings);
        for (method, path) in ways(&digests, &blobs) {
            for login in ["bob", "alice"] {
                let call = metahub.call(method, &path).login(Some((login, HERE)));
                let answer = call.send();
                let nothing = matches!(answer.status, 403 | 404)
                    || answer.text().contains("\"manifests\":[]");
                assert!(nothing, "{settings}: {login}: {answer}");
            }
        }
    }
}
