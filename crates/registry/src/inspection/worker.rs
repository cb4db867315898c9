//! The one thread that inspects layers, at the lowest priority and a limited rate.

use std::io::{self, Read};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};
use metahub_inspect::{LayerNeeds, LayerReader, Limits};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

/// The niceness of the thread: the highest there is.
const NICE: i32 = 19;

/// A layer to read.
pub(super) struct Layer {
    pub(super) stream: Pin<Box<dyn Stream<Item = io::Result<Bytes>> + Send>>,
    /// Bytes a second at most.
    pub(super) rate: Option<u64>,
}

/// What a layer needs, and whether it was read to its end.
type Answer = (LayerNeeds, bool);

/// The thread, which ends when this is dropped.
pub(super) struct Worker {
    work: mpsc::Sender<(Layer, oneshot::Sender<Answer>)>,
    ended: AtomicBool,
}

impl Worker {
    /// Starts the thread.
    pub(super) fn start() -> io::Result<Self> {
        let (work, jobs) = mpsc::channel::<(Layer, oneshot::Sender<Answer>)>();
        let handle = Handle::current();
        let run = move || {
            // Only for this thread, on Linux. The thread also works without it.
            let _ = rustix::process::setpriority_process(None, NICE);
            let mut reader = LayerReader::new(Limits::default());
            while let Ok((layer, answer)) = jobs.recv() {
                let _ = answer.send(read(&mut reader, layer, &handle));
            }
        };
        thread::Builder::new()
            .name("inspect".to_owned())
            .spawn(run)?;
        Ok(Self {
            work,
            ended: AtomicBool::new(false),
        })
    }

    /// What a layer needs; `None` if the thread has ended.
    pub(super) async fn read(&self, layer: Layer) -> Option<Answer> {
        let (answer, answered) = oneshot::channel();
        let read = match self.work.send((layer, answer)) {
            Ok(()) => answered.await.ok(),
            Err(_) => None,
        };
        self.ended.fetch_or(read.is_none(), Ordering::Relaxed);
        read
    }

    /// Whether the thread has failed, so that another one is needed.
    pub(super) fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Relaxed)
    }
}

fn read(reader: &mut LayerReader, layer: Layer, handle: &Handle) -> Answer {
    let mut source = Paced {
        handle,
        stream: layer.stream,
        held: Bytes::new(),
        rate: layer.rate,
        began: Instant::now(),
        read: 0,
        failed: None,
    };
    let needs = reader.read(&mut source);
    // Read to its end, where the content is verified.
    let _ = io::copy(&mut source, &mut io::sink());
    match source.failed {
        None => (needs, true),
        Some(error) => (LayerNeeds::unread(format!("it broke off: {error}")), false),
    }
}

/// A stream with a limited rate.
struct Paced<'h> {
    handle: &'h Handle,
    stream: Pin<Box<dyn Stream<Item = io::Result<Bytes>> + Send>>,
    held: Bytes,
    rate: Option<u64>,
    began: Instant,
    read: u64,
    failed: Option<String>,
}

impl Read for Paced<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.held.is_empty() {
            match self.handle.block_on(self.stream.next()) {
                Some(Ok(bytes)) => self.held = bytes,
                Some(Err(error)) => {
                    self.failed = Some(error.to_string());
                    return Err(error);
                }
                None => return Ok(0),
            }
            self.read += self.held.len() as u64;
            if let Some(pause) = self
                .rate
                .and_then(|rate| ahead(self.read, rate, self.began.elapsed()))
            {
                // Made within the runtime, whose clock it waits for.
                self.handle
                    .block_on(async { tokio::time::sleep(pause).await });
            }
        }
        let length = self.held.len().min(buffer.len());
        let part = self.held.split_to(length);
        if let Some(into) = buffer.get_mut(..length) {
            into.copy_from_slice(&part);
        }
        Ok(length)
    }
}

/// How long to wait until so many bytes may have been read.
fn ahead(bytes: u64, rate: u64, elapsed: Duration) -> Option<Duration> {
    let due = Duration::from_secs_f64(bytes as f64 / rate.max(1) as f64);
    due.checked_sub(elapsed).filter(|pause| !pause.is_zero())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reading_waits_until_it_may_go_on() {
        let seconds = Duration::from_secs;
        assert_eq!(ahead(100, 10, seconds(4)), Some(seconds(6)));
        assert_eq!(ahead(100, 10, seconds(10)), None);
        assert_eq!(ahead(100, 0, seconds(1)), Some(seconds(99)));
    }
}
