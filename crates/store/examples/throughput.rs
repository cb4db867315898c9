//! Measures how fast the store takes and gives content: `cargo run --release -p metahub-store
//! --example throughput [FOLDER [many|small|large]]`. Prints medians of several rounds beside the two limits of a
//! durable push: one core's SHA-256 and the disk's own flushed write.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a measuring tool run by hand"
)]

use std::convert::Infallible;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use metahub_oci::{Digest, Document, MediaType, RepositoryName};
use metahub_store::{Mode, PutManifest, Store};

const MIB: usize = 1024 * 1024;
const GIB: usize = 1024 * MIB;
const ROUNDS: usize = 5;

fn speed(bytes: usize, time: Duration) -> f64 {
    bytes as f64 / time.as_secs_f64() / 1e6
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}

/// Content that no two rounds share.
fn frame(round: usize) -> Bytes {
    let mut state = round as u64 + 1;
    let bytes = (0..64 * 1024 / 8).flat_map(|_| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        state.to_le_bytes()
    });
    Bytes::from(bytes.collect::<Vec<u8>>())
}

/// `size` bytes as frames of 64 KiB, each copied once, as a network stack does.
fn frames(
    frame: &Bytes,
    size: usize,
) -> impl stream::Stream<Item = Result<Bytes, Infallible>> + use<> {
    let frame = frame.clone();
    stream::iter(0..size / frame.len()).map(move |_| Ok(Bytes::copy_from_slice(&frame)))
}

fn resident_mib() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmHWM"))
        .unwrap();
    let kib: f64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kib / 1024.0
}

fn disk(folder: &Path, frame: &Bytes) -> f64 {
    let path = folder.join("plain");
    let started = Instant::now();
    let mut file = std::fs::File::create(&path).unwrap();
    for _ in 0..GIB / frame.len() {
        file.write_all(frame).unwrap();
    }
    file.sync_all().unwrap();
    let time = started.elapsed();
    std::fs::remove_file(path).unwrap();
    speed(GIB, time)
}

fn digest_of(frame: &Bytes, size: usize) -> (Digest, f64) {
    let started = Instant::now();
    let mut hasher = metahub_oci::Hasher::new(metahub_oci::Algorithm::Sha256);
    for _ in 0..size / frame.len() {
        hasher.update(frame);
    }
    (hasher.finish(), speed(size, started.elapsed()))
}

async fn push(store: &Store, name: &RepositoryName, frame: &Bytes, size: usize, digest: &Digest) {
    let id = store.start_upload(name).await.unwrap();
    let upload = store.upload(name, &id).await.unwrap().unwrap();
    upload.append(None, frames(frame, size)).await.unwrap();
    upload.finish(digest).await.unwrap();
}

async fn pull(store: &Store, name: &RepositoryName, digest: &Digest) -> u64 {
    let blob = store.blob(name, digest).await.unwrap().unwrap();
    let mut stream = Box::pin(blob.open().await.unwrap().stream(0..u64::MAX));
    let mut size = 0;
    while let Some(bytes) = stream.next().await {
        size += bytes.unwrap().len() as u64;
    }
    size
}

async fn large(folder: &Path, store: &Store, name: &RepositoryName) {
    let mut table: [Vec<f64>; 4] = Default::default();
    for round in 0..ROUNDS {
        let frame = frame(round);
        let (digest, hashing) = digest_of(&frame, GIB);
        let plain = disk(folder, &frame);
        let started = Instant::now();
        push(store, name, &frame, GIB, &digest).await;
        let pushed = speed(GIB, started.elapsed());
        let started = Instant::now();
        assert_eq!(pull(store, name, &digest).await, GIB as u64);
        let pulled = speed(GIB, started.elapsed());
        for (column, value) in table.iter_mut().zip([hashing, plain, pushed, pulled]) {
            column.push(value);
        }
        let hex = digest.hex();
        let blob = store
            .folder()
            .join("blobs/sha256")
            .join(&hex[..2])
            .join(hex);
        std::fs::remove_file(blob).unwrap();
    }
    let [hashing, plain, pushed, pulled] = table.map(median);
    println!("SHA-256, one core        {hashing:8.0} MB/s");
    println!("disk, flushed            {plain:8.0} MB/s");
    println!(
        "push 1 GiB, durable      {pushed:8.0} MB/s   {:.2} of the slower",
        pushed / hashing.min(plain)
    );
    println!("pull 1 GiB, warm         {pulled:8.0} MB/s");
}

