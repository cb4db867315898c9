//! What inspection of programs costs beside one plain pass of the decoder over the same code:
//! `cost FILE…` prints both for each file, in seconds of the processor, the least of some rounds.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a measurement, which prints what it finds"
)]

use std::path::Path;
use std::time::Duration;

use iced_x86::{Decoder, DecoderOptions, Instruction};
use metahub_inspect::{Limits, inspect_file};

const ROUNDS: u32 = 5;

fn main() {
    let files: Vec<String> = std::env::args().skip(1).collect();
    let (mut plain, mut whole) = (Duration::ZERO, Duration::ZERO);
    println!("file\tcode in MiB\tone pass in ms\tinspection in ms\tratio");
    for file in &files {
        let bytes = std::fs::read(file).unwrap();
        let code = executable(&bytes);
        let length: usize = code.iter().map(|(from, to)| to - from).sum();
        let one = least(|| code.iter().map(|(from, to)| pass(&bytes[*from..*to])).sum());
        let all = least(|| {
            let facts = inspect_file(Path::new(file), &Limits::default()).unwrap();
            facts.map_or(0, |facts| facts.cpu.evidence.len() as u64)
        });
        let ratio = all.as_secs_f64() / one.as_secs_f64().max(1e-9);
        let milliseconds = |time: Duration| time.as_secs_f64() * 1000.0;
        println!(
            "{file}\t{:.1}\t{:.1}\t{:.1}\t{ratio:.2}",
            length as f64 / f64::from(1 << 20),
            milliseconds(one),
            milliseconds(all),
        );
        plain += one;
        whole += all;
    }
    let ratio = whole.as_secs_f64() / plain.as_secs_f64().max(1e-9);
    println!(
        "all\t\t{:.1}\t{:.1}\t{ratio:.2}",
        plain.as_secs_f64() * 1000.0,
        whole.as_secs_f64() * 1000.0
    );
}

fn least(work: impl Fn() -> u64) -> Duration {
    let time = |_| {
        let start = used();
        std::hint::black_box(work());
        used() - start
    };
    (0..ROUNDS).map(time).min().unwrap()
}

/// How long the processor has worked on this thread.
fn used() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(text.split_whitespace().next().unwrap().parse().unwrap())
}

/// Decodes all that is there, and looks at nothing.
fn pass(code: &[u8]) -> u64 {
    let mut decoder = Decoder::with_ip(64, code, 0, DecoderOptions::NONE);
    let mut instruction = Instruction::default();
    let mut count = 0;
    while decoder.can_decode() {
        decoder.decode_out(&mut instruction);
        count += u64::from(!instruction.is_invalid());
    }
    count
}

/// The sections that hold code, by their places in the file.
fn executable(file: &[u8]) -> Vec<(usize, usize)> {
    let number = |at: usize, length: usize| {
        let mut all = [0; 8];
        all[..length].copy_from_slice(&file[at..at + length]);
        usize::try_from(u64::from_le_bytes(all)).unwrap()
    };
    let (table, size, count) = (number(40, 8), number(58, 2), number(60, 2));
    let sections = (0..count).map(|index| table + index * size);
    sections
        .filter(|at| number(at + 4, 4) == 1 && number(at + 8, 8) & 4 != 0)
        .map(|at| (number(at + 24, 8), number(at + 24, 8) + number(at + 32, 8)))
        .collect()
}
