//! `GET` of a manifest by its tag, always the same: what a registry answers most often.

use miette::Result;

use crate::hammer::{Hammer, Until};
use crate::http;
use crate::plan::Plan;
use crate::report::{Bound, CPU_PER_REQUEST, RATE, Row};
use crate::watch::{add_requests, watched};
use crate::world::{REPOSITORY, World};

const CONNECTIONS: usize = 32;

pub(super) fn measure(plan: &Plan, world: &World) -> Result<Vec<Row>> {
    let mut row = Row::new(
        format!("manifest GET by tag, warm ({} bytes)", world.manifest_size),
        format!(
            "{CONNECTIONS} connections, each sends the next request when it has the answer. \
             MetaHub checks a token with every request; the others ask for none"
        ),
    );
    let mut turns = Vec::new();
    for peer in &world.peers {
        let token = peer.token(REPOSITORY)?;
        let request = |host: &str| vec![http::get(host, &world.manifest, token.as_deref())];
        turns.push((
            peer,
            peer.name().to_owned(),
            peer.host.as_str(),
            request(&peer.host),
        ));
        if let Some((how, host)) = &peer.tuned {
            turns.push((peer, format!("{}, {how}", peer.name()), host, request(host)));
        }
    }
    for (peer, name, host, requests) in plan.turns(&turns) {
        let load = Hammer::copying(host, requests, CONNECTIONS);
        load.run(Until::Passed(plan.turn / 10))?;
        let (measured, cost) = watched(peer, || load.run(Until::Passed(plan.turn)))?;
        add_requests(&mut row, name, measured, cost);
    }
    row.check_ratio("MetaHub", "docker-registry", RATE, Bound::AtLeast(20.0));
    row.check_ratio("MetaHub", "zot", RATE, Bound::AtLeast(5.0));
    row.check_ratio("MetaHub", "nginx", RATE, Bound::AtLeast(1.0));
    row.tell_ratio("MetaHub", "nginx, open files cached", RATE);
    row.tell_ratio("MetaHub", "nginx", CPU_PER_REQUEST);
    Ok(vec![row])
}
