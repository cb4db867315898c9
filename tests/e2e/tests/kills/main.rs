//! Killed at any moment while clients push, delete and pull and garbage is collected, a server
//! keeps all that it acknowledged, brings nothing back that it acknowledged as deleted, leaves no
//! staging behind, and never lets half an answer pass for a whole one.
//!
//! The same folder is served, killed and audited over and over. `METAHUB_KILLS` sets how often,
//! `METAHUB_KILL_SEED` repeats a run as far as the moments of a kill can be repeated.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test"
)]

mod audit;
mod client;
mod content;
mod unfinished;
mod worker;

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use metahub_e2e::http::{digest_of, runtime};
use metahub_e2e::metahub::MetaHub;
use metahub_e2e::process::wait_until;
use metahub_e2e::pusher::Pusher;
use metahub_e2e::require;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use rustix::process::Signal;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::client::{Client, Lost, NEWS};
use crate::worker::Worker;

const KILLS: u64 = 200;
const WORKERS: u64 = 4;

/// Collected all the time, and old enough after about ten kills.
const GRACE: Duration = Duration::from_secs(3);
const CONFIG: &str = "anonymous: write\noffline: true\nupstreams: []\n\
                      gc: {every: 30ms, grace: 3s}\n";

/// Longest that a server works before it is killed.
const LONGEST: Duration = Duration::from_millis(200);

/// How long a killed process may take to be gone.
const DYING: Duration = Duration::from_secs(60);

