//! Holds every implementation of [`Records`], SQLite and memory, to the same answers: a table of
//! laws, and random sequences of intents.

mod answers;
mod demand;
mod intents;
mod laws;
mod nodes;
mod run;
mod world;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;
use proptest::prelude::*;

use super::memory::MemoryRecords;
use super::sqlite::SqliteRecords;
use super::{Change, ChangeSink, Clock, Records};
use crate::folder::layout::Layout;
use intents::{Intent, intent};
use world::World;

/// The time, which stands still until it is moved on.
#[derive(Clone, Default)]
struct Watch(Arc<AtomicU64>);

impl Watch {
    fn now(&self) -> SystemTime {
        let millis = self.0.load(Ordering::SeqCst);
        SystemTime::UNIX_EPOCH + Duration::from_millis(1_000_000 + millis)
    }

    fn pass(&self, millis: u64) {
        self.0.fetch_add(millis, Ordering::SeqCst);
    }

    fn clock(&self) -> Clock {
        let watch = self.clone();
        Clock::new(move || watch.now())
    }
}

/// What the caches were told to forget.
#[derive(Default)]
struct Told(Mutex<Vec<String>>);

impl ChangeSink for Told {
    fn changing(&self, _: &Change) {}

    fn changed(&self, change: &Change) {
        self.0.lock().push(format!("{change:?}"));
    }
}

impl Told {
    /// What it was since, each once and in order.
    fn take(&self) -> Vec<String> {
        let mut told = std::mem::take(&mut *self.0.lock());
        told.sort();
        told.dedup();
        told
    }
}

/// An implementation under test.
struct Subject {
    records: Box<dyn Records>,
    told: Arc<Told>,
    _folder: Option<tempfile::TempDir>,
}

impl Subject {
    async fn sqlite(watch: &Watch) -> Self {
        let memory = PathBuf::from("/dev/shm");
        let parent = if memory.is_dir() {
            memory
        } else {
            std::env::temp_dir()
        };
        let folder = tempfile::tempdir_in(parent).unwrap();
        let layout = Layout::create(folder.path()).unwrap();
        let told = Arc::new(Told::default());
        let sink = Arc::clone(&told) as Arc<dyn ChangeSink>;
        let records = SqliteRecords::open(&layout, sink, watch.clock(), true).await;
        Self {
            records: Box::new(records.unwrap()),
            told,
            _folder: Some(folder),
        }
    }

    fn memory(watch: &Watch) -> Self {
        let told = Arc::new(Told::default());
        let sink = Arc::clone(&told) as Arc<dyn ChangeSink>;
        Self {
            records: Box::new(MemoryRecords::new(sink, watch.clock())),
            told,
            _folder: None,
        }
    }
}

/// How many sequences are tried; `PROPTEST_CASES` sets another number.
fn cases() -> u32 {
    let set = std::env::var("PROPTEST_CASES").ok();
    set.and_then(|cases| cases.parse().ok()).unwrap_or(24)
}

/// Runs the same intents on both, and compares every answer, every change that is told, and all
/// that can be asked afterwards.
async fn compare(intents: &[(u64, Intent)]) {
    let (world, watch) = (World::new(), Watch::default());
    let (sqlite, memory) = (Subject::sqlite(&watch).await, Subject::memory(&watch));
    for (millis, intent) in intents {
        watch.pass(*millis);
        let (one, other) = (
            intent.run(&*sqlite.records, &world, watch.now()).await,
            intent.run(&*memory.records, &world, watch.now()).await,
        );
        assert_eq!(one, other, "SQLite and memory, after {intent:?}");
        let (one, other) = (sqlite.told.take(), memory.told.take());
        assert_eq!(one, other, "told of by SQLite and memory: {intent:?}");
        let (one, other) = (
            answers::all(&*sqlite.records, &world, watch.now()).await,
            answers::all(&*memory.records, &world, watch.now()).await,
        );
        for (one, other) in one.iter().zip(&other) {
            assert_eq!(one, other, "SQLite and memory, after {intent:?}");
        }
        assert_eq!(
            sqlite.records.cached_bytes().await.unwrap(),
            sqlite.records.recounted_bytes().await.unwrap(),
            "kept by triggers, and counted anew, after {intent:?}"
        );
    }
    sqlite.records.close().await;
}

proptest! {
    #![proptest_config(ProptestConfig { max_shrink_iters: 200, ..ProptestConfig::with_cases(cases()) })]

    #[test]
    fn sqlite_and_memory_answer_alike(
        intents in prop::collection::vec((0..30u64, intent()), 1..40)
    ) {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(compare(&intents));
    }
}
