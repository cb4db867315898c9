//! Inspection of programs that others built: packages of Debian drawn by their names, and wheels
//! of Python. None of them is fitted to, and their truth is what they are published for: Debian's
//! packages run on every amd64 processor unless they say otherwise, these wheels on x86-64-v2.
//!
//! With `METAHUB_TEST_HELD_OUT=1`, which `scripts/test --full` sets: it downloads some hundred MiB.
//! `METAHUB_TEST_PACKAGES` says how many packages are drawn.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test, which shows what it found"
)]

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use metahub_e2e::corpus::{Corpus, LEVELS};
use metahub_e2e::process::Cmd;
use metahub_e2e::require;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

/// Packages that are drawn.
const PACKAGES: usize = 200;
/// The largest that is drawn, in bytes.
const LARGEST: u64 = 20_000_000;
/// What Debian's packages depend on that need more than every amd64 processor has.
const SAYS_SO: &str = "-support";
/// Packages whose programs are built for one processor each, and chosen by a script or by their
/// users.
const FOR_ONE: &[&str] = &["wtdbg2", "libdpdk", "librte", "dpdk", "libflame", "libvisp"];

/// The wheels, for CPython 3.11 on 64-bit x86.
const WHEELS: &[&str] = &[
    "numpy==2.3.5",
    "scipy==1.16.3",
    "zstandard==0.25.0",
    "orjson==3.11.4",
    "rapidfuzz==3.14.3",
    "blosc2==3.10.2",
    "cryptography==46.0.3",
];

/// What inspection says of all files.
struct Inspected {
    /// The files that have an answer.
    found: Vec<Found>,
    programs: u64,
    /// What the whole requires: files beside which others stand for other processors do not count.
    required: usize,
}

/// What inspection says of a file.
struct Found {
    file: String,
    required: usize,
    dispatched: usize,
    unknown: bool,
}

fn is_asked_for(tools: &[&str]) -> bool {
    let asked = std::env::var_os("METAHUB_TEST_HELD_OUT").is_some_and(|value| value == "1");
    if !asked {
        println!("left out: METAHUB_TEST_HELD_OUT is not 1");
    }
    asked && require::tools(tools)
}

fn inspect(corpus: &Corpus) -> Inspected {
    let report = corpus.report();
    let level = |value: &Value| LEVELS.iter().position(|l| value == l).unwrap_or(0);
    let files = report["files"].as_array().unwrap().iter();
    let found = files.map(|file| Found {
        file: file["file"].as_str().unwrap().replacen("bin/", "", 1),
        required: level(&file["required"]),
        dispatched: level(&file["dispatched"]),
        unknown: file["unknown"].as_bool().unwrap(),
    });
    Inspected {
        found: found.collect(),
        programs: report["programs"].as_u64().unwrap(),
        required: level(&report["cpu"]["required"]),
    }
}

/// The packages of a Debian for amd64 and what each depends on, in the order of the hashes of
/// their names.
fn drawn() -> Vec<(String, String)> {
    let listed = Cmd::new("apt-cache").arg("dumpavail").ok().stdout;
    let mut packages = Vec::new();
    for paragraph in listed.split("\n\n") {
        let field = |name: &str| {
            let start = format!("{name}: ");
            let mut lines = paragraph.lines();
            lines.find_map(|line| line.strip_prefix(&start))
        };
        let size = field("Size").and_then(|size| size.parse::<u64>().ok());
        if field("Architecture") == Some("amd64")
            && size.is_some_and(|size| size <= LARGEST)
            && let Some(name) = field("Package")
        {
            let depends = field("Depends").unwrap_or_default();
            packages.push((name.to_owned(), depends.to_owned()));
        }
    }
    packages.sort_by_key(|(name, _)| Sha256::digest(name));
    packages.dedup();
    packages
}

