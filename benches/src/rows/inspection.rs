//! Reading code: what it costs beyond decompression and hashing, what is resident meanwhile, and
//! whether pulls cost more while it goes on.
//!
//! The layers are programs of this machine, others in each round: no file is read twice.

use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use flate2::bufread::GzDecoder;
use metahub_e2e::pusher::{CONFIG, LAYER, MANIFEST, descriptor};
use miette::{IntoDiagnostic as _, Result, ensure, miette};
use serde_json::json;
use sha2::{Digest as _, Sha256};

use crate::client::Client;
use crate::hammer::{Hammer, Measured, Until};
use crate::http;
use crate::peer::{Kind, Peer, Place};
use crate::plan::Plan;
use crate::report::{Bound, CPU_PER_REQUEST, PEAK, RATE, Row, Spread};
use crate::usage;
use crate::world::config;

const REPOSITORY: &str = "bench/app";
const CONNECTIONS: usize = 32;
/// The login that pulls: its processor is held against what was read.
const PROFILE: &str = "x86_64_v3";
/// The thread that reads code.
const THREAD: &str = "inspect";
/// One part of a load, after which is looked whether reading goes on.
const PART: Duration = Duration::from_millis(50);
/// How long one layer may take.
const PATIENCE: Duration = Duration::from_secs(300);

const TRUST: &str = "trust-labels";
const WARN: &str = "warn, reading";
const READING: &str = "reading, CPU s/GiB";
const PLAIN: &str = "gzip + SHA-256, CPU s/GiB";

pub(super) fn measure(plan: &Plan) -> Result<Vec<Row>> {
    let Some(program) = plan.program(Kind::MetaHub) else {
        return Ok(Vec::new());
    };
    let size = plan.size(96 << 20, 48 << 20);
    let layers = layers(&plan.folder.join("inspection"), plan.rounds, size)?;
    let mut row = Row::new(
        format!("inspection of layers with {} MiB of programs", size >> 20),
        format!(
            "the processor time of the thread that reads, for each GiB of the layer without its \
             compression, beside one pass of gzip and SHA-256 over it; what is resident meanwhile; \
             and the manifest by tag under {PROFILE}, {CONNECTIONS} connections, without the time \
             of that thread"
        ),
    );
    let start = |mode: &str| -> Result<Peer> {
        let folder = plan.folder.join("inspection").join(mode);
        std::fs::create_dir_all(&folder).into_diagnostic()?;
        let place = Place {
            cores: plan.cores,
            folder: &folder,
            certificate: None,
        };
        let peer = Peer::start_inspecting(program, place, mode)?;
        push(&peer, "latest", &tar(&folder, &[])?)?;
        Ok(peer)
    };
    let (trust, warn) = (start("trust-labels")?, start("warn")?);
    read_so_far(&warn, 1)?;
    for (read, layer) in (2..).zip(&layers) {
        let start = Instant::now();
        let load = pulls(&trust, |_| Ok(start.elapsed() < plan.turn))?;
        add(&mut row, TRUST, &load);
        warn.forget_peak()?;
        push(&warn, &format!("round{read}"), layer)?;
        let load = pulls(&warn, |inspected| Ok(inspected < read))?;
        add(&mut row, WARN, &load);
        let (plain, gibibytes) = plain(layer)?;
        row.add(WARN, READING, load.reading / gibibytes);
        row.add(WARN, PLAIN, plain / gibibytes);
        row.add(WARN, PEAK, warn.memory()?.peak);
    }
    let beyond = row
        .values(WARN, READING)
        .iter()
        .zip(row.values(WARN, PLAIN));
    if let Some(beyond) = Spread::of(beyond.map(|(all, plain)| all - plain)) {
        row.tell("CPU s/GiB beyond gzip and SHA-256", beyond);
    }
    if let Some(peak) = Spread::of(row.values(WARN, PEAK).iter().copied()) {
        row.check("MiB resident at most", peak, Bound::AtMost(128.0));
    }
    row.check_ratio(WARN, TRUST, CPU_PER_REQUEST, Bound::AtMost(1.1));
    row.tell_ratio(WARN, TRUST, RATE);
    Ok(vec![row])
}

/// What a load came to, and the processor seconds of the server without the thread that reads.
struct Load {
    measured: Measured,
    cpu: f64,
    /// Those of that thread.
    reading: f64,
}

/// Pulls for as long as `more` says of how many layers were read. A thread that reads ends with its
/// layer, so its time is looked up after each part.
fn pulls(peer: &Peer, more: impl Fn(u64) -> Result<bool>) -> Result<Load> {
    let token = peer.token_under(REPOSITORY, Some(PROFILE))?;
    let path = format!("/v2/{REPOSITORY}/manifests/latest");
    let requests = vec![http::get(&peer.host, &path, token.as_deref())];
    let load = Hammer::copying(&peer.host, &requests, CONNECTIONS);
    let (mut measured, mut spent) = (Measured::default(), 0.0_f64);
    let (before, begun) = (peer.cpu()?, reading(peer)?);
    while more(inspected(peer)?)? {
        let part = load.run(Until::Passed(PART))?;
        measured.requests += part.requests;
        measured.seconds += part.seconds;
        spent = spent.max(reading(peer)?);
    }
    ensure!(
        measured.requests > 0,
        "the layer was read before anything was pulled"
    );
    Ok(Load {
        measured,
        cpu: peer.cpu()? - before - (spent - begun),
        reading: spent,
    })
}

