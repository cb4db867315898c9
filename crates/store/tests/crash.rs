//! Killed at any moment, the store keeps everything that it acknowledged, and nothing that it
//! keeps is incomplete.
//!
//! The test starts itself again as a child that pushes, deletes, pulls and collects garbage all at
//! once, kills it, and audits what is left; over and over on the same folder.
//! `METAHUB_CRASHES` sets how often.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests assert by panicking"
)]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use metahub_oci::{Digest, Document, RepositoryName, Tag};
use metahub_store::{GcOptions, Mode, PutError, PutManifest, ScrubOptions, Store};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use support::{chunks, content, image, name, put, read, tag};

const WORKERS: usize = 4;
const TAGS: u64 = 3;
const CHILD: &str = "METAHUB_CRASH_CHILD";

/// One thing that a worker does. The same number always means the same content.
#[derive(Clone, Copy, Debug)]
enum Work {
    Put(u64, u64),
    DeleteManifest(u64),
    DeleteTag(u64),
}

impl Work {
    fn text(self) -> String {
        match self {
            Self::Put(number, tag) => format!("put {number} {tag}"),
            Self::DeleteManifest(number) => format!("delete {number} 0"),
            Self::DeleteTag(tag) => format!("untag {tag} 0"),
        }
    }

    fn parse(kind: &str, first: u64, second: u64) -> Self {
        match kind {
            "put" => Self::Put(first, second),
            "delete" => Self::DeleteManifest(first),
            "untag" => Self::DeleteTag(first),
            other => panic!("{other}"),
        }
    }
}

fn repository(worker: usize) -> RepositoryName {
    name(&format!("worker/{worker}"))
}

fn label(number: u64) -> Tag {
    tag(&format!("t{number}"))
}

/// A small and a large blob of one image; every third large one is shared by all workers.
fn parts(worker: usize, number: u64) -> (Vec<u8>, Vec<u8>) {
    let own = number * 10 + worker as u64;
    let shared = if number.is_multiple_of(3) {
        number
    } else {
        own + 1_000_000
    };
    let size = 66_000 + usize::try_from(number % 7).unwrap() * 50_000;
    (content(own, 300), content(shared, size))
}

fn document(worker: usize, number: u64) -> Document {
    let (small, large) = parts(worker, number);
    image(&small, &[&large])
}

fn say(line: &str) {
    // Not `println`, which the test harness may hold back. One write: lines never mix.
    let line = format!("\n@{line}\n");
    std::io::stdout().lock().write_all(line.as_bytes()).unwrap();
    std::io::stdout().lock().flush().unwrap();
}

/// What the child does until it is killed.
async fn work(folder: PathBuf, round: u64) {
    let store = Store::open(&folder, Mode::Serve).await.unwrap();
    say("open");
    let numbers = AtomicU64::new(round * 100_000);
    let numbers: &'static AtomicU64 = Box::leak(Box::new(numbers));
    for worker in 0..WORKERS {
        tokio::spawn(work_one(store.clone(), worker, round, numbers));
    }
    loop {
        let options = GcOptions {
            grace: Duration::ZERO,
            dry_run: false,
        };
        store.collect_garbage(&options).await.unwrap();
    }
}

async fn work_one(store: Store, worker: usize, round: u64, numbers: &AtomicU64) {
    let mut random = StdRng::seed_from_u64(round * 100 + worker as u64);
    let mut held = Vec::new();
    loop {
        let work = match random.random_range(0..10) {
            0 if !held.is_empty() => {
                Work::DeleteManifest(held.swap_remove(random.random_range(0..held.len())))
            }
            1 => Work::DeleteTag(random.random_range(0..TAGS)),
            _ => {
                let number = numbers.fetch_add(1, Ordering::Relaxed);
                held.push(number);
                Work::Put(number, random.random_range(0..TAGS))
            }
        };
        say(&format!("try {worker} {}", work.text()));
        perform(&store, worker, work).await;
        say(&format!("done {worker} {}", work.text()));
        if let Some(number) = held.get(random.random_range(0..held.len().max(1))) {
            let large = parts(worker, *number).1;
            let found = read(&store, &repository(worker), &Digest::sha256(&large)).await;
            if found.unwrap().as_ref() != Some(&large) {
                say("bad read");
            }
        }
    }
}

