//! System calls that servers make for what is pulled most, as strace counts them: a cost that is
//! the same on every machine.

use metahub_e2e::system_calls::{counted, total};
use miette::Result;

use crate::hammer::{Hammer, Until, bytes, count};
use crate::http;
use crate::peer::Peer;
use crate::plan::Plan;
use crate::report::{Bound, CALLS_PER_MIB, CALLS_PER_REQUEST, Row};
use crate::world::{REPOSITORY, World};

const MANIFESTS: usize = 2_000;
const MEBIBYTE: f64 = 1024.0 * 1024.0;

pub(super) fn measure(plan: &Plan, world: &World) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for connections in [1, 8] {
        let mut row = Row::new(
            format!("system calls for a blob of 100 MiB, {connections} connections"),
            "plain TCP, in the page cache, copied by the client; while strace is attached"
                .to_owned(),
        );
        let answers = plan.size(16, 8);
        for (peer, requests) in plan.turns(&turns(world, &world.large)?) {
            let load = Hammer::copying(&peer.host, requests, connections);
            load.run(Until::Answered(connections))?;
            let (measured, calls) = calls_of(peer, || load.run(Until::Answered(answers)))?;
            row.add(
                peer.name(),
                CALLS_PER_MIB,
                calls / (bytes(measured.bytes) / MEBIBYTE),
            );
        }
        // One look for each mebibyte tells whether its pages are in memory.
        let ours = row.values("MetaHub", CALLS_PER_MIB).to_vec();
        let nginx = row.values("nginx", CALLS_PER_MIB).to_vec();
        let beyond = ours
            .iter()
            .zip(&nginx)
            .map(|(ours, nginx)| (ours - 1.0) / nginx);
        if let Some(beyond) = crate::report::Spread::of(beyond) {
            row.check("(MetaHub − 1) ÷ nginx", beyond, Bound::AtMost(1.5));
        }
        rows.push(row);
    }
    let mut row = Row::new(
        "system calls for a manifest by tag".to_owned(),
        "8 connections that last; while strace is attached".to_owned(),
    );
    for (peer, requests) in plan.turns(&turns(world, &world.manifest)?) {
        let load = Hammer::copying(&peer.host, requests, 8);
        load.run(Until::Answered(100))?;
        let (measured, calls) = calls_of(peer, || load.run(Until::Answered(MANIFESTS)))?;
        row.add(
            peer.name(),
            CALLS_PER_REQUEST,
            calls / count(measured.requests),
        );
    }
    row.tell_ratio("MetaHub", "nginx", CALLS_PER_REQUEST);
    rows.push(row);
    Ok(rows)
}

/// A server, and what it is asked.
type Turn<'a> = (&'a Peer, Vec<Vec<u8>>);

fn turns<'a>(world: &'a World, path: &str) -> Result<Vec<Turn<'a>>> {
    let requests = world.peers.iter().map(|peer| {
        let token = peer.token(REPOSITORY)?;
        Ok((peer, vec![http::get(&peer.host, path, token.as_deref())]))
    });
    requests.collect()
}

/// What `work` gives, and how many system calls the server's processes make meanwhile.
fn calls_of<T>(peer: &Peer, work: impl FnOnce() -> Result<T>) -> Result<(T, f64)> {
    let (result, counts) = counted(&peer.processes()?, work);
    Ok((result?, bytes(total(&counts))))
}
