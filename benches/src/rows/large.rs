//! A MetaHub with very many manifests and tags beside one with few: how soon it serves, how fast
//! it answers, and whether the last page of tags costs more than the first.

use std::time::Instant;

use miette::{Result, miette};

use super::large_store::{Filled, Sizes, repository, tag};
use crate::client::{Body, Client};
use crate::hammer::{Hammer, Until};
use crate::http;
use crate::latency::Latencies;
use crate::peer::Peer;
use crate::plan::Plan;
use crate::report::{Bound, OWN, P50, RATE, RESIDENT, Row, Spread};
use crate::watch::{add_requests, watched};

const FEW: Sizes = Sizes {
    repositories: 1,
    manifests: 1_000,
    tags: 10_000,
};
const CONNECTIONS: usize = 32;
/// Tags on a page.
const PAGE: usize = 100;
/// Requests for each page.
const ASKED: usize = 200;
/// Until the first answer.
const START: &str = "start s";

const OF_FEW: &str = "1,000 manifests";
const HOT: &str = "1,000 of many manifests";
const SPREAD: &str = "all tags of many manifests";

pub(super) fn measure(plan: &Plan) -> Result<Vec<Row>> {
    let full = Sizes {
        repositories: 1_000,
        manifests: 1_000_000,
        tags: 100_000,
    };
    let tenth = Sizes {
        repositories: 100,
        manifests: 100_000,
        tags: 10_000,
    };
    let many = Filled::get(plan, plan.size(full, tenth))?;
    let few = Filled::get(plan, FEW)?;
    let sizes = many.sizes;
    let mut row = Row::new(
        format!(
            "{} manifests, {} tags in {} repositories",
            sizes.manifests, sizes.tags, sizes.repositories
        ),
        format!(
            "from the start of the process to its first answer; manifest GET by tag over \
             {CONNECTIONS} connections, 1,000 manifests in turn or all tags in turn; pages of \
             {PAGE} tags of the first repository, which has {}",
            sizes.tags_of(0)
        ),
    );
    for _ in 0..plan.rounds {
        for (name, filled) in [(OF_FEW, &few), (HOT, &many)] {
            let started = Instant::now();
            let peer = filled.start(plan)?;
            Client::connect(&peer.host, peer.basic())?.ask("GET", "/v2/", Body::Empty, 200)?;
            row.add(name, START, started.elapsed().as_secs_f64());
        }
    }
    rates(plan, &mut row, &few, &many)?;
    pages(plan, &mut row, &many)?;
    if let Some(start) = Spread::of(row.values(HOT, START).iter().copied()) {
        row.check("seconds to start", start, Bound::AtMost(1.0));
    }
    row.check_ratio(HOT, OF_FEW, RATE, Bound::AtLeast(0.9));
    row.check_ratio(SPREAD, OF_FEW, RATE, Bound::AtLeast(0.9));
    row.tell(
        "manifest pushes in a second when it was filled",
        crate::report::number(many.rate),
    );
    Ok(vec![row])
}

fn rates(plan: &Plan, row: &mut Row, few: &Filled, many: &Filled) -> Result<()> {
    let servers = [few.start(plan)?, many.start(plan)?];
    let [of_few, of_many] = &servers;
    let all: Vec<_> = (0..many.sizes.repositories)
        .flat_map(|repository| {
            (0..many.sizes.tags_of(repository)).map(move |tag| (repository, tag))
        })
        .collect();
    let first = |count: usize| (0..count).map(|tag| (0, tag)).collect::<Vec<_>>();
    let loads = [
        (OF_FEW, of_few, gets(of_few, &first(1_000))?),
        (HOT, of_many, gets(of_many, &first(1_000))?),
        (SPREAD, of_many, gets(of_many, &shuffled(all))?),
    ];
    for (name, peer, requests) in plan.turns(&loads) {
        let load = Hammer::copying(&peer.host, requests, CONNECTIONS);
        load.run(Until::Passed(plan.turn / 5))?;
        let (measured, cost) = watched(peer, || load.run(Until::Passed(plan.turn)))?;
        add_requests(row, name, measured, cost);
        let memory = peer.memory()?;
        row.add(name, RESIDENT, memory.resident);
        row.add(name, OWN, memory.own);
    }
    Ok(())
}

/// Requests for manifests by (repository, tag), with a token for each repository.
fn gets(peer: &Peer, which: &[(usize, usize)]) -> Result<Vec<Vec<u8>>> {
    let most = which
        .iter()
        .map(|(repository, _)| *repository)
        .max()
        .unwrap_or(0);
    let tokens: Vec<_> = (0..=most)
        .map(|number| peer.token(&repository(number)))
        .collect::<Result<_>>()?;
    let requests = which.iter().map(|(number, wanted)| {
        let path = format!("/v2/{}/manifests/{}", repository(*number), tag(*wanted));
        let token = tokens.get(*number).and_then(Option::as_deref);
        http::get(&peer.host, &path, token)
    });
    Ok(requests.collect())
}

/// The same order every time, with no neighbours left together.
fn shuffled<T>(mut all: Vec<T>) -> Vec<T> {
    let mut state = 1u64;
    for last in (1..all.len()).rev() {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let other = usize::try_from(state >> 33).unwrap_or(0) % (last + 1);
        all.swap(last, other);
    }
    all
}

fn pages(plan: &Plan, row: &mut Row, many: &Filled) -> Result<()> {
    let peer = many.start(plan)?;
    let name = repository(0);
    let mut client = peer.connect(&name)?;
    let tags = many.sizes.tags_of(0);
    let offsets = [0, tags / 4, tags / 2, tags - PAGE];
    let line = |offset: usize| format!("page of tags from {offset}");
    for _ in 0..plan.rounds {
        for offset in offsets {
            let after = offset
                .checked_sub(1)
                .map(|last| format!("&last={}", tag(last)));
            let path = format!("/v2/{name}/tags/list?n={PAGE}{}", after.unwrap_or_default());
            let mut latencies = Latencies::default();
            for _ in 0..ASKED {
                let sent = Instant::now();
                client.ask("GET", &path, Body::Empty, 200)?;
                latencies.add(sent.elapsed());
            }
            let p50 = latencies
                .percentile(50)
                .ok_or_else(|| miette!("no page was answered"))?;
            row.add(&line(offset), P50, p50);
        }
    }
    for offset in offsets.into_iter().skip(1) {
        if let Some(ratio) = row.ratio(&line(offset), &line(0), P50) {
            row.check(
                format!("{P50}, page from {offset} ÷ first"),
                ratio,
                Bound::AtMost(1.5),
            );
        }
    }
    Ok(())
}