#[test]
fn packages_of_debian_need_what_debian_promises() {
    if !is_asked_for(&["apt-cache", "apt-get", "dpkg-deb", "tar", "gzip"]) {
        return;
    }
    let count = std::env::var("METAHUB_TEST_PACKAGES").ok();
    let count = count.map_or(PACKAGES, |count| count.parse().unwrap());
    let packages = drawn();
    assert!(packages.len() > 10_000, "apt's lists are not here");
    let packages = &packages[..count];
    let (corpus, debs) = (Corpus::new(), tempfile::tempdir().unwrap());
    for some in packages.chunks(50) {
        Cmd::new("apt-get")
            .args(["download", "--quiet", "-o", "APT::Sandbox::User=root"])
            .args(some.iter().map(|(name, _)| name))
            .dir(debs.path())
            .limit(Duration::from_secs(900))
            .ok();
    }
    for deb in std::fs::read_dir(debs.path()).unwrap() {
        let deb = deb.unwrap().path();
        let name = deb.file_name().unwrap().to_str().unwrap();
        let package = name.split('_').next().unwrap();
        Cmd::new("dpkg-deb")
            .arg("-x")
            .arg(&deb)
            .arg(corpus.file(package))
            .limit(Duration::from_secs(300))
            .ok();
        std::fs::remove_file(deb).unwrap();
    }
    let exempt: BTreeSet<&str> = packages
        .iter()
        .filter(|(name, depends)| {
            depends.contains(SAYS_SO) || FOR_ONE.iter().any(|start| name.starts_with(start))
        })
        .map(|(name, _)| name.as_str())
        .collect();
    let Inspected {
        found, programs, ..
    } = inspect(&corpus);
    let (mut unknown, mut over) = (0, 0);
    for one in &found {
        let said = exempt.contains(one.file.split('/').next().unwrap());
        if one.required > 0 {
            println!(
                "{}: requires {}, said {said}",
                one.file, LEVELS[one.required]
            );
            over += u64::from(!said);
        }
        if one.unknown {
            println!("{}: unknown", one.file);
            unknown += 1;
        }
    }
    println!("{programs} programs of {count} packages: {unknown} unknown, {over} over-claimed");
    assert!(programs > 2 * count as u64, "{programs}");
    assert!(over * 2000 <= programs, "{over} of {programs} over-claimed");
    assert!(unknown * 50 <= programs, "{unknown} of {programs} unknown");
}

#[test]
fn wheels_need_what_they_are_published_for() {
    if !is_asked_for(&["python3", "tar", "gzip"]) {
        return;
    }
    let (corpus, wheels) = (Corpus::new(), tempfile::tempdir().unwrap());
    let platforms = [
        "manylinux2014_x86_64",
        "manylinux_2_17_x86_64",
        "manylinux_2_28_x86_64",
    ];
    Cmd::new("python3")
        .args([
            "-m",
            "pip",
            "download",
            "--quiet",
            "--no-deps",
            "--only-binary",
            ":all:",
        ])
        .args([
            "--python-version",
            "3.11",
            "--implementation",
            "cp",
            "--dest",
        ])
        .arg(wheels.path())
        .args(
            platforms
                .iter()
                .flat_map(|platform| ["--platform", platform]),
        )
        .args(WHEELS)
        .limit(Duration::from_secs(900))
        .ok();
    for wheel in std::fs::read_dir(wheels.path()).unwrap() {
        unpack(&wheel.unwrap().path(), &corpus.file(""));
    }
    let Inspected {
        found,
        programs,
        required,
    } = inspect(&corpus);
    let mut unknown = 0;
    for one in &found {
        if one.required > 1 {
            println!("{} requires {}", one.file, LEVELS[one.required]);
        }
        if one.unknown {
            println!("{}: unknown", one.file);
            unknown += 1;
        }
    }
    println!("{programs} programs of wheels: {unknown} unknown");
    assert!(required <= 1, "together they require {}", LEVELS[required]);
    assert!(programs > 100, "{programs}");
    // Modules built for x86-64-v2 whose code does not come to it at once are unknown: rule 4.
    assert!(unknown * 8 <= programs, "{unknown} of {programs} unknown");
    // They choose by themselves what is for newer processors.
    for chooser in ["numpy/_core/_multiarray_umath", "libscipy_openblas"] {
        let chooses = |one: &Found| one.file.contains(chooser) && one.dispatched >= 2;
        assert!(found.iter().any(chooses), "{chooser} dispatches nothing");
    }
}

fn unpack(wheel: &Path, to: &Path) {
    Cmd::new("python3")
        .args(["-m", "zipfile", "-e"])
        .arg(wheel)
        .arg(to)
        .ok();
}
