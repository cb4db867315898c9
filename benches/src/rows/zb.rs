//! Pushes and pulls of whole images, as zb does them: every server in every test, four clients at
//! once.

use std::time::Instant;

use miette::{Result, miette};

use super::zb_suite::{Layers, TESTS, Work, Worker};
use crate::content::Material;
use crate::hammer::Measured;
use crate::latency::Latencies;
use crate::peer::{Kind, Peer};
use crate::plan::Plan;
use crate::report::{Check, P99, RATE, Row};
use crate::watch::{add_requests, watched};
use crate::world::start_all;

const CLIENTS: usize = 4;

pub(super) fn measure(plan: &Plan, material: &Material) -> Result<Vec<Row>> {
    let peers = start_all(plan, "zb", &Kind::REGISTRIES)?;
    let mut row = Row::new(
        "the tests of zb: pushes and pulls of whole images",
        format!(
            "{CLIENTS} clients with a connection each; a push is layer, config and manifest into a \
             new repository, a pull is HEAD and GET of all three; what is pulled is pushed before"
        ),
    );
    // A turn of all tests is long: fewer of them say as much.
    let rounds = plan.rounds.min(3) as u64;
    for round in 0..rounds {
        let layers = Layers::new(material, round);
        for (number, (name, work)) in TESTS.iter().enumerate() {
            for peer in &peers {
                let prefix = format!("zb/{round}-{number}");
                let (measured, cost) = test(plan, peer, &layers, *work, &prefix)?;
                add_requests(
                    &mut row,
                    &format!("{name}: {}", peer.name()),
                    measured,
                    cost,
                );
            }
        }
    }
    for (name, _) in TESTS {
        for rival in &peers {
            let least = match rival.kind {
                kind if kind.is_ours() => continue,
                // What it answers for may be lost with the power.
                Kind::Zot => 0.95,
                _ => 1.0,
            };
            ahead(&mut row, name, rival.name(), least);
        }
    }
    Ok(vec![row])
}

/// At least so many times the requests, and the slowest of them no later by more than that.
fn ahead(row: &mut Row, name: &str, rival: &str, least: f64) {
    let (ours, theirs) = (format!("{name}: MetaHub"), format!("{name}: {rival}"));
    let rate = row.ratio(&ours, &theirs, RATE);
    let Some((rate, p99)) = rate.zip(row.ratio(&ours, &theirs, P99)) else {
        return;
    };
    row.checks.push(Check {
        what: format!("{name}, MetaHub ÷ {rival}"),
        found: format!("req/s {rate}, p99 {p99}"),
        wanted: format!("req/s at least {least}, p99 at most {:.2}", 1.0 / least),
        met: Some(rate.median >= least && p99.median <= 1.0 / least),
    });
}

fn test(
    plan: &Plan,
    peer: &Peer,
    layers: &Layers<'_>,
    work: Work,
    prefix: &str,
) -> Result<(Measured, crate::watch::Cost)> {
    let mut workers = (0..CLIENTS)
        .map(|worker| Worker::new(peer, layers, format!("{prefix}-{worker}")))
        .collect::<Result<Vec<_>>>()?;
    for worker in &mut workers {
        worker.prepare(work)?;
    }
    let operations = work.operations(plan) / CLIENTS;
    watched(peer, || {
        let started = Instant::now();
        let latencies = std::thread::scope(|scope| {
            let threads: Vec<_> = workers
                .iter_mut()
                .map(|worker| scope.spawn(move || all(worker, work, operations)))
                .collect();
            let mut latencies = Latencies::default();
            for thread in threads {
                let part = thread
                    .join()
                    .map_err(|_| miette!("a thread of the client failed"))??;
                latencies.extend(part);
            }
            Ok::<_, miette::Report>(latencies)
        })?;
        let seconds = started.elapsed().as_secs_f64();
        Ok(Measured {
            requests: latencies.len(),
            bytes: 0,
            seconds,
            latencies,
        })
    })
}

fn all(worker: &mut Worker<'_>, work: Work, operations: usize) -> Result<Latencies> {
    let mut latencies = Latencies::default();
    for number in 0..operations {
        let started = Instant::now();
        worker.operate(work, number)?;
        latencies.add(started.elapsed());
    }
    Ok(latencies)
}
