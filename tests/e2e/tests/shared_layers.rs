//! A layer that several repositories of an upstream have is fetched once for all of them, and
//! nobody reads through a repository what its upstream does not give.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test"
)]

use std::time::Duration;

use metahub_e2e::faulty::{Fault, Faulty, Image};
use metahub_e2e::http::Answer;
use metahub_e2e::metahub::MetaHub;
use metahub_e2e::process::wait_until;
use metahub_e2e::pusher::Pusher;
use metahub_e2e::require;
use metahub_e2e::world::config;

const MIB: usize = 1024 * 1024;
const SIZE: usize = 4 * MIB;
/// The other repositories that have the layer.
const OTHERS: &[&str] = &[
    "team/b", "team/c", "team/d", "team/e", "other/f", "other/g", "h",
];
/// How long requests may take to reach the upstream.
const SOON: Duration = Duration::from_secs(60);

fn world() -> Option<(Faulty, MetaHub)> {
    if !require::tools(&["setpriv"]) {
        return None;
    }
    let upstream = Faulty::with_blobs_in(Image::of_size(SIZE), OTHERS);
    let metahub = MetaHub::start(&config(upstream.host(), "write"), &[]);
    Some((upstream, metahub))
}

/// Where a repository of the upstream has the layer.
fn at(upstream: &Faulty, repository: &str) -> String {
    Image::blob_in(repository, &upstream.image.layer)
}

/// What a client gets that asks for the layer in a repository of `host`.
fn get_from(metahub: &MetaHub, host: &str, upstream: &Faulty, repository: &str) -> Answer {
    let path = at(upstream, &format!("{host}/{repository}"));
    metahub.get(&path).login(Some(("zen3", "any"))).send()
}

fn get(metahub: &MetaHub, upstream: &Faulty, repository: &str) -> Answer {
    get_from(metahub, "upstream.test", upstream, repository)
}

fn assert_whole(answer: &Answer, upstream: &Faulty) {
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(!answer.cut && answer.body == upstream.image.layer);
}

/// Bytes of the layer that the upstream sent for all repositories that have it.
fn sent(upstream: &Faulty) -> u64 {
    let all = OTHERS.iter().chain(&["team/app"]);
    all.map(|repository| upstream.bytes_sent(&at(upstream, repository)))
        .sum()
}

#[test]
fn many_clients_of_eight_repositories_cost_one_fetch_and_a_question_for_each_other_repository() {
    let Some((upstream, metahub)) = world() else {
        return;
    };
    upstream.break_path(&at(&upstream, "team/app"), Fault::Pause(MIB));
    std::thread::scope(|scope| {
        let mut clients = Vec::new();
        let mut ask = |repository: &'static str| {
            for _ in 0..4 {
                clients.push(scope.spawn(|| get(&metahub, &upstream, repository)));
            }
        };
        ask("team/app");
        let begun = || upstream.times_asked(&at(&upstream, "team/app")) == 1;
        assert!(wait_until(SOON, begun), "{}", metahub.log());
        OTHERS.iter().for_each(|repository| ask(repository));
        // Everybody reads along before the half of it has come.
        let asked = |repository: &&str| upstream.times_asked_about(&at(&upstream, repository)) == 1;
        assert!(
            wait_until(SOON, || OTHERS.iter().all(asked)),
            "{}",
            metahub.log()
        );
        // Who lacks it gets nothing of it, though it is on its way.
        get(&metahub, &upstream, "team/none").expect(404);
        upstream.mend();
        for client in clients {
            assert_whole(&client.join().unwrap(), &upstream);
        }
    });
    assert_eq!(sent(&upstream), SIZE as u64);
    for other in OTHERS {
        let path = at(&upstream, other);
        assert_eq!(upstream.times_asked(&path), 0, "{other}");
        assert_eq!(upstream.times_asked_about(&path), 1, "{other}");
        // It is theirs now: nobody is asked again.
        let held = || {
            assert_whole(&get(&metahub, &upstream, other), &upstream);
            upstream.times_asked_about(&path) == 1
        };
        assert!(held(), "{other}");
    }
    assert_eq!(upstream.times_asked(&at(&upstream, "team/none")), 0);
    assert!(metahub.files_that_lie().is_empty());
}

