//! What the emulators of a run tell: the signals of their programs. Only whether one was stopped by
//! an illegal instruction is kept, so that a program which starts another and hides its end is not
//! taken for one that ran.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::thread::JoinHandle;

use rustix::fs::{CWD, FileType, Mode, mknodat};

use crate::error::EmulationError;

/// How QEMU begins the line of such a signal.
const ILLEGAL: &[u8] = b"--- SIGILL";
/// Ends the reading.
const END: &[u8] = b"\nmetahub: the run has ended\n";
const CHUNK: usize = 64 * 1024;

/// A pipe that is read while a run lasts.
#[derive(Debug)]
pub(crate) struct Log {
    pipe: File,
    reader: JoinHandle<bool>,
}

impl Log {
    /// Makes the pipe at `path`.
    pub(crate) fn open(path: &Path) -> Result<Self, EmulationError> {
        let io = |error: std::io::Error| EmulationError::io("make", path, error);
        mknodat(CWD, path, FileType::Fifo, Mode::from_raw_mode(0o600), 0)
            .map_err(|error| io(error.into()))?;
        // Opened for both, so that it is open while no emulator runs.
        let pipe = OpenOptions::new()
            .read(true)
            .write(true)
            .open(path)
            .map_err(io)?;
        let mut source = pipe.try_clone().map_err(io)?;
        let reader = std::thread::spawn(move || {
            let mut illegal = false;
            let mut seen = Vec::new();
            let mut chunk = vec![0; CHUNK];
            loop {
                let length = match source.read(&mut chunk) {
                    Ok(length) if length > 0 => length,
                    _ => return illegal,
                };
                seen.extend(chunk.iter().take(length));
                illegal |= holds(&seen, ILLEGAL);
                if holds(&seen, END) {
                    return illegal;
                }
                let done = seen.len().saturating_sub(END.len());
                seen.drain(..done);
            }
        });
        Ok(Self { pipe, reader })
    }

    /// Once all emulators have ended: whether a program was stopped by an illegal instruction.
    pub(crate) fn illegal(mut self) -> bool {
        // Not to know it is no proof that there was none.
        self.pipe.write_all(END).is_err() || self.reader.join().unwrap_or(true)
    }
}

fn holds(bytes: &[u8], text: &[u8]) -> bool {
    bytes.windows(text.len()).any(|window| window == text)
}
