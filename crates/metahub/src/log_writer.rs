//! Standard error as the log sees it: lines are put in memory, and a thread of their own writes
//! them, many at once where many come. Whoever logs never waits for whoever reads: lines that
//! find no room are counted, and the log says how many are missing.

use std::io::{self, Write};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use tracing_subscriber::fmt::MakeWriter;

/// Most bytes of lines that wait to be written.
const MOST_BYTES: usize = 4 * 1024 * 1024;
/// What of that is kept when it is not needed.
const USUAL_BYTES: usize = 64 * 1024;
/// How long lines gather after others were written, so that a busy server wakes the thread some
/// hundred times a second and not once for every line.
const GATHER: Duration = Duration::from_millis(3);
/// How long the end of the process waits for who reads.
const FAREWELL: Duration = Duration::from_secs(1);

/// Where log lines are put.
#[derive(Clone, Default)]
pub(crate) struct LogWriter(Arc<Shared>);

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    /// There are lines, or it ends.
    work: Condvar,
    /// All has been written.
    ended: Condvar,
}

#[derive(Default)]
struct State {
    lines: Vec<u8>,
    lost: u64,
    /// Whether the thread waits to be woken.
    idle: bool,
    ending: bool,
    ended: bool,
}

/// Has what was logged written when it is dropped.
#[must_use]
pub(crate) struct LogGuard(Arc<Shared>);

impl LogWriter {
    /// Has lines written to `out`, by a thread that ends with the guard. `tell` logs how many
    /// lines were lost.
    pub(crate) fn start(
        out: impl Write + Send + 'static,
        tell: impl Fn(u64) + Send + 'static,
    ) -> io::Result<(Self, LogGuard)> {
        let writer = Self::default();
        let shared = Arc::clone(&writer.0);
        thread::Builder::new()
            .name("log".to_owned())
            .spawn(move || shared.write_all(out, tell))?;
        let guard = LogGuard(Arc::clone(&writer.0));
        Ok((writer, guard))
    }
}

impl Shared {
    fn put(&self, line: &[u8]) {
        let mut state = self.state.lock();
        // One line always finds room, however long it is.
        if !state.lines.is_empty() && state.lines.len() + line.len() > MOST_BYTES {
            state.lost += 1;
            return;
        }
        state.lines.extend_from_slice(line);
        if std::mem::take(&mut state.idle) {
            drop(state);
            self.work.notify_one();
        }
    }

    fn write_all(&self, mut out: impl Write, tell: impl Fn(u64)) {
        let mut writing = Vec::new();
        loop {
            let mut state = self.state.lock();
            while state.lines.is_empty() && !state.ending {
                state.idle = true;
                self.work.wait(&mut state);
            }
            state.idle = false;
            if state.lines.is_empty() {
                state.ended = true;
                self.ended.notify_all();
                return;
            }
            std::mem::swap(&mut state.lines, &mut writing);
            let lost = std::mem::take(&mut state.lost);
            drop(state);
            // A log that nobody can read any more is no reason to stop serving.
            let _ = out.write_all(&writing).and_then(|()| out.flush());
            writing.clear();
            writing.shrink_to(USUAL_BYTES);
            if lost > 0 {
                tell(lost);
            }
            let mut state = self.state.lock();
            if !state.ending {
                self.work.wait_for(&mut state, GATHER);
            }
        }
    }
}

impl Drop for LogGuard {
    fn drop(&mut self) {
        let mut state = self.0.state.lock();
        state.ending = true;
        self.0.work.notify_one();
        if !state.ended {
            self.0
                .ended
                .wait_while_for(&mut state, |state| !state.ended, FAREWELL);
        }
    }
}

impl<'a> MakeWriter<'a> for LogWriter {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Line<'a> {
        Line(&self.0)
    }
}

/// One line, which comes in one piece.
pub(crate) struct Line<'a>(&'a Shared);

impl Write for Line<'_> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.put(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};

    use super::*;

    /// A reader that takes nothing until it is told to.
    struct Slow {
        told: Receiver<()>,
        began: Sender<()>,
        read: Arc<Mutex<Vec<u8>>>,
    }

    impl Write for Slow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _ = self.began.send(());
            let _ = self.told.recv();
            self.read.lock().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn lines_that_find_no_room_are_counted_and_all_others_are_written_before_the_end() {
        let (tell, told) = channel();
        let (began, begun) = channel();
        let (lost, losses) = channel();
        let read = Arc::new(Mutex::new(Vec::new()));
        let slow = Slow {
            told,
            began,
            read: Arc::clone(&read),
        };
        let (writer, guard) = LogWriter::start(slow, move |lines| {
            let _ = lost.send(lines);
        })
        .unwrap();
        writer.make_writer().write_all(b"first\n").unwrap();
        begun.recv().unwrap();
        // The thread is held up from here on, and nobody waits for it.
        let line = [b'x'; 1024];
        let fit = MOST_BYTES / line.len();
        for _ in 0..fit + 3 {
            writer.make_writer().write_all(&line).unwrap();
        }
        drop(tell);
        assert_eq!(losses.recv().unwrap(), 3);
        drop(guard);
        assert_eq!(read.lock().len(), 6 + fit * line.len());
    }

    #[test]
    fn what_was_logged_is_there_when_the_guard_is_gone() {
        let (tell, told) = channel();
        let (began, _begun) = channel();
        drop(tell);
        let read = Arc::new(Mutex::new(Vec::new()));
        let out = Slow {
            told,
            began,
            read: Arc::clone(&read),
        };
        let (writer, guard) = LogWriter::start(out, |_| ()).unwrap();
        for number in 0..100 {
            writeln!(writer.make_writer(), "{number}").unwrap();
        }
        drop(guard);
        let expected: String = (0..100).map(|number| format!("{number}\n")).collect();
        assert_eq!(*read.lock(), expected.as_bytes());
    }
}
