//! What a piece of work costs the server that does it, and how much of the machine others took
//! meanwhile: a figure from a busy machine is to be known as one.

use std::time::Instant;

use miette::Result;

use crate::hammer::{Measured, count};
use crate::peer::Peer;
use crate::report::{CPU_PER_GIB, CPU_PER_REQUEST, OTHERS, P50, P99, RATE, Row, THROUGHPUT};
use crate::usage;

/// What some work cost.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cost {
    /// Processor seconds of the server.
    pub(crate) cpu: f64,
    pub(crate) seconds: f64,
    /// Percent of the machine's processor time that neither the server nor this program took.
    pub(crate) others: f64,
}

/// Does some work and says what it cost.
pub(crate) fn watched<T>(peer: &Peer, work: impl FnOnce() -> Result<T>) -> Result<(T, Cost)> {
    let clocks = || Ok::<_, miette::Report>((usage::machine_cpu_seconds()?, ours(peer)?));
    let (machine, mine) = clocks()?;
    let (cpu, started) = (peer.cpu()?, Instant::now());
    let result = work()?;
    let (cpu, seconds) = (peer.cpu()? - cpu, started.elapsed().as_secs_f64());
    let (machine_after, mine_after) = clocks()?;
    let others = (machine_after - machine) - (mine_after - mine);
    let cores = std::fs::read_to_string("/proc/stat").map_or(1, |stat| {
        let cores = stat.lines().filter(|line| line.starts_with("cpu"));
        cores.count().saturating_sub(1).max(1)
    });
    let others = (100.0 * others / seconds / count(cores)).max(0.0);
    Ok((
        result,
        Cost {
            cpu,
            seconds,
            others,
        },
    ))
}

fn ours(peer: &Peer) -> Result<f64> {
    Ok(peer.cpu()? + usage::own_cpu_seconds()?)
}

/// Adds the figures of a load of small answers.
pub(crate) fn add_requests(row: &mut Row, server: &str, mut load: Measured, cost: Cost) {
    row.add(server, RATE, load.rate());
    row.add(
        server,
        CPU_PER_REQUEST,
        1e6 * cost.cpu / count(load.requests.max(1)),
    );
    add_times(row, server, &mut load);
    row.add(server, OTHERS, cost.others);
}

/// Adds the figures of a load of large answers.
pub(crate) fn add_bytes(row: &mut Row, server: &str, mut load: Measured, cost: Cost) {
    row.add(server, THROUGHPUT, load.gigabytes_a_second());
    row.add(server, CPU_PER_GIB, cost.cpu / load.gibibytes());
    add_times(row, server, &mut load);
    row.add(server, OTHERS, cost.others);
}

fn add_times(row: &mut Row, server: &str, load: &mut Measured) {
    for (name, percent) in [(P50, 50), (P99, 99)] {
        if let Some(time) = load.latencies.percentile(percent) {
            row.add(server, name, time);
        }
    }
}