fn variable(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

#[test]
fn what_was_acknowledged_survives_every_kill_and_nothing_else_comes_back() {
    if !require::tools(&["setpriv"]) {
        return;
    }
    let kills = variable("METAHUB_KILLS").unwrap_or(KILLS);
    let by_clock = || {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        u64::try_from(now.unwrap().as_micros()).unwrap()
    };
    let seed = variable("METAHUB_KILL_SEED").unwrap_or_else(by_clock);
    println!("METAHUB_KILL_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let mut metahub = MetaHub::start(CONFIG, &[]);
    let large = Large::push(&metahub);
    let mut workers: Vec<Worker> = (0..WORKERS).map(|n| Worker::new(n, seed, GRACE)).collect();
    let mut seen = Seen::default();
    for kill in 1..=kills {
        let moment = LONGEST.mul_f64(random.random::<f64>());
        let (says_gone, gone) = watch::channel(false);
        let reader = large.read(&metahub, gone.clone());
        let busy = work(&metahub, workers, &gone);
        let started = Instant::now();
        // Not a wait for anything: the kill comes at a moment that nothing else decides.
        wait_until(moment, || false);
        metahub.signal(Signal::KILL);
        assert!(wait_until(DYING, || !metahub.is_running()));
        let news = runtime().spawn(async move {
            tokio::time::sleep(NEWS).await;
            says_gone.send_replace(true);
            says_gone.closed().await;
        });
        workers = busy.join();
        match runtime().block_on(reader).unwrap() {
            Lost::Nothing => {}
            Lost::Cut => seen.cut += 1,
            Lost::Unheard => seen.unheard += 1,
        }
        news.abort();
        seen.working += started.elapsed();
        metahub = metahub.restart();
        audit(&metahub, &mut workers, &mut seen, kill);
    }
    seen.unheard += workers.iter().map(|worker| worker.unheard).sum::<u64>();
    seen.uploads = workers.iter().map(|worker| worker.resumed).sum();
    seen.acknowledged = workers.iter().map(|worker| worker.acknowledged).sum();
    println!("{kills} kills: {seen:?}");
    // Otherwise the test tested little.
    assert!(seen.acknowledged > kills, "{seen:?}");
    assert!(
        kills < 50 || seen.objects > 0 && seen.uploads > 0 && seen.cut > 0,
        "{seen:?}"
    );
    assert!(metahub.terminate().unwrap().success());
}

/// What the whole run saw.
#[derive(Debug, Default)]
struct Seen {
    /// Operations that were acknowledged.
    acknowledged: u64,
    /// Objects that an audit read whole.
    objects: u64,
    /// Uploads that went on after a kill.
    uploads: u64,
    /// Answers that a kill cut off.
    cut: u64,
    /// Kills that a client was not told of.
    unheard: u64,
    working: Duration,
}

/// An image that is only read, with a layer so large that most kills come in the middle of it.
struct Large {
    path: String,
    bytes: Arc<Vec<u8>>,
}

impl Large {
    fn push(metahub: &MetaHub) -> Self {
        let bytes: Vec<u8> = (0..8_000_000_u32).map(|at| (at % 251) as u8).collect();
        let pusher = Pusher {
            host: metahub.host(),
            repository: "kill/large",
            login: Some(("zen3", "any")),
        };
        let _ = pusher.image("1", "amd64", &bytes);
        Self {
            path: format!("/v2/kill/large/blobs/{}", digest_of(&bytes)),
            bytes: Arc::new(bytes),
        }
    }

    /// Reads it until the server is gone; how the last answer was lost.
    fn read(&self, metahub: &MetaHub, gone: watch::Receiver<bool>) -> JoinHandle<Lost> {
        let (path, bytes) = (self.path.clone(), Arc::clone(&self.bytes));
        let mut client = Client::new(metahub.host(), gone);
        runtime().spawn(async move {
            loop {
                match client.send("GET", &path, &[], &[]).await {
                    Ok(reply) => assert!(
                        reply.status == 200 && reply.body == *bytes,
                        "{} of {} bytes as if whole: {}",
                        reply.body.len(),
                        bytes.len(),
                        reply.status
                    ),
                    Err(lost) => return lost,
                }
            }
        })
    }
}

/// Workers that are at it until their server is gone.
struct Busy(Vec<JoinHandle<Worker>>);

fn work(metahub: &MetaHub, workers: Vec<Worker>, gone: &watch::Receiver<bool>) -> Busy {
    let host: Arc<str> = metahub.host().into();
    let start = |mut worker: Worker| {
        let client = Client::new(&host, gone.clone());
        runtime().spawn(async move {
            worker.work(client).await;
            worker
        })
    };
    Busy(workers.into_iter().map(start).collect())
}

impl Busy {
    fn join(self) -> Vec<Worker> {
        let ended = |handle: JoinHandle<Worker>| runtime().block_on(handle).unwrap();
        self.0.into_iter().map(ended).collect()
    }
}

/// Everything that the workers know of, compared with what the server says now.
fn audit(metahub: &MetaHub, workers: &mut [Worker], seen: &mut Seen, kill: u64) {
    for worker in workers.iter_mut() {
        let mut client = Client::of_living(metahub.host());
        let checked = runtime().block_on(worker.audit(&mut client));
        seen.objects += checked.unwrap_or_else(|problem| {
            panic!("after kill {kill}: {}: {problem}", worker.repository())
        });
        seen.cut += std::mem::take(&mut worker.cut);
    }
    // All uploads were finished or cancelled by the audit, so nothing may be left of any.
    let staging = metahub.data().join("staging");
    let left = || -> Vec<_> {
        let entries = std::fs::read_dir(&staging).unwrap();
        entries.map(|entry| entry.unwrap().file_name()).collect()
    };
    let known = |name: &std::ffi::OsString| {
        // An upload whose beginning was never acknowledged is one all the same.
        workers.iter().any(|worker| {
            let mut client = Client::of_living(metahub.host());
            let upload = name.to_string_lossy();
            runtime().block_on(worker.cancel(&mut client, &upload))
        })
    };
    let strangers: Vec<_> = left().into_iter().filter(|name| !known(name)).collect();
    assert!(
        strangers.is_empty(),
        "after kill {kill}: {strangers:?} in staging"
    );
    assert!(left().is_empty(), "after kill {kill}: {:?}", left());
    if kill.is_multiple_of(20) {
        let lies = metahub.files_that_lie();
        assert!(lies.is_empty(), "after kill {kill}: {lies:?}");
    }
}
