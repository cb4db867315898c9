//! Random upstreams, clients and disks that fail, held against an oracle that knows nothing of how
//! a fetch works: what was handed out as whole is the blob, and afterwards nothing is left but
//! what is right, within the cache's bounds, and the next request gets the blob.

use std::any::Any;
use std::collections::BTreeSet;
use std::future::Future as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::pin::pin;
use std::sync::Once;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use metahub_oci::{Digest, MediaType};
use metahub_registry::{Fetching, Registry, Settings};
use metahub_store::{Mode, Options, Store};
use metahub_upstream::Timeouts;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::cases::{Case, Client, Subject};
use crate::disk::{Disk, bytes_of, files_of};
use crate::fake::{Fake, REPOSITORY, Referrers, World};
use metahub_testkit::wire::Fault;

/// How many cases; one alone is run by `METAHUB_FETCH_CASE=NUMBER`.
const CASES: u64 = 500;
/// Longer than any case takes: one that hangs is a fault.
const HANGS: Duration = Duration::from_secs(120);
/// Cases at once: most wait for time-outs.
const THREADS: usize = 12;

/// What is seen of one case while it runs.
struct Seen<'c> {
    case: &'c Case,
    registry: &'c Registry,
    folder: &'c Path,
    most: AtomicU64,
    /// What went wrong last.
    last: Mutex<Option<String>>,
}

impl Seen<'_> {
    fn look(&self) {
        self.most
            .fetch_max(bytes_of(self.folder), Ordering::Relaxed);
    }

    /// Does what `client` does; how many blobs or parts it had whole.
    async fn run(&self, client: &Client) -> usize {
        let subject = &self.case.subjects[client.subject];
        let name = REPOSITORY.parse().unwrap();
        if let Some(looks) = client.leaves_before {
            let repository = self.registry.operator().read(&name);
            let mut asked = pin!(repository.blob(&subject.digest));
            for _ in 0..looks {
                let looked = std::future::poll_fn(|cx| Poll::Ready(asked.as_mut().poll(cx)));
                if looked.await.is_ready() {
                    break;
                }
                tokio::task::yield_now().await;
            }
            return 0;
        }
        for _ in 0..=client.again {
            if self.read(client, subject).await {
                return 1;
            }
        }
        0
    }

    /// Reads once. Whether all came that was asked for.
    async fn read(&self, client: &Client, subject: &Subject) -> bool {
        let name = REPOSITORY.parse().unwrap();
        let read = match self
            .registry
            .operator()
            .read(&name)
            .blob(&subject.digest)
            .await
        {
            Ok(read) => read,
            Err(error) => {
                self.last.lock().replace(error.to_string());
                return false;
            }
        };
        let whole = 0..read.size();
        let range = client.range.clone().unwrap_or(whole.clone());
        let range = range.start.min(whole.end)..range.end.min(whole.end);
        let mut stream = read.stream(range.clone());
        let mut got = Vec::new();
        let mut failed = false;
        while let Some(piece) = stream.next().await {
            match piece {
                Ok(piece) => got.extend_from_slice(&piece),
                Err(error) => {
                    self.last.lock().replace(error.to_string());
                    failed = true;
                    break;
                }
            }
            self.look();
            if client.leaves_after.is_some_and(|most| got.len() > most) {
                failed = true;
                break;
            }
            for _ in 0..client.slow {
                tokio::task::yield_now().await;
            }
        }
        drop(stream);
        let start = usize::try_from(range.start)
            .unwrap()
            .min(subject.truth.len());
        let truth = &subject.truth[start..];
        if !subject.fault.lies() {
            assert!(truth.starts_with(&got), "other bytes of {}", subject.digest);
        }
        if failed {
            return false;
        }
        assert_eq!(got.len() as u64, range.end - range.start, "a short end");
        if range == whole {
            assert!(got == subject.truth, "other content passes for whole");
        }
        true
    }

    /// Nothing is being fetched any more, and no file is left in staging but what another fetch
    /// can go on with.
    async fn rests(&self) {
        let over = timeout(HANGS, async {
            while self.registry.fetching() != Fetching::default() || !self.left().is_empty() {
                // What removes files has its turn too.
                let _ = tokio::task::spawn_blocking(|| ()).await;
                tokio::task::yield_now().await;
            }
        });
        assert!(
            over.await.is_ok(),
            "{:?} is left, and {:?}",
            self.registry.fetching(),
            self.left()
        );
    }

    /// Files in staging that nobody can go on with.
    fn left(&self) -> Vec<String> {
        let files = files_of(&self.folder.join("staging"));
        let mut left: BTreeSet<String> = files.iter().map(|(name, _)| name.clone()).collect();
        for (name, bytes) in &files {
            let Some(file) = name.strip_suffix(".note") else {
                continue;
            };
            let Ok(note) = serde_json::from_slice::<Value>(bytes) else {
                continue;
            };
            let Some((_, staged)) = files.iter().find(|(other, _)| other == file) else {
                continue;
            };
            let length = usize::try_from(note["length"].as_u64().unwrap()).unwrap();
            let known = staged.get(..length).is_some_and(|prefix| {
                let subject = self
                    .case
                    .subjects
                    .iter()
                    .find(|subject| note["digest"] == subject.digest.as_str())
                    .unwrap();
                let hashes = note["prefix"] == Digest::sha256(prefix).as_str();
                hashes && (subject.fault.lies() || subject.truth.starts_with(prefix))
            });
            if known {
                left.remove(name);
                left.remove(file);
            }
        }
        left.into_iter().collect()
    }
}

