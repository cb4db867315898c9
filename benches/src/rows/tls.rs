//! `GET` of blobs over TLS 1.3 with AES-128-GCM: a few connections, a thread each, because the
//! client decrypts as hard as the server encrypts.

use std::sync::Arc;
use std::time::{Duration, Instant};

use miette::{Result, miette};
use rustls::ClientConfig;

use crate::certificate::Certificate;
use crate::client::{Body, Client};
use crate::content::Material;
use crate::hammer::Measured;
use crate::peer::{Kind, Peer, Place};
use crate::plan::Plan;
use crate::report::{Bound, CPU_PER_GIB, Row, THROUGHPUT};
use crate::watch::{add_bytes, watched};
use crate::world::{Image, REPOSITORY, World, start_one};

const CONNECTIONS: usize = 4;

/// A server that speaks TLS.
struct Secured<'a> {
    peer: &'a Peer,
    host: &'a str,
    token: Option<String>,
}

pub(super) fn measure(plan: &Plan, material: &Material, world: &World) -> Result<Vec<Row>> {
    let Some(certificate) = &plan.certificate else {
        return Ok(Vec::new());
    };
    let config = certificate.client()?;
    let metahub = metahub(plan, material, certificate)?;
    let others = world.peers.iter().map(|peer| (peer, None));
    let all = metahub
        .iter()
        .map(|(peer, token)| (peer, token.clone()))
        .chain(others);
    let secured: Vec<_> = all
        .filter_map(|(peer, token)| {
            let host = peer.tls.as_deref()?;
            Some(Secured { peer, host, token })
        })
        .collect();
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
        for server in plan.turns(&secured) {
            load(server, paths, &config, plan.turn / 10)?;
            let (measured, cost) =
                watched(server.peer, || load(server, paths, &config, plan.turn))?;
            add_bytes(&mut row, server.peer.name(), measured, cost);
        }
        row.check_ratio("MetaHub", "nginx", CPU_PER_GIB, Bound::AtMost(1.15));
        row.tell_ratio("MetaHub", "nginx", THROUGHPUT);
        row.tell_ratio("MetaHub", "docker-registry", CPU_PER_GIB);
        rows.push(row);
    }
    Ok(rows)
}

/// A MetaHub with the same content as the world's, and a token of the time when it was filled:
/// then it did not speak TLS yet.
fn metahub(
    plan: &Plan,
    material: &Material,
    certificate: &Certificate,
) -> Result<Option<(Peer, Option<String>)>> {
    let Some(program) = plan.program(Kind::MetaHub) else {
        return Ok(None);
    };
    let folder = plan.folder.join("tls");
    let token = {
        let plain = start_one(plan, Kind::MetaHub, program, &folder)?;
        Image::new(material)?.fill(&plain)?;
        plain.token(REPOSITORY)?
    };
    let place = Place {
        cores: plan.cores,
        folder: &folder,
        certificate: None,
    };
    Ok(Some((
        Peer::start_secured(program, place, certificate)?,
        token,
    )))
}

fn load(
    server: &Secured<'_>,
    paths: &[String],
    config: &Arc<ClientConfig>,
    time: Duration,
) -> Result<Measured> {
    let started = Instant::now();
    let mut sum = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..CONNECTIONS)
            .map(|_| {
                let token = server.token.clone();
                scope.spawn(move || one(server.host, token, paths, config, time))
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
