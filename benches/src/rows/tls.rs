//! `GET` of blobs over TLS 1.3 with AES-128-GCM: a few connections, a thread each, because the
//! client decrypts as hard as the server encrypts.

use std::sync::Arc;
use std::time::{Duration, Instant};

use miette::{Result, miette};
use rustls::ClientConfig;

use crate::client::{Body, Client};
use crate::hammer::Measured;
use crate::peer::{Kind, Peer};
use crate::plan::Plan;
use crate::report::{Bound, CPU_PER_GIB, Row, THROUGHPUT};
use crate::watch::{add_bytes, watched};
use crate::world::{REPOSITORY, World};

const CONNECTIONS: usize = 4;

pub(super) fn measure(plan: &Plan, world: &World) -> Result<Vec<Row>> {
    let Some(certificate) = &plan.certificate else {
        return Ok(Vec::new());
    };
    let config = certificate.client()?;
    let large = std::slice::from_ref(&world.large);
    let mut rows = Vec::new();
    for (what, paths) in [("1 MiB", world.small.as_slice()), ("100 MiB", large)] {
        let mut row = Row::new(
            format!("blob GET {what}, TLS 1.3"),
            format!(
                "{CONNECTIONS} connections that last, AES-128-GCM, {} different blobs in the page \
                 cache",
                paths.len()
            ),
        );
        let secured: Vec<_> = world
            .peers
            .iter()
            .filter(|peer| peer.tls.is_some())
            .collect();
        for peer in plan.turns(&secured) {
            load(peer, paths, &config, plan.turn / 10)?;
            let (measured, cost) = watched(peer, || load(peer, paths, &config, plan.turn))?;
            add_bytes(&mut row, peer.name(), measured, cost);
        }
        row.check_ratio("MetaHub", "nginx", CPU_PER_GIB, Bound::AtMost(1.15));
        row.tell_ratio("MetaHub", "nginx", THROUGHPUT);
        row.tell_ratio("MetaHub", "docker-registry", CPU_PER_GIB);
        if !secured.iter().any(|peer| peer.kind == Kind::MetaHub) {
            row.notes
                .push("MetaHub was not measured: it has no listener with TLS".to_owned());
        }
        rows.push(row);
    }
    Ok(rows)
}

fn load(
    peer: &Peer,
    paths: &[String],
    config: &Arc<ClientConfig>,
    time: Duration,
) -> Result<Measured> {
    let host = peer
        .tls
        .as_deref()
        .ok_or_else(|| miette!("{} has no TLS", peer.name()))?;
    let token = peer.token(REPOSITORY)?;
    let started = Instant::now();
    let mut sum = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..CONNECTIONS)
            .map(|_| {
                let token = token.clone();
                scope.spawn(move || one(host, token, paths, config, time))
            })
            .collect();
        let mut sum = Measured::default();
        for thread in threads {
            let part = thread
                .join()
                .map_err(|_| miette!("a thread of the client failed"))??;
            sum.requests += part.requests;
            sum.bytes += part.bytes;
            sum.latencies.extend(part.latencies);
        }
        Ok::<_, miette::Report>(sum)
    })?;
    sum.seconds = started.elapsed().as_secs_f64();
    Ok(sum)
}

/// Whole blobs until the time is over.
fn one(
    host: &str,
    token: Option<String>,
    paths: &[String],
    config: &Arc<ClientConfig>,
    time: Duration,
) -> Result<Measured> {
    let mut client = Client::connect_tls(host, token, config)?;
    let mut measured = Measured::default();
    let started = Instant::now();
    for path in paths.iter().cycle() {
        if started.elapsed() >= time {
            break;
        }
        let sent = Instant::now();
        let answer = client.ask("GET", path, Body::Empty, 200)?;
        measured.requests += 1;
        measured.bytes += answer.length;
        measured.latencies.add(sent.elapsed());
    }
    Ok(measured)
}