fn add(row: &mut Row, name: &str, load: &Load) {
    row.add(name, RATE, load.measured.rate());
    let requests = crate::hammer::count(load.measured.requests.max(1));
    row.add(name, CPU_PER_REQUEST, 1e6 * load.cpu / requests);
}

/// Processor seconds of the thread that reads.
fn reading(peer: &Peer) -> Result<f64> {
    let threads = peer.processes()?.into_iter();
    threads
        .map(|process| usage::thread_cpu_seconds(process, THREAD))
        .sum()
}

/// Waits until so many layers were read.
fn read_so_far(peer: &Peer, layers: u64) -> Result<()> {
    let start = Instant::now();
    while inspected(peer)? < layers {
        ensure!(
            start.elapsed() < PATIENCE,
            "the layer was not read in {PATIENCE:?}"
        );
        std::thread::park_timeout(PART);
    }
    Ok(())
}

/// How many layers were read.
fn inspected(peer: &Peer) -> Result<u64> {
    let text = Client::connect(&peer.host, peer.basic())?.text("/metrics")?;
    let counts = text
        .lines()
        .filter_map(|line| line.strip_prefix("metahub_inspected_layers"));
    let count = counts
        .filter_map(|rest| rest.split_whitespace().last()?.parse().ok())
        .next();
    count.ok_or_else(|| miette!("the metrics tell nothing of inspected layers"))
}

fn push(peer: &Peer, tag: &str, layer: &[u8]) -> Result<()> {
    let mut client = peer.connect(REPOSITORY)?;
    let config = config();
    client.push_bytes(REPOSITORY, &config)?;
    client.push_bytes(REPOSITORY, layer)?;
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": descriptor(CONFIG, &config),
        "layers": [descriptor(LAYER, layer)],
    });
    let manifest = serde_json::to_vec(&manifest).into_diagnostic()?;
    peer.put_manifest(&mut client, REPOSITORY, tag, &manifest)
}

/// Processor seconds of one pass of gzip and SHA-256, and the GiB that come of it.
fn plain(layer: &[u8]) -> Result<(f64, f64)> {
    let before = usage::own_cpu_seconds()?;
    let (mut source, mut hash) = (GzDecoder::new(layer), Sha256::new());
    let (mut chunk, mut all) = (vec![0; 64 << 10], 0);
    loop {
        let length = source.read(&mut chunk).into_diagnostic()?;
        if length == 0 {
            break;
        }
        hash.update(chunk.get(..length).unwrap_or_default());
        all += length as u64;
    }
    std::hint::black_box(hash.finalize());
    let gibibytes = crate::hammer::bytes(all) / f64::from(1 << 30);
    Ok((usage::own_cpu_seconds()? - before, gibibytes))
}

/// Layers of this machine's programs, each of `size` bytes.
fn layers(folder: &Path, count: usize, size: u64) -> Result<Vec<Vec<u8>>> {
    std::fs::create_dir_all(folder).into_diagnostic()?;
    let mut programs = programs();
    let mut layers = Vec::new();
    for _ in 0..count {
        let (mut files, mut length) = (Vec::new(), 0);
        while length < size
            && let Some((file, bytes)) = programs.pop()
        {
            files.push(file);
            length += bytes;
        }
        ensure!(
            length >= size,
            "this machine has too few programs for {count} layers"
        );
        layers.push(tar(folder, &files)?);
    }
    Ok(layers)
}

/// Programs and libraries of this machine, and their lengths, the largest left out.
fn programs() -> Vec<(PathBuf, u64)> {
    let folders = ["/usr/bin", "/usr/lib", "/usr/lib/x86_64-linux-gnu"];
    let files = folders
        .iter()
        .filter_map(|folder| std::fs::read_dir(folder).ok());
    let mut programs: Vec<(PathBuf, u64)> = files
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let (file, there) = (entry.path(), entry.metadata().ok()?);
            let mut start = [0; 4];
            let is_file = there.is_file() && there.len() < 12 << 20;
            let mut open = std::fs::File::open(&file).ok().filter(|_| is_file)?;
            open.read_exact(&mut start).ok()?;
            (start == *b"\x7fELF").then_some((file, there.len()))
        })
        .collect();
    programs.sort_by_key(|(file, _)| Sha256::digest(file.as_os_str().as_encoded_bytes()).to_vec());
    programs
}

/// The files as a compressed layer.
fn tar(folder: &Path, files: &[PathBuf]) -> Result<Vec<u8>> {
    let (list, layer) = (folder.join("list"), folder.join("layer.tar.gz"));
    let mut lines = std::fs::File::create(&list).into_diagnostic()?;
    for file in files {
        let name = file.strip_prefix("/").unwrap_or(file);
        writeln!(lines, "{}", name.display()).into_diagnostic()?;
    }
    let mut command = Command::new("tar");
    command.args(["--use-compress-program", "gzip -1", "-C", "/", "-cf"]);
    let done = command.arg(&layer).arg("-T").arg(&list).status();
    ensure!(done.into_diagnostic()?.success(), "tar failed");
    std::fs::read(&layer).into_diagnostic()
}