async fn perform(store: &Store, worker: usize, work: Work) {
    let repository = repository(worker);
    match work {
        Work::Put(number, tag) => {
            let (small, large) = parts(worker, number);
            loop {
                put(store, &repository, &small).await;
                let id = store.start_upload(&repository).await.unwrap();
                let upload = store.upload(&repository, &id).await.unwrap().unwrap();
                let (first, second) = large.split_at(large.len() / 2);
                upload.append(Some(0), chunks(first, 16_384)).await.unwrap();
                upload.append(None, chunks(second, 16_384)).await.unwrap();
                upload.finish(&Digest::sha256(&large)).await.unwrap();
                let options = PutManifest::pushed(vec![label(tag)]);
                let document = document(worker, number);
                match store.put_manifest(&repository, &document, options).await {
                    Ok(()) => return,
                    // Collected in between, since there is no grace period here.
                    Err(PutError::Missing { .. }) => {}
                    Err(error) => panic!("{error}"),
                }
            }
        }
        Work::DeleteManifest(number) => {
            let digest = document(worker, number).digest().clone();
            assert!(store.delete_manifest(&repository, &digest).await.unwrap());
        }
        Work::DeleteTag(tag) => {
            store.delete_tag(&repository, &label(tag)).await.unwrap();
        }
    }
}

/// The part of the child. As a test of its own it does nothing.
#[test]
fn the_child_works_until_it_is_killed() {
    let Ok(job) = std::env::var(CHILD) else {
        return;
    };
    let (round, folder) = job.split_once(' ').unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(work(folder.into(), round.parse().unwrap()));
}

/// What may be there of one worker's things.
#[derive(Default)]
struct Expected {
    /// Whether each manifest is there, where that is known.
    manifests: BTreeMap<u64, Option<bool>>,
    /// What each tag may name.
    tags: BTreeMap<u64, BTreeSet<Option<u64>>>,
}

impl Expected {
    fn tag(&mut self, tag: u64) -> &mut BTreeSet<Option<u64>> {
        self.tags
            .entry(tag)
            .or_insert_with(|| BTreeSet::from([None]))
    }

    fn begun(&mut self, work: Work) {
        match work {
            Work::Put(number, tag) => {
                self.manifests.insert(number, None);
                self.tag(tag).insert(Some(number));
            }
            Work::DeleteManifest(number) => {
                self.manifests.insert(number, None);
                for names in self.tags.values_mut() {
                    if names.contains(&Some(number)) {
                        names.insert(None);
                    }
                }
            }
            Work::DeleteTag(tag) => {
                self.tag(tag).insert(None);
            }
        }
    }

    fn done(&mut self, work: Work) {
        match work {
            Work::Put(number, tag) => {
                self.manifests.insert(number, Some(true));
                *self.tag(tag) = BTreeSet::from([Some(number)]);
            }
            Work::DeleteManifest(number) => {
                self.manifests.insert(number, Some(false));
                for names in self.tags.values_mut() {
                    if names.remove(&Some(number)) {
                        names.insert(None);
                    }
                }
            }
            Work::DeleteTag(tag) => *self.tag(tag) = BTreeSet::from([None]),
        }
    }