#[test]
fn eight_repositories_that_are_asked_at_the_same_moment_cost_one_fetch() {
    let Some((upstream, metahub)) = world() else {
        return;
    };
    std::thread::scope(|scope| {
        let clients: Vec<_> = OTHERS
            .iter()
            .chain(&["team/app"])
            .cycle()
            .take(32)
            .map(|repository| scope.spawn(|| get(&metahub, &upstream, repository)))
            .collect();
        for client in clients {
            assert_whole(&client.join().unwrap(), &upstream);
        }
    });
    assert_eq!(sent(&upstream), SIZE as u64);
    let asked = OTHERS.iter().chain(&["team/app"]);
    let asked = asked.map(|repository| upstream.times_asked_about(&at(&upstream, repository)));
    assert!(asked.sum::<usize>() <= 8);
}

#[test]
fn a_layer_that_is_kept_comes_to_a_further_repository_by_one_question() {
    let Some((upstream, metahub)) = world() else {
        return;
    };
    assert_whole(&get(&metahub, &upstream, "team/app"), &upstream);
    assert_whole(&get(&metahub, &upstream, "team/b"), &upstream);
    // Also after a restart: what came from where is written down.
    let metahub = metahub.restart();
    assert_whole(&get(&metahub, &upstream, "team/c"), &upstream);
    assert_eq!(sent(&upstream), SIZE as u64);
    get(&metahub, &upstream, "team/none").expect(404);
    assert_eq!(upstream.times_asked(&at(&upstream, "team/none")), 0);
}

#[test]
fn a_question_that_is_not_answered_or_answered_otherwise_leads_to_a_fetch() {
    let Some((upstream, metahub)) = world() else {
        return;
    };
    assert_whole(&get(&metahub, &upstream, "team/app"), &upstream);
    for (repository, fault) in [("team/b", Fault::NoHead), ("team/c", Fault::OtherHead)] {
        let path = at(&upstream, repository);
        upstream.break_path(&path, fault);
        assert_whole(&get(&metahub, &upstream, repository), &upstream);
        assert_eq!(upstream.times_asked_about(&path), 1, "{repository}");
        assert_eq!(upstream.bytes_sent(&path), SIZE as u64, "{repository}");
    }
    // While it arrives for another repository, too.
    let (upstream, metahub) = world().unwrap();
    upstream.break_path(&at(&upstream, "team/d"), Fault::NoHead);
    upstream.break_path(&at(&upstream, "team/e"), Fault::OtherHead);
    upstream.break_path(&at(&upstream, "team/app"), Fault::Pause(MIB));
    std::thread::scope(|scope| {
        let first = scope.spawn(|| get(&metahub, &upstream, "team/app"));
        let begun = || upstream.times_asked(&at(&upstream, "team/app")) == 1;
        assert!(wait_until(SOON, begun), "{}", metahub.log());
        for repository in ["team/d", "team/e"] {
            assert_whole(&get(&metahub, &upstream, repository), &upstream);
        }
        upstream.mend();
        assert_whole(&first.join().unwrap(), &upstream);
    });
    assert_eq!(sent(&upstream), 3 * SIZE as u64);
}

#[test]
fn who_only_claims_to_have_a_layer_that_came_from_elsewhere_opens_nothing() {
    if !require::tools(&["setpriv"]) {
        return;
    }
    let honest = Faulty::with(Image::of_size(SIZE));
    let liar = Faulty::with(Image::of_size(SIZE));
    let upstreams: Vec<String> = [("honest.test", &honest), ("liar.test", &liar)]
        .map(|(host, upstream)| {
            let url = upstream.host();
            format!("{{ host: {host}, url: 'http://{url}', plain_http: true }}")
        })
        .to_vec();
    let config = format!("anonymous: write\nupstreams: [{}]", upstreams.join(", "));
    let metahub = MetaHub::start(&config, &[]);
    let pusher = Pusher {
        host: metahub.host(),
        repository: "own/app",
        login: None,
    };
    pusher.blob(&honest.image.layer);
    liar.break_path(&at(&liar, "team/app"), Fault::HeadOnly);
    let from_liar = || get_from(&metahub, "liar.test", &liar, "team/app");
    // What was pushed,
    from_liar().expect(404);
    let given = get_from(&metahub, "honest.test", &honest, "team/app");
    assert_whole(&given, &honest);
    // and what another upstream gave.
    from_liar().expect(404);
    assert_eq!(honest.bytes_sent(&at(&honest, "team/app")), SIZE as u64);
}
