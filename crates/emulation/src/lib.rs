//! Runs a program of an unpacked image on an emulated processor: QEMU's user emulation, in
//! namespaces of its own, without network and without the machine's files.
//!
//! Whatever the program starts is emulated, too: a handler of `binfmt_misc` that only this run has
//! leads every program to the emulator, which the machine's own processor would else run. Nothing
//! here judges what a run shows.

mod elf;
mod emulator;
mod end;
mod error;
mod inside;
mod log;
mod measure;
mod opened;
mod processor;
mod run;
mod starter;

pub use emulator::Emulator;
pub use end::End;
pub use error::EmulationError;
pub use inside::run_if_inside;
pub use processor::Processor;
pub use run::{Bounds, Ran, Run};
