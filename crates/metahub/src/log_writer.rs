//! Writes log lines to standard error in a thread of its own (`tracing-appender`), so that a
//! request never waits for the reader of the log. Lines that find its queue full are counted, and
//! the log reports how many are missing.

use std::io::{self, BufWriter, Write};
use std::sync::{Arc, OnceLock};

use tracing_appender::non_blocking::{ErrorCounter, NonBlocking, NonBlockingBuilder, WorkerGuard};

/// Most lines that wait to be written: some megabytes of them.
const MOST_LINES: usize = 8192;

/// Writes lines to `out` until the guard is dropped, which waits up to a second for the last of
/// them. `report` receives how many lines were dropped since its last call.
pub(crate) fn start(
    out: impl Write + Send + 'static,
    report: impl Fn(usize) + Send + 'static,
) -> (NonBlocking, WorkerGuard) {
    let counter = Arc::new(OnceLock::new());
    let counted = Counted {
        out: BufWriter::new(out),
        counter: Arc::clone(&counter),
        reported: 0,
        report,
    };
    let (writer, guard) = NonBlockingBuilder::default()
        .buffered_lines_limit(MOST_LINES)
        .lossy(true)
        .thread_name("log")
        .finish(counted);
    let _ = counter.set(writer.error_counter());
    (writer, guard)
}

/// Gathers the lines of one turn of the writing thread, which flushes when its queue is empty.
struct Counted<W: Write, R> {
    out: BufWriter<W>,
    counter: Arc<OnceLock<ErrorCounter>>,
    reported: usize,
    report: R,
}

impl<W: Write, R: Fn(usize)> Write for Counted<W, R> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.out.write(line)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()?;
        let dropped = self.counter.get().map_or(0, ErrorCounter::dropped_lines);
        if dropped > self.reported {
            (self.report)(dropped - self.reported);
            self.reported = dropped;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::mpsc::{Receiver, Sender, channel};

    use tracing_subscriber::fmt::MakeWriter as _;

    use super::*;

    /// Takes nothing before `resume` says so, or is gone.
    struct Slow {
        resume: Receiver<()>,
        began: Sender<()>,
        read: Arc<Mutex<Vec<u8>>>,
    }

    impl Write for Slow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _ = self.began.send(());
            let _ = self.resume.recv();
            self.read.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn lines_that_find_no_room_are_counted_and_all_others_are_written_before_the_end() {
        let (resume, resumed) = channel();
        let (began, begun) = channel();
        let (lost, losses) = channel();
        let read = Arc::new(Mutex::new(Vec::new()));
        let slow = Slow {
            resume: resumed,
            began,
            read: Arc::clone(&read),
        };
        let (writer, guard) = start(slow, move |lines| {
            let _ = lost.send(lines);
        });
        writer.make_writer().write_all(b"first\n").unwrap();
        begun.recv().unwrap();
        // The thread is held up from here on, and nobody waits for it.
        for _ in 0..MOST_LINES + 3 {
            writer.make_writer().write_all(b"next\n").unwrap();
        }
        drop(resume);
        assert_eq!(losses.recv().unwrap(), 3);
        drop(guard);
        assert_eq!(read.lock().unwrap().len(), 6 + MOST_LINES * 5);
    }

    #[test]
    fn lines_are_written_before_the_guard_is_gone() {
        let (resume, resumed) = channel();
        let (began, _begun) = channel();
        drop(resume);
        let read = Arc::new(Mutex::new(Vec::new()));
        let out = Slow {
            resume: resumed,
            began,
            read: Arc::clone(&read),
        };
        let (writer, guard) = start(out, |_| ());
        for number in 0..100 {
            writeln!(writer.make_writer(), "{number}").unwrap();
        }
        drop(guard);
        let expected: String = (0..100).map(|number| format!("{number}\n")).collect();
        assert_eq!(*read.lock().unwrap(), expected.as_bytes());
    }
}
