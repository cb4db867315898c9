//! Prints what the machine that it runs on provides, one feature a line, CPU target first.
//! Given a folder, it reads that tree instead. The end-to-end tests run it under emulated
//! processors.
#![expect(clippy::print_stdout, reason = "it prints what it finds")]

use metahub_hardware::Microarchitectures;
use metahub_hardware::detect::{DetectOptions, Root, detect};

fn main() {
    let root = std::env::args().nth(1).unwrap_or_else(|| "/".to_owned());
    let node = detect(
        &Root::new(root),
        &Microarchitectures::builtin(),
        &DetectOptions::default(),
    );
    print!("{node}");
}