/// Panics elsewhere than in these tests.
static PANICS: AtomicUsize = AtomicUsize::new(0);

/// Cases that end with an upstream that nobody asks for a while.
static LEFT_ALONE: AtomicUsize = AtomicUsize::new(0);

fn count_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let here = info
                .location()
                .is_some_and(|at| at.file().contains("tests/"));
            if !here {
                PANICS.fetch_add(1, Ordering::SeqCst);
            }
            before(info);
        }));
    });
}

async fn world(fake: &Fake, case: &Case, store: Store) -> World {
    let settings = Settings {
        tag_lifetime: Duration::from_hours(1),
        cache: case.cache.clone(),
        ..Settings::default()
    };
    let timeouts = Timeouts {
        answer: Duration::from_secs(10),
        between_bytes: Duration::from_millis(400),
        slowest_rate: 0,
        ..Timeouts::default()
    };
    let world = fake.registry_with(store, settings, timeouts, "");
    for (at, subject) in case.subjects.iter().enumerate() {
        let layer = fake.blob(subject.truth.clone(), MediaType::OCI_LAYER_GZIP);
        if subject.stated {
            let config = fake.blob(b"{}".to_vec(), MediaType::OCI_EMPTY);
            let manifest = json!({
                "schemaVersion": 2, "mediaType": MediaType::OCI_MANIFEST, "config": config,
                "layers": [layer], "annotations": {"number": at.to_string()},
            });
            let manifest = fake.document(&manifest, &[]);
            let digest = manifest["digest"].as_str().unwrap().parse().unwrap();
            let name = REPOSITORY.parse().unwrap();
            world
                .registry
                .operator()
                .read(&name)
                .manifest(&digest)
                .await
                .unwrap();
        }
        fake.answer_blob_with(&subject.digest, subject.fault);
    }
    world
}

/// Runs one case; how many reads came to a whole, and whether the disk was full.
async fn run(case: &Case) -> Option<usize> {
    let fake = Fake::start(Referrers::Status(404)).await;
    let disk = match case.room {
        Some(_) => Some(Disk::mount()?),
        None => None,
    };
    let store = match &disk {
        Some(disk) => Store::open_with(disk.path(), Mode::Serve, Options::default()).await,
        None => Store::temporary().await,
    };
    let store = store.unwrap();
    let folder = store.folder().to_owned();
    let world = world(&fake, case, store).await;
    if let (Some(disk), Some(room)) = (&disk, case.room) {
        disk.leave(room);
    }
    let seen = Seen {
        case,
        registry: &world.registry,
        folder: &folder,
        most: AtomicU64::new(0),
        last: Mutex::default(),
    };
    let mut clients = FuturesUnordered::new();
    for client in &case.clients {
        clients.push(seen.run(client));
    }
    let mut whole = 0;
    while let Some(came) = clients.next().await {
        whole += came;
    }
    drop(clients);
    seen.rests().await;
    seen.look();
    let most = seen.most.load(Ordering::Relaxed);
    assert!(most <= case.bound(), "{most} of {}", case.bound());
    if let Some(disk) = &disk {
        disk.make_room();
    }
    world.registry.evict_to_bounds().await.unwrap();
    let kept = bytes_of(&folder);
    assert!(case.cache.size.is_none_or(|size| kept <= size), "{kept}");
    then_it_comes(&fake, &seen).await;
    drop(world);
    Some(whole)
}

