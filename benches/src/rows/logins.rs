//! A million logins, no two alike: what they leave behind in a server that tells each of them which
//! image it gets.

use std::path::Path;

use metahub_e2e::http::basic;
use metahub_e2e::pusher::Pusher;
use miette::{Result, miette};

use super::documents;
use crate::client::Client;
use crate::hammer::{Hammer, Until, bytes};
use crate::http;
use crate::peer::{Kind, Peer};
use crate::plan::Plan;
use crate::report::{Bound, OWN, RESIDENT, Row, SECONDS, Spread};
use crate::watch::{add_requests, watched};

const CONNECTIONS: usize = 32;
const REPOSITORY: &str = "bench/logins";
/// Logins at a time.
const PART: usize = 25_000;
const FIRST: &str = "MetaHub, after the first 25,000";
const ALL: &str = "MetaHub, after all";

pub(super) fn measure(plan: &Plan) -> Result<Vec<Row>> {
    let Some(program) = plan.program(Kind::MetaHub) else {
        return Ok(Vec::new());
    };
    let count = plan.size(1_000_000, 50_000);
    let peer = documents::start(plan, program, &plan.folder.join("logins"), None::<&Path>)?;
    let pusher = Pusher {
        host: &peer.host,
        repository: REPOSITORY,
        login: peer.login(),
    };
    let _ = pusher.builds();
    let path = format!("/v2/{REPOSITORY}/manifests/1");
    let mut row = Row::new(
        format!("{count} logins, no two alike, on one tag"),
        format!(
            "{CONNECTIONS} connections, a login of hardware and an invented feature with every \
             request, no account; an index of four builds"
        ),
    );
    for first in (0..count).step_by(PART) {
        let requests: Vec<Vec<u8>> = (first..first + PART)
            .map(|number| http::get(&peer.host, &path, Some(&basic(&user(number), ""))))
            .collect();
        let load = Hammer::copying(&peer.host, &requests, CONNECTIONS);
        let (measured, cost) = watched(&peer, || load.run(Until::Answered(PART)))?;
        let name = if first == 0 { FIRST } else { ALL };
        row.add(name, SECONDS, cost.seconds);
        add_requests(&mut row, name, measured, cost);
        if first == 0 || first + PART >= count {
            let memory = peer.memory()?;
            row.add(name, RESIDENT, memory.resident);
            row.add(name, OWN, memory.own);
        }
    }
    let grown = row
        .values(ALL, RESIDENT)
        .iter()
        .zip(row.values(FIRST, RESIDENT));
    if let Some(grown) = Spread::of(grown.map(|(all, first)| all - first)) {
        row.check(
            "MiB resident more than after the first",
            grown,
            Bound::AtMost(64.0),
        );
    }
    let made = bytes(made(&peer)?);
    row.check(
        "records of derived content that were made",
        Spread::only(made),
        Bound::AtMost(8.0),
    );
    Ok(vec![row])
}

/// Three kinds of machines, with features that no image asks for.
fn user(number: usize) -> String {
    match number % 4 {
        0 => format!("zen3+site=x{number}"),
        1 => format!("zen3+cuda=12.4.{number}"),
        2 => format!("zen2+invented{number}=1"),
        _ => format!("icelake+driver=550.{number}"),
    }
}

/// How often something was derived that was not there, by the server's own count.
fn made(peer: &Peer) -> Result<u64> {
    let text = Client::connect(&peer.host, peer.basic())?.text("/metrics")?;
    let line = text
        .lines()
        .find(|line| line.starts_with("metahub_derivations") && line.contains("made"));
    let number = line.and_then(|line| line.rsplit(' ').next()?.parse().ok());
    number.ok_or_else(|| miette!("/metrics of {} tells of no derivations", peer.name()))
}
