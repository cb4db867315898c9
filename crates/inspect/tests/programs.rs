//! Damaged programs and programs that were made to do harm: bounded, never a panic, and what could
//! not be read is unknown.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test"
)]

use metahub_inspect::{FileFacts, Limits, inspect_file};

const PROGRAM: &str = "/bin/true";
/// How many damaged programs are read.
const CASES: usize = 3_000;

fn inspect(bytes: &[u8]) -> Option<FileFacts> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), bytes).unwrap();
    inspect_file(file.path(), &Limits::default()).unwrap()
}

fn program() -> Vec<u8> {
    std::fs::read(PROGRAM).unwrap()
}

fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    bytes[at..at + value.len()].copy_from_slice(value);
}

fn word(bytes: &[u8], at: usize) -> usize {
    u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap()) as usize
}

#[test]
fn a_whole_program_is_read() {
    let facts = inspect(&program()).unwrap();
    assert!(facts.loaded && facts.damage.is_empty(), "{facts:?}");
    assert!(
        facts.needed.iter().any(|name| name.starts_with("libc.so")),
        "{facts:?}"
    );
    assert!(
        facts.glibc.is_some() && facts.interpreter.is_some(),
        "{facts:?}"
    );
    assert_eq!(inspect(b"#!/bin/sh\n"), None);
    assert_eq!(inspect(b""), None);
}

#[test]
fn programs_that_claim_what_they_have_not_are_unknown() {
    type Damage = fn(&mut Vec<u8>);
    let cases: [(&str, Damage); 8] = [
        ("cut off", |b| b.truncate(b.len() / 2)),
        ("only a header", |b| b.truncate(64)),
        ("program headers beyond the end", |b| {
            put(b, 32, &u64::MAX.to_le_bytes());
        }),
        ("65535 program headers", |b| {
            put(b, 56, &u16::MAX.to_le_bytes());
        }),
        ("sections beyond the end", |b| {
            put(b, 40, &(1_u64 << 62).to_le_bytes());
        }),
        ("five million sections", |b| {
            // The number stands in the first section when it is too great for the header.
            let table = word(b, 40);
            put(b, 60, &0_u16.to_le_bytes());
            put(b, table + 32, &5_000_000_u64.to_le_bytes());
        }),
        ("a segment of 2^60 bytes", |b| {
            let table = word(b, 32);
            let load = (0..12)
                .map(|n| table + n * 56)
                .find(|at| b[*at] == 1)
                .unwrap();
            put(b, load + 32, &(1_u64 << 60).to_le_bytes());
        }),
        ("32 bits", |b| b[4] = 1),
    ];
    for (name, damage) in cases {
        let mut bytes = program();
        damage(&mut bytes);
        let facts = inspect(&bytes).unwrap();
        assert!(facts.cpu.unknown, "{name}: {facts:?}");
    }
}

/// Bytes of the tables that everything else is found by are changed more often than others.
#[test]
fn damaged_programs_never_panic() {
    let whole = program();
    let sections = word(&whole, 40);
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut random = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % below as u64) as usize
    };
    let values: [u64; 8] = [0, 1, 0x7f, 0xff, 0xffff, 0xffff_ffff, 1 << 40, u64::MAX];
    let mut read = 0;
    for _ in 0..CASES {
        let mut bytes = whole.clone();
        for _ in 0..=random(6) {
            let at = match random(5) {
                0 => 16 + random(48),
                1 => 64 + random(800),
                2 => sections + random(bytes.len() - sections),
                _ => random(bytes.len()),
            };
            let value = values[random(values.len())].to_le_bytes();
            let width = [1, 2, 4, 8][random(4)].min(bytes.len() - at);
            put(&mut bytes, at, &value[..width]);
        }
        if random(10) == 0 {
            bytes.truncate(random(whole.len()));
        }
        read += usize::from(inspect(&bytes).is_some());
    }
    assert!(read > CASES / 2, "{read} of {CASES} were read");
}

/// A static program without sections that runs `code` right behind its headers.
fn bare(code: &[u8]) -> Vec<u8> {
    let size = 120 + code.len() as u64;
    let mut file = vec![0; 120];
    put(&mut file, 0, b"\x7fELF\x02\x01\x01");
    put(&mut file, 16, &[2, 0, 62, 0, 1, 0, 0, 0]);
    for (at, word) in [(24, 0x40_0078), (32, 64)] {
        put(&mut file, at, &u64::to_le_bytes(word));
    }
    for (at, half) in [(52, 64), (54, 56), (56, 1), (58, 64)] {
        put(&mut file, at, &u16::to_le_bytes(half));
    }
    put(&mut file, 64, &[1, 0, 0, 0, 5, 0, 0, 0]);
    for (number, word) in [0, 0x40_0000, 0x40_0000, size, size, 4096]
        .into_iter()
        .enumerate()
    {
        put(&mut file, 72 + 8 * number, &u64::to_le_bytes(word));
    }
    file.extend(code);
    file
}

#[test]
fn a_program_of_a_few_instructions_behind_its_headers_is_read() {
    const EXIT: &[u8] = &[0xb8, 60, 0, 0, 0, 0x31, 0xff, 0x0f, 0x05];
    for (code, required) in [
        (&[][..], None),
        (&[0xc5, 0xfd, 0xfe, 0xc0], Some("x86_64_v3")),
        (&[0x62, 0xf1, 0x7d, 0x48, 0xfe, 0xc0], Some("x86_64_v4")),
    ] {
        let facts = inspect(&bare(&[code, EXIT].concat())).unwrap();
        let found = facts.cpu.required.map(metahub_inspect::Level::target);
        assert_eq!(found, required, "{:?}", facts.cpu);
        assert!(!facts.cpu.unknown, "{:?}", facts.cpu);
    }
}
