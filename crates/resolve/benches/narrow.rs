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
use metahub_resolve::narrow;

const ENTRIES: usize = 1_000;
const BOUND: Duration = Duration::from_micros(200);

type Failure = Box<dyn std::error::Error>;

/// Entries for every target in turn, each with one more requirement.
fn index() -> Result<Index, Failure> {
    let graph = Microarchitectures::builtin();
    let extras = ["cuda:12.4", "mpi:mpich", "glibc:2.17", "cc:8.0+ptx"];
    let entries = graph.iter().cycle().zip(extras.iter().cycle());
    let entries = entries
        .take(ENTRIES)
        .enumerate()
        .map(|(at, (known, extra))| {
            let of = graph.oci_platform(known.target());
            let platform = Platform {
                features: vec![format!("arch:{}", known.target()), (*extra).to_owned()],
                ..Platform::new(of.os, &of.architecture)
            };
            let digest = Digest::sha256(at.to_string().as_bytes());
            Descriptor::new(MediaType::oci_manifest(), digest, 1234).with_platform(&platform)
        });
    let document = Document::from(Index::new(entries.collect()));
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

fn median(mut run: impl FnMut()) -> Duration {
    let mut times: Vec<Duration> = (0..1_000)
        .map(|_| {
            let start = Instant::now();
            run();
            start.elapsed()
        })
        .collect();
    times.sort();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

fn main() -> Result<(), Failure> {
    let index = index()?;
    let document = Document::from(index.clone());
    let (bytes, size) = (document.bytes().clone(), document.bytes().len());
    let parsing = median(|| drop(black_box(Document::parse(bytes.clone(), None))));
    println!("parse an index of {ENTRIES} entries, {size} bytes: median {parsing:?}");
    let filtered = profile("filtered")?;
    let by_filter = median(|| drop(black_box(narrow(black_box(&index), &filtered))));
    println!("narrow it by a manifest-filter: median {by_filter:?}");
    let machine = profile("zen5+driver=550.54+mpi=cray-mpich+glibc=2.34+cc=9.0")?;
    let chosen = median(|| drop(black_box(narrow(black_box(&index), &machine))));
    println!("narrow it by hardware: median {chosen:?}, bound {BOUND:?}");
    if chosen > BOUND {
        return Err(format!("the median {chosen:?} is over the bound {BOUND:?}").into());
    }
    Ok(())
}
