//! How long it takes to narrow an index of 1,000 entries to what a login gets, with every
//! explanation made: by hardware, and by a filter. Fails when the choice by hardware takes
//! longer than the design's bound of 200 µs for the median.
#![expect(
    clippy::print_stdout,
    reason = "a benchmark reports on standard output"
)]

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use metahub_catalog::{Catalog, Composed};
use metahub_hardware::Microarchitectures;
use metahub_oci::{Descriptor, Digest, Document, Index, MediaType, Platform};
use metahub_resolve::{IMAGE, narrow};

const ENTRIES: usize = 1_000;
const BOUND: Duration = Duration::from_micros(200);

type Failure = Box<dyn std::error::Error>;

/// What a machine of another kind would never look at is left out quickly, so there is an index
/// of all kinds, and one whose entries are all for the machine that asks.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Entries {
    OfAllFamilies,
    OfOneFamily,
}

/// Entries for every target in turn, each with the image that it points to and more requirements.
fn index(which: Entries) -> Result<Index, Failure> {
    let graph = Microarchitectures::builtin();
    let cuda = ["cuda:12.4", "cuda:11.8", "cc:8.0+ptx"];
    let mpi = [
        "mpi:mpich",
        "mpi:openmpi",
        "glibc:2.17",
        "libfabric:1.15",
        "site:blue",
    ];
    let targets = graph.iter().filter(|known| {
        which == Entries::OfAllFamilies || graph.family(known.target()).as_str() == "x86_64"
    });
    let targets: Vec<_> = targets.collect();
    let mut entries = Vec::with_capacity(ENTRIES);
    for (at, known) in targets.iter().cycle().take(ENTRIES).enumerate() {
        let of = graph.oci_platform(known.target());
        let mut features = vec![format!("arch:{}", known.target())];
        features.extend(cuda.get(at % 7).map(ToString::to_string));
        features.extend(mpi.get(at % 11).map(ToString::to_string));
        let platform = Platform {
            features,
            ..Platform::new(of.os, &of.architecture)
        };
        let digest = Digest::sha256(at.to_string().as_bytes());
        let entry = Descriptor::new(MediaType::oci_manifest(), digest, 1234);
        let mut json = entry.with_platform(&platform).as_json().clone();
        let image = format!("registry.example.org/site/solver:1.10-{at}");
        json.insert("annotations".into(), serde_json::json!({ IMAGE: image }));
        entries.push(Descriptor::from_json(&json.into())?);
    }
    let document = Document::from(Index::new(entries));
    match Document::parse(document.bytes().clone(), None)? {
        Document::Index(index) => Ok(index),
        Document::Manifest(_) => Err("an index was made".into()),
    }
}

fn profile(login: &str) -> Result<Arc<Composed>, Failure> {
    let document = "
profile:
  name: filtered
  actions:
    - name: manifest-filter
      event: post-manifest-list-get
      args: {select: '.manifests[].platform.features', value: arch:zen3}
";
    let catalog = Catalog::from_documents(&[("filter.yaml", document)]).catalog;
    Ok(catalog.interpret(login, &|_| false)?.profile)
}

/// The middle of many runs, and what one in a hundred takes longer than.
fn timed(runs: usize, mut run: impl FnMut()) -> (Duration, Duration) {
    let mut times: Vec<Duration> = (0..runs)
        .map(|_| {
            let start = Instant::now();
            run();
            start.elapsed()
        })
        .collect();
    times.sort();
    let at = |part: usize| times.get(runs * part / 100).copied().unwrap_or_default();
    (at(50), at(99))
}

fn main() -> Result<(), Failure> {
    let index = |which| index(which).map(|index| (Document::from(index.clone()), index));
    let (document, all) = index(Entries::OfAllFamilies)?;
    let (_, own) = index(Entries::OfOneFamily)?;
    let (bytes, size) = (document.bytes().clone(), document.bytes().len());
    let (median, p99) = timed(500, || {
        drop(black_box(Document::parse(bytes.clone(), None)));
    });
    println!("parse an index of {ENTRIES} entries, {size} bytes: median {median:?}, p99 {p99:?}");
    let filtered = profile("filtered")?;
    let (median, p99) = timed(500, || drop(black_box(narrow(black_box(&all), &filtered))));
    println!("narrow it by a manifest-filter: median {median:?}, p99 {p99:?}");
    let machine = profile("zen5+driver=550.54+mpi=cray-mpich+glibc=2.34+cc=9.0")?;
    for (which, index) in [("all families", &all), ("the machine's family", &own)] {
        let (median, p99) = timed(5_000, || {
            drop(black_box(narrow(black_box(index), &machine)));
        });
        println!(
            "narrow {ENTRIES} entries of {which} by hardware: median {median:?}, p99 {p99:?}, \
             bound {BOUND:?}"
        );
        if median > BOUND {
            return Err(format!("the median {median:?} is over the bound {BOUND:?}").into());
        }
    }
    Ok(())
}
