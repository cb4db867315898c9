//! One blob of 1 GiB in one stream, until the server says that it has it, beside what the
//! machine can do at all: hash on one core, and write to the disk and sync.

use std::fs::File;
use std::hint::black_box;
use std::io::Write as _;
use std::path::Path;
use std::time::Instant;

use miette::{IntoDiagnostic as _, Result};
use rustix::fs::syncfs;
use sha2::{Digest as _, Sha256};

use crate::content::{Content, Material};
use crate::hammer::count;
use crate::peer::Kind;
use crate::plan::Plan;
use crate::report::{Bound, CPU_PER_GIB, OTHERS, PEAK, Row, SECONDS, Spread};
use crate::watch::watched;
use crate::world::start_all;

const REPOSITORY: &str = "bench/push";
const SPEED: &str = "MB/s";
/// Until the server's file system has nothing left to write.
const DURABLE_SPEED: &str = "MB/s, synced";
const HASH: &str = "SHA-256 on the client's core";
const DISK: &str = "file written and synced";

pub(super) fn measure(plan: &Plan, material: &Material) -> Result<Vec<Row>> {
    let size = plan.size(1 << 30, 256 << 20);
    let mut row = Row::new(
        format!("push {} MiB, one stream", size >> 20),
        "POST, one PATCH with everything, PUT; until the answer, and until syncfs after it has \
         ended",
    );
    let first = material.content(size, 0);
    let peers = start_all(plan, "push", &Kind::REGISTRIES)?;
    let megabytes = count(size) / 1e6;
    for (turn, peer) in (1..).zip(plan.turns(&peers)) {
        let blob = first.another(turn);
        let disk = File::open(&plan.folder).into_diagnostic()?;
        // What earlier rounds left to write is not this round's.
        syncfs(&disk).into_diagnostic()?;
        peer.forget_peak()?;
        let mut client = peer.connect(REPOSITORY)?;
        let ((), cost) = watched(peer, || client.push_streamed(REPOSITORY, &blob))?;
        let started = Instant::now();
        syncfs(&disk).into_diagnostic()?;
        let durable = cost.seconds + started.elapsed().as_secs_f64();
        let name = peer.name();
        row.add(name, SPEED, megabytes / cost.seconds);
        row.add(name, DURABLE_SPEED, megabytes / durable);
        row.add(name, SECONDS, cost.seconds);
        row.add(
            name,
            CPU_PER_GIB,
            cost.cpu / (count(size) / f64::from(1 << 30)),
        );
        row.add(name, PEAK, peer.memory()?.peak);
        row.add(name, OTHERS, cost.others);
        if peer.kind == Kind::MetaHub {
            row.add(HASH, SPEED, megabytes / hash(&blob));
            row.add(DISK, SPEED, megabytes / write(&plan.folder, &blob)?);
        }
    }
    row.check_ratio("MetaHub", "docker-registry", SPEED, Bound::AtLeast(2.0));
    row.tell_ratio("MetaHub", "docker-registry", DURABLE_SPEED);
    row.check_ratio("MetaHub", "zot", SPEED, Bound::AtLeast(1.0));
    let rounds = row.values("MetaHub", SPEED).iter();
    let limits = row.values(HASH, SPEED).iter().zip(row.values(DISK, SPEED));
    let shares: Vec<_> = rounds
        .zip(limits)
        .map(|(ours, (hash, disk))| ours / hash.min(*disk))
        .collect();
    if let Some(share) = Spread::of(shares) {
        let what = "MB/s, MetaHub ÷ the slower of hashing and the synced write";
        row.check(what, share, Bound::AtLeast(0.7));
    }
    Ok(vec![row])
}

/// Seconds to hash it.
fn hash(blob: &Content<'_>) -> f64 {
    let started = Instant::now();
    let mut hash = Sha256::new();
    blob.slices().for_each(|slice| hash.update(slice));
    black_box(hash.finalize());
    started.elapsed().as_secs_f64()
}

/// Seconds to write it to a new file and sync that.
fn write(folder: &Path, blob: &Content<'_>) -> Result<f64> {
    let path = folder.join("written");
    let started = Instant::now();
    let mut file = File::create(&path).into_diagnostic()?;
    for slice in blob.slices() {
        file.write_all(slice).into_diagnostic()?;
    }
    file.sync_all().into_diagnostic()?;
    let seconds = started.elapsed().as_secs_f64();
    std::fs::remove_file(&path).into_diagnostic()?;
    Ok(seconds)
}