/// The next request of each blob gets it, when the upstream and the disk are well.
async fn then_it_comes(fake: &Fake, seen: &Seen<'_>) {
    for (at, subject) in seen.case.subjects.iter().enumerate() {
        fake.answer_blob_with(&subject.digest, Fault::HONEST);
        let client = Client {
            subject: at,
            leaves_before: None,
            range: None,
            leaves_after: None,
            slow: 0,
            again: 0,
        };
        if subject.truth.len() as u64 > seen.case.cache.largest_blob {
            assert!(!seen.read(&client, subject).await);
            continue;
        }
        let mut got = seen.read(&client, subject).await;
        if subject.fault.lies() && !got {
            // It went on with what a liar had sent, and saw that.
            seen.rests().await;
            got = seen.read(&client, subject).await;
        }
        let last = seen.last.lock().take();
        if !got
            && last
                .as_ref()
                .is_some_and(|last| last.contains("is left alone for"))
        {
            // It failed so often that nobody asks it for some seconds.
            LEFT_ALONE.fetch_add(1, Ordering::SeqCst);
            break;
        }
        assert!(got, "{} does not come: {last:?}", subject.digest);
    }
    seen.rests().await;
}

/// Runs the case of a number, and tells how many reads came to a whole, if it could be run.
fn run_one(seed: u64, tell: bool) -> Result<Option<usize>, Box<dyn Any + Send>> {
    let case = Case::new(seed);
    if tell {
        for subject in &case.subjects {
            let size = subject.truth.len();
            eprintln!(
                "{size} bytes, stated: {}, {:?}",
                subject.stated, subject.fault
            );
        }
        eprintln!("{:#?} {:?} room: {:?}", case.clients, case.cache, case.room);
    }
    catch_unwind(AssertUnwindSafe(|| {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        let running = async { timeout(HANGS * 2, run(&case)).await };
        runtime.unwrap().block_on(running).unwrap()
    }))
}

#[test]
fn whatever_fails_nothing_is_left_but_what_is_right_and_the_next_request_gets_it() {
    count_panics();
    if let Ok(seed) = std::env::var("METAHUB_FETCH_CASE") {
        let ran = run_one(seed.parse().unwrap(), true);
        assert!(ran.is_ok() && PANICS.load(Ordering::SeqCst) == 0);
        return;
    }
    let (next, failed) = (AtomicU64::new(0), Mutex::new(Vec::new()));
    let (ran, whole) = (AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::SeqCst);
                    if seed >= CASES {
                        return;
                    }
                    match run_one(seed, false) {
                        Ok(None) => {}
                        Ok(Some(came)) => {
                            ran.fetch_add(1, Ordering::SeqCst);
                            whole.fetch_add(came, Ordering::SeqCst);
                        }
                        Err(_) => failed.lock().push(seed),
                    }
                }
            });
        }
    });
    let failed = failed.into_inner();
    assert!(failed.is_empty(), "METAHUB_FETCH_CASE of {failed:?} fail");
    assert_eq!(PANICS.load(Ordering::SeqCst), 0, "something panicked");
    let left_alone = LEFT_ALONE.load(Ordering::SeqCst);
    assert!(
        left_alone < 25,
        "{left_alone} upstreams are left alone at the end"
    );
    // Neither does everything fail nor nothing.
    let (ran, whole) = (ran.into_inner(), whole.into_inner());
    assert!(
        ran > 350 && whole > 200,
        "{ran} ran, {whole} reads came to a whole"
    );
}
