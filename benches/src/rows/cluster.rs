//! A cluster starts: a thousand nodes of eight kinds pull one tag at the same moment, each under
//! its own login, through a MetaHub that has nothing yet, from an upstream behind a narrow line.
//! The nodes are one asynchronous program that speaks real HTTP and hashes all that it gets.

use metahub_e2e::fleet;
use metahub_e2e::meter::Meter;
use metahub_e2e::pusher::Pusher;
use miette::{IntoDiagnostic as _, Result, ensure};
use serde_json::Value;

use crate::content::Material;
use crate::hammer::bytes;
use crate::peer::{Kind, Place};
use crate::plan::Plan;
use crate::report::{Bound, OTHERS, P50, P99, Row, Spread, THROUGHPUT};
use crate::watch::watched;
use crate::world::start_one;

const NODES: usize = 1_000;
const REPOSITORY: &str = "bench/cluster";
/// For each kind of node there is a build.
const KINDS: &[&str] = &[
    "x86_64_v2",
    "haswell",
    "skylake_avx512",
    "icelake",
    "zen2",
    "zen3",
    "zen4",
    "zen5",
];

const TIMES: &str = "upstream bytes ×";
const FAILED: &str = "failed";

pub(super) fn measure(plan: &Plan, material: &Material) -> Result<Vec<Row>> {
    let (Some(metahub), Some(registry)) = (
        plan.program(Kind::MetaHub),
        plan.program(Kind::DockerRegistry),
    ) else {
        return Ok(Vec::new());
    };
    let (size, rate) = plan.size((4 << 20, 25e6), (512 << 10, 8e6));
    let folder = plan.folder.join("cluster");
    let upstream = start_one(
        plan,
        Kind::DockerRegistry,
        registry,
        &folder.join("upstream"),
    )?;
    let pusher = Pusher {
        host: &upstream.host,
        repository: REPOSITORY,
        login: None,
    };
    let first = material.content(size, 0);
    let mut images: Vec<(Value, String)> = Vec::new();
    for (seed, kind) in (5_000..).zip(KINDS) {
        let layer: Vec<u8> = first.another(seed).slices().collect::<Vec<_>>().concat();
        images.push((pusher.image(kind, "amd64", &layer), format!("arch:{kind}")));
    }
    let features: Vec<[&str; 1]> = images
        .iter()
        .map(|(_, feature)| [feature.as_str()])
        .collect();
    let entries: Vec<(&Value, &str, &[&str])> = images
        .iter()
        .zip(&features)
        .map(|((image, _), features)| (image, "amd64", features.as_slice()))
        .collect();
    pusher.index("latest", &entries);
    let mut row = Row::new(
        format!("cluster: {NODES} nodes of {} kinds at once", KINDS.len()),
        format!(
            "each pulls an image of {} KiB for its kind, of which MetaHub has nothing, through a \
             line of {:.0} MB/s; latencies are from the start to a node's last byte",
            size >> 10,
            rate / 1e6
        ),
    );
    for round in 0..plan.rounds {
        let folder = folder.join(round.to_string());
        std::fs::create_dir_all(&folder).into_diagnostic()?;
        let meter = Meter::start(&upstream.host, Some(rate));
        let place = Place {
            cores: plan.cores,
            folder: &folder,
            certificate: None,
        };
        let proxy = Kind::MetaHub.start_proxy(metahub, place, meter.host())?;
        let Some(proxy) = proxy else { continue };
        let (started, cost) = watched(&proxy, || {
            Ok(fleet::start(
                &proxy.host,
                REPOSITORY,
                "latest",
                KINDS,
                NODES,
            ))
        })?;
        if let Some((login, error)) = started.failed.first() {
            row.notes.push(format!("a node under {login}: {error}"));
        }
        ensure!(started.bytes > 0, "no node got anything: {:?}", row.notes);
        let name = proxy.name();
        let distinct = KINDS.len() * size;
        let passed = meter.bytes(|path| path.contains("/blobs/"));
        row.add(name, FAILED, bytes(started.failed.len() as u64));
        row.add(name, TIMES, bytes(passed) / bytes(distinct as u64));
        row.add(name, P50, started.percentile(50).as_secs_f64() * 1e3);
        row.add(name, P99, started.percentile(99).as_secs_f64() * 1e3);
        row.add(name, THROUGHPUT, bytes(started.bytes) / cost.seconds / 1e9);
        row.add(name, OTHERS, cost.others);
    }
    let name = Kind::MetaHub.name();
    for (what, figure, bound) in [
        ("nodes that failed", FAILED, 0.0),
        // Configurations are a few hundred bytes beside the layers.
        ("upstream bytes ÷ the distinct content", TIMES, 1.01),
    ] {
        if let Some(found) = Spread::of(row.values(name, figure).iter().copied()) {
            row.check(what, found, Bound::AtMost(bound));
        }
    }
    Ok(vec![row])
}
