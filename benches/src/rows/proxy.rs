//! As proxies of one upstream behind a line of a given width: how long one client waits for a
//! large blob that is not here yet, whether 100 clients at once wait longer and what they cost
//! the upstream, and what is kept is served as fast as what was pushed.
//!
//! The upstream is a docker-registry; the line between is this program's own, which counts what
//! passes and lets no more pass in a second than it is told.

use std::path::PathBuf;
use std::time::Instant;

use metahub_e2e::meter::Meter;
use miette::{IntoDiagnostic as _, Result, miette};

use crate::client::{Body, Client};
use crate::content::{Content, Material};
use crate::hammer::{Hammer, Reading, Until, bytes};
use crate::http;
use crate::peer::{Kind, Peer, Place};
use crate::plan::Plan;
use crate::report::{Bound, OTHERS, Row, Spread};
use crate::watch::watched;
use crate::world::{blob_path, start_one};

const REPOSITORY: &str = "bench/proxied";
const LOCAL: &str = "bench/local";
const CLIENTS: usize = 100;
const DIRECT: &str = "direct";

const FIRST_BYTE: &str = "first byte ms";
const TOTAL: &str = "total s";
const ONE: &str = "one, s";
const ALL: &str = "all, s";
const TIMES: &str = "upstream bytes ×";
const MORE_MEMORY: &str = "RSS above idle MiB";
const WARM: &str = "kept GB/s";
const PUSHED: &str = "pushed GB/s";

pub(super) fn measure(plan: &Plan, material: &Material) -> Result<Vec<Row>> {
    let Some(program) = plan.program(Kind::DockerRegistry) else {
        return Ok(Vec::new());
    };
    let size = plan.size(1 << 30, 64 << 20);
    // Wide enough that a server has to keep up; and narrow enough that 100 clients can be fed.
    let (wide, narrow) = plan.size((200e6, 25e6), (100e6, 8e6));
    let upstream_folder = plan.folder.join("proxy/upstream");
    let upstream = start_one(plan, Kind::DockerRegistry, program, &upstream_folder)?;
    let meter = Meter::start(&upstream.host, Some(wide));
    let blobs = Blobs::push(&upstream, material, size, plan.rounds)?;
    let mut proxies = Vec::new();
    for program in &plan.programs {
        proxies.extend(start(plan, &meter, program, "alone")?);
    }
    let small = material.content(1 << 20, 5_000);
    upstream.connect(REPOSITORY)?.push(REPOSITORY, &small)?;
    for proxy in &proxies {
        // The first answer of a program is slower than all others.
        timed(
            &mut proxy.connect(REPOSITORY)?,
            &blob_path(REPOSITORY, &small.digest()),
        )?;
    }
    Ok(vec![
        cold(&meter, &proxies, &blobs, wide)?,
        warm(plan, material, &proxies, &blobs)?,
        crowd(plan, &meter, &blobs, narrow)?,
    ])
}

/// A proxy that has nothing yet, if servers of that kind can be one.
fn start(
    plan: &Plan,
    meter: &Meter,
    (kind, program): &(Kind, PathBuf),
    what: &str,
) -> Result<Option<Peer>> {
    let folder = plan.folder.join("proxy").join(what).join(kind.name());
    std::fs::create_dir_all(&folder).into_diagnostic()?;
    let place = Place {
        cores: plan.cores,
        folder: &folder,
        certificate: None,
    };
    kind.start_proxy(program, place, meter.host())
}

/// What the upstream has: for each round one blob for one client, and two for the crowd.
struct Blobs<'a> {
    size: usize,
    alone: Vec<Content<'a>>,
    before_crowd: Vec<Content<'a>>,
    crowd: Vec<Content<'a>>,
}