    /// Compares, and takes over what was open.
    async fn audit(&mut self, store: &Store, worker: usize) {
        let repository = repository(worker);
        for (number, expected) in &mut self.manifests {
            let document = document(worker, *number);
            let found = store
                .manifest(&repository, document.digest())
                .await
                .unwrap();
            let there = found.is_some();
            assert!(
                expected.is_none_or(|e| e == there),
                "manifest {number}: {there}"
            );
            *expected = Some(there);
            if !there {
                continue;
            }
            assert_eq!(&found.unwrap().bytes, document.bytes());
            let (small, large) = parts(worker, *number);
            for bytes in [small, large] {
                let digest = Digest::sha256(&bytes);
                let found = read(store, &repository, &digest).await.unwrap();
                assert!(
                    found.as_ref() == Some(&bytes),
                    "blob {digest} of manifest {number}"
                );
            }
        }
        for (tag, names) in &mut self.tags {
            let found = store.tag(&repository, &label(*tag)).await.unwrap();
            let named = found.map(|record| {
                let is_it = |n: &&u64| *document(worker, **n).digest() == record.digest;
                *self.manifests.keys().find(is_it).unwrap()
            });
            assert!(
                names.contains(&named),
                "tag {tag}: {named:?}, not one of {names:?}"
            );
            assert!(named.is_none_or(|number| self.manifests[&number] == Some(true)));
            *names = BTreeSet::from([named]);
        }
        self.manifests.retain(|_, there| *there == Some(true));
        // Bounds what the next audit has to read.
        while self.manifests.len() > 5 {
            let work = Work::DeleteManifest(*self.manifests.keys().next().unwrap());
            perform(store, worker, work).await;
            self.done(work);
            self.manifests.retain(|_, there| *there == Some(true));
        }
    }
}

/// Lets a child work, kills it after `lines` of its lines and a moment, and notes what it said.
fn crash(folder: &Path, round: u64, lines: usize, moment: Duration, expected: &mut [Expected]) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "the_child_works_until_it_is_killed",
            "--nocapture",
        ])
        .env(CHILD, format!("{round} {}", folder.display()))
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let output = BufReader::new(child.stdout.take().unwrap());
    let mut seen = 0;
    let mut killed = false;
    for line in output.lines() {
        let line = line.unwrap();
        let Some(line) = line.strip_prefix('@') else {
            continue;
        };
        assert_ne!(line, "bad read");
        let words: Vec<&str> = line.split(' ').collect();
        if let [verb, worker, kind, first, second] = words[..] {
            let work = Work::parse(kind, first.parse().unwrap(), second.parse().unwrap());
            let expected = &mut expected[worker.parse::<usize>().unwrap()];
            match verb {
                "try" => expected.begun(work),
                _ => expected.done(work),
            }
        }
        seen += 1;
        if seen > lines && !killed {
            // Somewhere within what comes after the line, not always at its very beginning.
            let started = Instant::now();
            while started.elapsed() < moment {
                std::hint::spin_loop();
            }
            child.kill().unwrap();
            killed = true;
        }
    }
    let status = child.wait().unwrap();
    assert!(killed, "the child ended by itself: {status}");
}

#[test]
fn what_was_acknowledged_survives_being_killed() {
    if std::env::var(CHILD).is_ok() {
        return;
    }
    let crashes = std::env::var("METAHUB_CRASHES")
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(20);
    let seed = std::env::var("METAHUB_CRASH_SEED")
        .ok()
        .and_then(|n| n.parse().ok());
    let seed: u64 = seed.unwrap_or_else(|| rand::rng().random());
    eprintln!("METAHUB_CRASH_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let folder = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mut expected: Vec<Expected> = (0..WORKERS).map(|_| Expected::default()).collect();
    let mut kept = 0;
    for round in 1..=crashes {
        let lines = random.random_range(0..80);
        let moment = Duration::from_micros(random.random_range(0..8_000));
        crash(folder.path(), round, lines, moment, &mut expected);
        runtime.block_on(async {
            let store = Store::open(folder.path(), Mode::Serve).await.unwrap();
            for (worker, expected) in expected.iter_mut().enumerate() {
                expected.audit(&store, worker).await;
            }
            let report = store.scrub(ScrubOptions::default(), |_| {}).await.unwrap();
            assert!(report.is_clean(), "{report:?}");
            store.close().await;
        });
        kept = expected
            .iter()
            .map(|expected| expected.manifests.len())
            .sum();
    }
    assert!(crashes < 5 || kept > 0);
}
