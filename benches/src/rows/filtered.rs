//! `GET` of an index by its tag under a profile, which gets one build of several, beside the same
//! under an account alone, which gets the index as it was pushed.

use metahub_e2e::pusher::Pusher;
use miette::Result;

use crate::hammer::{Hammer, Until};
use crate::http;
use crate::peer::Kind;
use crate::plan::Plan;
use crate::report::{Bound, RATE, Row};
use crate::watch::{add_requests, watched};
use crate::world::World;

const CONNECTIONS: usize = 32;
const REPOSITORY: &str = "bench/builds";
const PROFILE: &str = "zen3";
/// What the builds require; the last is the profile's own.
const BUILDS: [&str; 4] = ["arch:x86_64_v2", "arch:haswell", "arch:zen2", "arch:zen3"];
const PLAIN: &str = "MetaHub, the index as it is";
const FILTERED: &str = "MetaHub, under a profile";

pub(super) fn measure(plan: &Plan, world: &World) -> Result<Vec<Row>> {
    let Some(peer) = world.peers.iter().find(|peer| peer.kind() == Kind::MetaHub) else {
        return Ok(Vec::new());
    };
    let pusher = Pusher {
        host: &peer.host,
        repository: REPOSITORY,
        login: peer.login(),
    };
    let images = BUILDS.map(|build| (pusher.image("build", "amd64", build.as_bytes()), [build]));
    let entries: Vec<_> = images
        .iter()
        .map(|(image, requires)| (image, "amd64", requires.as_slice()))
        .collect();
    pusher.index("latest", &entries);
    let path = format!("/v2/{REPOSITORY}/manifests/latest");
    let mut turns = Vec::new();
    for (name, profile) in [(PLAIN, None), (FILTERED, Some(PROFILE))] {
        let token = peer.token_under(REPOSITORY, profile)?;
        turns.push((name, vec![http::get(&peer.host, &path, token.as_deref())]));
    }
    let mut row = Row::new(
        "index GET by tag, warm, filtered".to_owned(),
        format!(
            "{CONNECTIONS} connections, a token with every request; an index of {} builds, and \
             what a login with the profile {PROFILE} gets of it",
            BUILDS.len()
        ),
    );
    for (name, requests) in plan.turns(&turns) {
        let load = Hammer::copying(&peer.host, requests, CONNECTIONS);
        load.run(Until::Passed(plan.turn / 10))?;
        let (measured, cost) = watched(peer, || load.run(Until::Passed(plan.turn)))?;
        add_requests(&mut row, name, measured, cost);
    }
    row.check_ratio(FILTERED, PLAIN, RATE, Bound::AtLeast(0.9));
    Ok(vec![row])
}