async fn small(store: &Store, name: &RepositoryName) {
    for (clients, size) in [(1, 4096), (16, 4096), (1, MIB), (16, MIB)] {
        let count = 256 / if size == MIB { 2 } else { 1 };
        let started = Instant::now();
        stream::iter(0..count)
            .for_each_concurrent(clients, |i| async move {
                let content = vec![(i % 251) as u8; size + i];
                let digest = Digest::sha256(&content);
                store.put_blob(name, &digest, content.into()).await.unwrap();
            })
            .await;
        let rate = count as f64 / started.elapsed().as_secs_f64();
        println!("put {size:7} bytes, {clients:2} at once {rate:8.0} /s");
    }
    for clients in [1, 16, 64] {
        let count = 2000;
        let times = std::sync::Mutex::new(Vec::new());
        let kept = &times;
        let started = Instant::now();
        stream::iter(0..count)
            .for_each_concurrent(clients, |i| async move {
                let text = format!(
                    r#"{{"schemaVersion":2,"mediaType":"{}","manifests":[],"annotations":{{"n":"{clients}-{i}"}}}}"#,
                    MediaType::OCI_INDEX
                );
                let document = Document::parse(text.into(), None).unwrap();
                let tags = vec![format!("t{i}").parse().unwrap()];
                let options = PutManifest::pushed(tags);
                let started = Instant::now();
                store.put_manifest(name, &document, options).await.unwrap();
                let time = started.elapsed().as_secs_f64() * 1e3;
                kept.lock().unwrap().push(time);
            })
            .await;
        let rate = f64::from(count) / started.elapsed().as_secs_f64();
        let times = times.into_inner().unwrap();
        let at = |part: f64| {
            let mut times = times.clone();
            times.sort_by(f64::total_cmp);
            times
                .get((times.len() as f64 * part) as usize)
                .copied()
                .unwrap_or(0.0)
        };
        println!(
            "put manifests, {clients:2} at once   {rate:8.0} /s   p50 {:.1} p99 {:.1} max {:.1} ms",
            at(0.5),
            at(0.99),
            at(0.999)
        );
    }
    let tag = "t1".parse().unwrap();
    let record = store.tag(name, &tag).await.unwrap().unwrap();
    let started = Instant::now();
    for _ in 0..1_000_000 {
        let record = store.tag(name, &tag).await.unwrap().unwrap();
        store.manifest(name, &record.digest).await.unwrap().unwrap();
    }
    println!(
        "hot tag and manifest     {:8.0} ns",
        started.elapsed().as_secs_f64() * 1e3
    );
    drop(record);
}

async fn many(store: &Store, name: &RepositoryName) {
    let frame = frame(1000);
    let size = 100 * MIB;
    let (digest, _) = digest_of(&frame, size);
    push(store, name, &frame, size, &digest).await;
    let started = Instant::now();
    let pulls = (0..64).map(|_| {
        let (store, name, digest) = (store.clone(), name.clone(), digest.clone());
        tokio::spawn(async move {
            pull(&store, &name, &digest).await;
        })
    });
    let pushes = (0..16).map(|_| {
        let (store, name, digest, frame) =
            (store.clone(), name.clone(), digest.clone(), frame.clone());
        tokio::spawn(async move { push(&store, &name, &frame, size, &digest).await })
    });
    let tasks: Vec<_> = pulls.chain(pushes).collect();
    for task in tasks {
        task.await.unwrap();
    }
    let time = started.elapsed().as_secs_f64();
    println!(
        "64 pulls + 16 pushes of 100 MiB {time:.1} s, peak resident {:.0} MiB",
        resident_mib()
    );
}

#[tokio::main]
async fn main() {
    let folder = std::env::args()
        .nth(1)
        .map_or_else(std::env::temp_dir, PathBuf::from);
    let folder = tempfile::tempdir_in(folder).unwrap();
    let store = Store::open(&folder.path().join("data"), Mode::Serve)
        .await
        .unwrap();
    let name: RepositoryName = "bench/a".parse().unwrap();
    let only = std::env::args().nth(2);
    let wanted = |part: &str| only.as_deref().is_none_or(|only| only == part);
    println!("resident after opening {:8.0} MiB", resident_mib());
    if wanted("many") {
        many(&store, &name).await;
    }
    if wanted("small") {
        small(&store, &name).await;
    }
    if wanted("large") {
        large(folder.path(), &store, &name).await;
    }
    store.close().await;
}
