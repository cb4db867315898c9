//! 64 clients read blobs that are on the disk but not in memory, while somebody else asks for a
//! manifest 500 times a second: who waits for a disk is to hold up nobody else.

use std::fs::File;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use miette::{IntoDiagnostic as _, Result, miette};
use rustix::fs::{Advice, fadvise};
use rustix::process::{getpriority_process, setpriority_process};

use crate::client::{Body, Client};
use crate::content::{Content, Material};
use crate::hammer::{Hammer, Measured, Reading, Until};
use crate::http;
use crate::latency::Latencies;
use crate::peer::{Kind, Peer};
use crate::plan::Plan;
use crate::report::{Bound, CPU_PER_GIB, OTHERS, Row, Spread, THROUGHPUT};
use crate::watch::watched;
use crate::world::{blob_path, config, fill, manifest, start_all};

const REPOSITORY: &str = "bench/cold";
const CLIENTS: usize = 64;
/// Between two probes.
const PACE: Duration = Duration::from_millis(2);
/// Files below this are not the blobs, and may stay in memory.
const BLOBS_ARE_LARGER: u64 = 256 << 10;

/// Of all clients together when they are paced, in bytes a second: what any server can give
/// without being busy, so that only waiting for the disk could hold others up.
const PACED: f64 = 250e6;

const IDLE: &str = "idle p99 ms";
const COLD: &str = "cold p99 ms";
const WARM: &str = "warm p99 ms";
const COLD_PACED: &str = "cold, paced p99 ms";
const READ: &str = "MiB from disk";

pub(super) fn measure(plan: &Plan, material: &Material) -> Result<Vec<Row>> {
    let size = plan.size(16 << 20, 4 << 20);
    let mut row = Row::new(
        format!(
            "blob GET {} MiB, cold page cache, {CLIENTS} clients",
            size >> 20
        ),
        format!(
            "{CLIENTS} different blobs, evicted with posix_fadvise, read once each (the client's \
             kernel drops them); meanwhile a manifest is asked for every {PACE:?}, as it is before \
             (idle), while the same blobs are read again (warm), and when all clients together \
             take no more than {:.0} MB/s (cold, paced)",
            PACED / 1e6
        ),
    );
    let first = material.content(size, 0);
    let blobs: Vec<Content<'_>> = (0..CLIENTS as u64)
        .map(|seed| first.another(seed))
        .collect();
    let config = config();
    let manifest = manifest(&config, &[&first])?;
    let peers = start_all(plan, "cold", &Kind::ALL)?;
    for peer in &peers {
        fill(peer, REPOSITORY, "latest", &config, &manifest, &blobs)?;
    }
    for peer in plan.turns(&peers) {
        turn(plan, peer, &blobs, &mut row)?;
    }
    for peer in &peers {
        for (what, name) in [("cold", COLD), ("cold, paced", COLD_PACED)] {
            let idle = row.values(peer.name(), IDLE).iter();
            let pairs = idle.zip(row.values(peer.name(), name));
            let Some(ratio) = Spread::of(pairs.map(|(idle, cold)| cold / idle)) else {
                continue;
            };
            let what = format!("p99 of the manifest, {what} ÷ idle, {}", peer.name());
            if peer.kind == Kind::MetaHub {
                row.check(what, ratio, Bound::AtMost(3.0));
            } else {
                row.tell(what, ratio);
            }
        }
    }
    Ok(vec![row])
}

fn turn(plan: &Plan, peer: &Peer, blobs: &[Content<'_>], row: &mut Row) -> Result<()> {
    let token = peer.token(REPOSITORY)?;
    let requests: Vec<_> = blobs
        .iter()
        .map(|blob| {
            http::get(
                &peer.host,
                &blob_path(REPOSITORY, &blob.digest()),
                token.as_deref(),
            )
        })
        .collect();
    let flat_out = Hammer {
        host: &peer.host,
        requests: &requests,
        connections: CLIENTS,
        reading: Reading::Discard,
        pace: None,
    };
    let paced = Hammer {
        pace: Some(PACED),
        ..flat_out
    };
    let idle = probes_while(peer, &token, || {
        // Nothing is done, so nobody announces its end.
        thread::park_timeout(plan.turn);
        Ok(Measured::default())
    })?;
    let pull = |load: Hammer<'_>| {
        watched(peer, || {
            probes_while(peer, &token, || load.run(Until::Answered(CLIENTS)))
        })
    };
    evict(&peer.content)?;
    let read = peer.read_from_disk()?;
    let (cold, cost) = pull(flat_out)?;
    let read = peer.read_from_disk()? - read;
    let (warm, _) = pull(flat_out)?;
    evict(&peer.content)?;
    let (cold_paced, cost_paced) = pull(paced)?;
    let name = peer.name();
    row.add(name, THROUGHPUT, cold.1.gigabytes_a_second());
    row.add(name, CPU_PER_GIB, cost.cpu / cold.1.gibibytes());
    row.add(name, READ, read / f64::from(1 << 20));
    for (what, (mut latencies, _)) in [
        (IDLE, idle),
        (COLD, cold),
        (WARM, warm),
        (COLD_PACED, cold_paced),
    ] {
        let p99 = latencies.percentile(99);
        row.add(
            name,
            what,
            p99.ok_or_else(|| miette!("no probe was answered"))?,
        );
    }
    row.add(name, OTHERS, cost.others.max(cost_paced.others));
    Ok(())
}

/// Asks for the manifest at a steady pace while `work` is done on a thread that steps aside.
fn probes_while(
    peer: &Peer,
    token: &Option<String>,
    work: impl FnOnce() -> Result<Measured> + Send,
) -> Result<(Latencies, Measured)> {
    let mut client = Client::connect(&peer.host, token.clone())?;
    let path = format!("/v2/{REPOSITORY}/manifests/latest");
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let working = scope.spawn(|| {
            let result = step_aside().and_then(|()| work());
            done.store(true, Ordering::Release);
            result
        });
        let mut latencies = Latencies::default();
        while !done.load(Ordering::Acquire) {
            let sent = Instant::now();
            client.ask("GET", &path, Body::Empty, 200)?;
            let took = sent.elapsed();
            latencies.add(took);
            thread::park_timeout(PACE.saturating_sub(took));
        }
        let measured = working
            .join()
            .map_err(|_| miette!("a thread of the client failed"))??;
        Ok((latencies, measured))
    })
}

/// Lets the probes' thread go first: it shares a core with this one, which is not to hold it up.
fn step_aside() -> Result<()> {
    let now = getpriority_process(None).into_diagnostic()?;
    setpriority_process(None, (now + 10).min(19)).into_diagnostic()
}

/// Has the kernel forget every large file below a folder.
fn evict(folder: &Path) -> Result<()> {
    for entry in std::fs::read_dir(folder).into_diagnostic()? {
        let entry = entry.into_diagnostic()?;
        let kind = entry.file_type().into_diagnostic()?;
        if kind.is_dir() {
            evict(&entry.path())?;
        } else if entry
            .metadata()
            .is_ok_and(|file| file.len() >= BLOBS_ARE_LARGER)
        {
            let file = File::open(entry.path()).into_diagnostic()?;
            // What is not on the disk yet cannot be forgotten.
            file.sync_all().into_diagnostic()?;
            fadvise(&file, 0, None, Advice::DontNeed).into_diagnostic()?;
        }
    }
    Ok(())
}
