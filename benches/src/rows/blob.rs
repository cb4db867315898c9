//! `GET` of blobs over plain TCP: by a client that copies what it gets, as every client does,
//! and by one that has the kernel drop it, where the server alone is the limit.

use miette::Result;

use crate::hammer::{Hammer, Reading, Until};
use crate::http;
use crate::plan::Plan;
use crate::report::{Bound, CPU_PER_GIB, Check, Row, THROUGHPUT};
use crate::watch::{add_bytes, watched};
use crate::world::{REPOSITORY, World};

pub(super) fn measure(plan: &Plan, world: &World) -> Result<Vec<Row>> {
    let large = std::slice::from_ref(&world.large);
    let mut rows = Vec::new();
    for (what, paths, connections) in [("1 MiB", world.small.as_slice(), 8), ("100 MiB", large, 4)]
    {
        for reading in [Reading::Copy, Reading::Discard] {
            rows.push(one(plan, world, what, paths, connections, reading)?);
        }
    }
    Ok(rows)
}

fn one(
    plan: &Plan,
    world: &World,
    what: &str,
    paths: &[String],
    connections: usize,
    reading: Reading,
) -> Result<Row> {
    let client = match reading {
        Reading::Copy => "copied by the client",
        Reading::Discard => "dropped by the client's kernel",
    };
    let mut row = Row::new(
        format!("blob GET {what}, plain TCP, {client}"),
        format!(
            "{connections} connections, {} different blobs in the page cache",
            paths.len()
        ),
    );
    let mut turns = Vec::new();
    for peer in &world.peers {
        let token = peer.token(REPOSITORY)?;
        let requests = paths
            .iter()
            .map(|path| http::get(&peer.host, path, token.as_deref()));
        turns.push((peer, requests.collect::<Vec<_>>()));
    }
    for (peer, requests) in plan.turns(&turns) {
        let load = Hammer {
            host: &peer.host,
            requests,
            connections,
            reading,
            pace: None,
        };
        load.run(Until::Passed(plan.turn / 10))?;
        let (measured, cost) = watched(peer, || load.run(Until::Passed(plan.turn)))?;
        add_bytes(&mut row, peer.name(), measured, cost);
    }
    row.check_ratio(
        "MetaHub",
        "docker-registry",
        CPU_PER_GIB,
        Bound::AtMost(0.5),
    );
    row.tell_ratio("MetaHub", "docker-registry", THROUGHPUT);
    against_nginx(&mut row);
    Ok(row)
}

/// Either as cheap as nginx and no slower, or twice as fast and not much dearer.
fn against_nginx(row: &mut Row) {
    let cpu = row.ratio("MetaHub", "nginx", CPU_PER_GIB);
    let speed = row.ratio("MetaHub", "nginx", THROUGHPUT);
    let Some((cpu, speed)) = cpu.zip(speed) else {
        return;
    };
    let cheap = cpu.median <= 1.1 && speed.median >= 1.0;
    let fast = cpu.median <= 1.6 && speed.median >= 2.0;
    row.checks.push(Check {
        what: "MetaHub ÷ nginx".to_owned(),
        found: format!("CPU {cpu}, GB/s {speed}"),
        wanted: "CPU at most 1.1 at GB/s of at least 1, or at most 1.6 at at least 2".to_owned(),
        met: Some(cheap || fast),
    });
}
