//! Resident memory of a server that has just started, and of one that is pulled from and pushed
//! to by many at once.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use miette::{Result, miette};

use crate::client::{Body, Client};
use crate::content::{Content, Material};
use crate::hammer::{Hammer, Until};
use crate::http;
use crate::peer::{Kind, Peer};
use crate::plan::Plan;
use crate::report::{Bound, OWN, PEAK, RESIDENT, Row, SECONDS, Spread};
use crate::watch::watched;
use crate::world::{blob_path, config, fill, manifest, start_all};

const REPOSITORY: &str = "bench/memory";
const PULLS: usize = 64;
const PUSHES: u64 = 16;
/// Between two looks at what is resident.
const LOOK: Duration = Duration::from_millis(20);
/// The most of it that is no mapped file, as far as looking at it has shown.
const PEAK_OWN: &str = "peak anon MiB";

pub(super) fn measure(plan: &Plan, material: &Material) -> Result<Vec<Row>> {
    let size = plan.size(100 << 20, 25 << 20);
    let mut row = Row::new(
        format!(
            "resident memory, {PULLS} pulls and {PUSHES} pushes of {} MiB",
            size >> 20
        ),
        "VmRSS and RssAnon of a server just started that has answered one request, and the most \
         of them (VmHWM) from the first to the last of the pushes, with pulls all the while",
    );
    let first = material.content(size, 0);
    let pulled: Vec<_> = (0..4).map(|seed| first.another(seed)).collect();
    let config = config();
    let manifest = manifest(&config, &[&first])?;
    let peers = start_all(plan, "memory", &Kind::REGISTRIES)?;
    for peer in &peers {
        Client::connect(&peer.host, peer.basic())?.ask("GET", "/v2/", Body::Empty, 200)?;
        let idle = peer.memory()?;
        row.add(peer.name(), RESIDENT, idle.resident);
        row.add(peer.name(), OWN, idle.own);
        fill(peer, REPOSITORY, "latest", &config, &manifest, &pulled)?;
    }
    for (round, peer) in (1..).zip(plan.turns(&peers)) {
        let pushed: Vec<_> = (0..PUSHES)
            .map(|seed| first.another(round * 100 + seed))
            .collect();
        peer.forget_peak()?;
        let (own, cost) = watched(peer, || load(peer, &pulled, &pushed))?;
        row.add(peer.name(), PEAK, peer.memory()?.peak);
        row.add(peer.name(), PEAK_OWN, own);
        row.add(peer.name(), SECONDS, cost.seconds);
    }
    for (what, name, most) in [("idle", RESIDENT, 25.0), ("under load", PEAK, 100.0)] {
        if let Some(found) = Spread::of(row.values("MetaHub", name).iter().copied()) {
            row.check(format!("MiB resident, {what}"), found, Bound::AtMost(most));
        }
    }
    let program = plan
        .program(Kind::MetaHub)
        .and_then(|program| std::fs::metadata(program).ok());
    if let Some(program) = program {
        let size = crate::hammer::bytes(program.len()) / f64::from(1 << 20);
        row.check(
            "MiB of the program",
            Spread::only(size),
            Bound::AtMost(25.0),
        );
    }
    Ok(vec![row])
}

/// Pushes all at once, with pulls until the last push has ended; the most anonymous memory seen.
fn load(peer: &Peer, pulled: &[Content<'_>], pushed: &[Content<'_>]) -> Result<f64> {
    let token = peer.token(REPOSITORY)?;
    let requests: Vec<_> = pulled
        .iter()
        .map(|blob| {
            http::get(
                &peer.host,
                &blob_path(REPOSITORY, &blob.digest()),
                token.as_deref(),
            )
        })
        .collect();
    let pulls = Hammer::copying(&peer.host, &requests, PULLS);
    let done = AtomicBool::new(false);
    let failed = || miette!("a thread of the client failed");
    thread::scope(|scope| {
        let pushing: Vec<_> = pushed
            .iter()
            .map(|blob| scope.spawn(|| peer.connect(REPOSITORY)?.push_streamed(REPOSITORY, blob)))
            .collect();
        let pulling = scope.spawn(|| {
            while !done.load(Ordering::Acquire) {
                pulls.run(Until::Answered(PULLS))?;
            }
            Ok::<_, miette::Report>(())
        });
        let looking = scope.spawn(|| {
            let mut most = 0.0;
            while !done.load(Ordering::Acquire) {
                most = peer.memory()?.own.max(most);
                thread::park_timeout(LOOK);
            }
            Ok::<_, miette::Report>(most)
        });
        // All end before any of them is asked how: a failure must not leave the others running.
        let pushes: Vec<_> = pushing
            .into_iter()
            .map(thread::ScopedJoinHandle::join)
            .collect();
        done.store(true, Ordering::Release);
        pulling.join().map_err(|_| failed())??;
        for push in pushes {
            push.map_err(|_| failed())??;
        }
        looking.join().map_err(|_| failed())?
    })
}