impl<'a> Blobs<'a> {
    fn push(upstream: &Peer, material: &'a Material, size: usize, rounds: usize) -> Result<Self> {
        let first = material.content(size, 0);
        let mut client = upstream.connect(REPOSITORY)?;
        let mut make = |from: u64| {
            (from..)
                .take(rounds)
                .map(|seed| {
                    let blob = first.another(seed);
                    client.push(REPOSITORY, &blob).map(|_| blob)
                })
                .collect::<Result<Vec<_>>>()
        };
        Ok(Self {
            size,
            alone: make(1_000)?,
            before_crowd: make(2_000)?,
            crowd: make(3_000)?,
        })
    }

    fn mebibytes(&self) -> usize {
        self.size >> 20
    }
}

/// One client, and nothing kept.
fn cold(meter: &Meter, proxies: &[Peer], blobs: &Blobs<'_>, rate: f64) -> Result<Row> {
    meter.set_rate(Some(rate));
    let mut row = Row::new(
        format!(
            "proxy: {} MiB that only the upstream has, one client",
            blobs.mebibytes()
        ),
        format!(
            "through a line of {:.0} MB/s; direct is the same client on the line itself",
            rate / 1e6
        ),
    );
    for blob in &blobs.alone {
        let path = blob_path(REPOSITORY, &blob.digest());
        let mut direct = Client::connect(meter.host(), None)?;
        let (first, total) = timed(&mut direct, &path)?;
        row.add(DIRECT, FIRST_BYTE, first * 1e3);
        row.add(DIRECT, TOTAL, total);
        for proxy in proxies {
            let mut client = proxy.connect(REPOSITORY)?;
            let ((first, total), cost) = watched(proxy, || timed(&mut client, &path))?;
            row.add(proxy.name(), FIRST_BYTE, first * 1e3);
            row.add(proxy.name(), TOTAL, total);
            row.add(proxy.name(), OTHERS, cost.others);
        }
    }
    let ours = Kind::MetaHub.name();
    row.check_ratio(ours, DIRECT, FIRST_BYTE, Bound::AtMost(1.5));
    row.check_ratio(ours, DIRECT, TOTAL, Bound::AtMost(1.1));
    for proxy in proxies.iter().filter(|proxy| !proxy.kind.is_ours()) {
        row.tell_ratio(proxy.name(), DIRECT, FIRST_BYTE);
        row.tell_ratio(proxy.name(), DIRECT, TOTAL);
    }
    Ok(row)
}

/// Seconds to the first byte of the body, and to the last.
fn timed(client: &mut Client, path: &str) -> Result<(f64, f64)> {
    let started = Instant::now();
    let mut first = None;
    client.ask_for("GET", path, Body::Empty, 200, &mut |part| {
        if !part.is_empty() {
            first.get_or_insert_with(|| started.elapsed().as_secs_f64());
        }
    })?;
    let first = first.ok_or_else(|| miette!("an empty answer"))?;
    Ok((first, started.elapsed().as_secs_f64()))
}

/// Many clients at once on the same blob, and nothing kept.
fn crowd(plan: &Plan, meter: &Meter, blobs: &Blobs<'_>, rate: f64) -> Result<Row> {
    meter.set_rate(Some(rate));
    let mut row = Row::new(
        format!(
            "proxy: {} MiB that only the upstream has, {CLIENTS} clients at once",
            blobs.mebibytes()
        ),
        format!(
            "through a line of {:.0} MB/s; one is one client alone on another such blob; whoever \
             has not served all after a minute is stopped",
            rate / 1e6
        ),
    );
    // Each has a process of its own: whoever was stopped fetches on, and would take the line from
    // those that come next.
    for (round, (alone, together)) in blobs.before_crowd.iter().zip(&blobs.crowd).enumerate() {
        for program in &plan.programs {
            let Some(proxy) = start(plan, meter, program, &format!("crowd-{round}"))? else {
                continue;
            };
            let (name, token) = (proxy.name(), proxy.token(REPOSITORY)?);
            let load = |blob: &Content<'_>, connections| {
                let path = blob_path(REPOSITORY, &blob.digest());
                let requests = [http::get(&proxy.host, &path, token.as_deref())];
                let load = Hammer {
                    host: &proxy.host,
                    requests: &requests,
                    connections,
                    reading: Reading::Discard,
                    pace: None,
                };
                load.run(Until::Answered(connections))
            };
            let one = load(alone, 1);
            let idle = proxy.memory()?.resident;
            proxy.forget_peak()?;
            let path = blob_path(REPOSITORY, &together.digest());
            let (all, cost) = watched(&proxy, || Ok(load(together, CLIENTS)))?;
            let passed = meter.bytes(|passed| passed == path);
            row.add(name, TIMES, bytes(passed) / bytes(blobs.size as u64));
            row.add(name, MORE_MEMORY, (proxy.memory()?.peak - idle).max(0.0));
            row.add(name, OTHERS, cost.others);
            for (what, clients, found) in [(ONE, "one client", one), (ALL, "all clients", all)] {
                match found {
                    Ok(found) => row.add(name, what, found.seconds),
                    Err(error) => {
                        let problem = error.root_cause();
                        row.notes.push(format!("{name}, {clients}: {problem}"));
                    }
                }
            }
        }
    }
    for (kind, _) in &plan.programs {
        let name = kind.name();
        let pairs = row.values(name, ALL).iter().zip(row.values(name, ONE));
        let slower = Spread::of(pairs.map(|(all, one)| all / one));
        let times = Spread::of(row.values(name, TIMES).iter().copied());
        let memory = Spread::of(row.values(name, MORE_MEMORY).iter().copied());
        for (what, found, bound) in [
            ("time of all ÷ of one", slower, 1.2),
            ("upstream bytes ÷ the blob's", times, 1.0),
            ("RSS above idle, MiB", memory, 64.0),
        ] {
            let Some(found) = found else { continue };
            let what = format!("{what}, {name}");
            if *kind == Kind::MetaHub {
                row.check(what, found, Bound::AtMost(bound));
            } else {
                row.tell(what, found);
            }
        }
    }
    Ok(row)
}

/// What is kept, beside what was pushed into the same server.
fn warm(plan: &Plan, material: &Material, proxies: &[Peer], blobs: &Blobs<'_>) -> Result<Row> {
    let mut row = Row::new(
        format!(
            "proxy: {} MiB that are kept, beside pushed ones",
            blobs.mebibytes()
        ),
        "4 clients whose kernel drops what arrives; the same blob pushed into another repository",
    );
    let Some(ours) = proxies.iter().find(|proxy| proxy.kind == Kind::MetaHub) else {
        return Ok(row);
    };
    let local = material.content(blobs.size, 4_000);
    ours.connect(LOCAL)?.push(LOCAL, &local)?;
    for kept in &blobs.alone {
        for (repository, blob, what) in [(REPOSITORY, kept, WARM), (LOCAL, &local, PUSHED)] {
            let token = ours.token(repository)?;
            let path = blob_path(repository, &blob.digest());
            let requests = [http::get(&ours.host, &path, token.as_deref())];
            let load = Hammer {
                host: &ours.host,
                requests: &requests,
                connections: 4,
                reading: Reading::Discard,
                pace: None,
            };
            let (found, cost) = watched(ours, || load.run(Until::Passed(plan.turn)))?;
            row.add(ours.name(), what, found.gigabytes_a_second());
            row.add(ours.name(), OTHERS, cost.others);
        }
    }
    let name = ours.name();
    let pairs = row.values(name, WARM).iter().zip(row.values(name, PUSHED));
    if let Some(ratio) = Spread::of(pairs.map(|(kept, pushed)| kept / pushed)) {
        row.check("GB/s, kept ÷ pushed", ratio, Bound::AtLeast(0.95));
    }
    Ok(row)
}
