//! Timeouts of a connection: for a request's head, between requests, and while the client takes an
//! answer. The timeout of a request's body is in [`crate::request`].
//!
//! Only waiting for the client counts. Time in which the server or an upstream works on an answer
//! does not. Times are noted as they pass, without any lock or timer; one timer per connection
//! checks them periodically.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::limits::Limits;
use crate::overdue::Overdue;
use crate::streams::StreamPace;

/// How long a connection may be idle, in milliseconds, while others wait for its place.
const CROWDED_REST: u64 = 500;

/// The progress of one connection. Times are milliseconds since its start.
#[derive(Debug)]
pub(crate) struct Timeouts {
    began: Instant,
    header_timeout: u64,
    idle_timeout: u64,
    stall_timeout: u64,
    /// Requests that are being answered.
    running: AtomicU32,
    /// Answers of which hyper has a part and asked for no further one yet.
    owed: AtomicU32,
    /// Whether bytes wait for room in the socket.
    blocked: AtomicBool,
    /// When bytes were last sent to the client, or began to wait for it.
    moved_at: AtomicU64,
    /// When the last request ended.
    quiet_at: AtomicU64,
    /// When the first byte of the head came that is being received; 0 for none.
    head_at: AtomicU64,
    /// Whether there was a request at all.
    used: AtomicBool,
    /// Whether others wait for a place: then the idle timeout is shorter.
    crowded: watch::Receiver<bool>,
    /// HTTP/2: requests are multiplexed, so that received bytes are not necessarily a head.
    multiplexed: AtomicBool,
}

impl Timeouts {
    pub(crate) fn new(limits: &Limits, crowded: watch::Receiver<bool>) -> Arc<Self> {
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        Arc::new(Self {
            began: Instant::now(),
            header_timeout: millis(limits.header_timeout),
            idle_timeout: millis(limits.idle_timeout),
            stall_timeout: millis(limits.stall_timeout),
            running: AtomicU32::new(0),
            owed: AtomicU32::new(0),
            blocked: AtomicBool::new(false),
            moved_at: AtomicU64::new(0),
            quiet_at: AtomicU64::new(0),
            head_at: AtomicU64::new(0),
            used: AtomicBool::new(false),
            crowded,
            multiplexed: AtomicBool::new(false),
        })
    }

    /// Never 0, which stands for no time.
    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).map_or(u64::MAX, |now| now.max(1))
    }

    /// Notes a running request, until the result is dropped.
    pub(crate) fn request(self: &Arc<Self>, version: http::Version) -> Running {
        self.running.fetch_add(1, Relaxed);
        self.used.store(true, Relaxed);
        self.head_at.store(0, Relaxed);
        if version == http::Version::HTTP_2 {
            self.multiplexed.store(true, Relaxed);
        }
        Running {
            timeouts: Arc::clone(self),
            owes: false,
            stream: None,
        }
    }

    fn received(&self) {
        let head = self.running.load(Relaxed) == 0
            && self.head_at.load(Relaxed) == 0
            && !self.multiplexed.load(Relaxed);
        if head {
            self.head_at.store(self.now(), Relaxed);
        }
    }

    fn sent(&self) {
        self.blocked.store(false, Relaxed);
        self.moved_at.store(self.now(), Relaxed);
    }

    fn cannot_send(&self) {
        if !self.blocked.swap(true, Relaxed) {
            self.moved_at.store(self.now(), Relaxed);
        }
    }

    /// When the client is overdue if nothing passes until then, and why.
    fn due(&self) -> Option<(u64, Overdue)> {
        let moved = self.moved_at.load(Relaxed);
        if self.blocked.load(Relaxed) || self.owed.load(Relaxed) > 0 {
            let due = moved.saturating_add(self.stall_timeout);
            return Some((due, Overdue::Stalled));
        }
        if self.running.load(Relaxed) > 0 {
            return None;
        }
        let head = self.head_at.load(Relaxed);
        if head > 0 || !self.used.load(Relaxed) {
            return Some((head.saturating_add(self.header_timeout), Overdue::Head));
        }
        let mut quiet = self.quiet_at.load(Relaxed);
        // Bytes over HTTP/2 may be answers to pings alone, which do not keep a connection.
        if !self.multiplexed.load(Relaxed) {
            quiet = quiet.max(moved);
        }
        let rest = if *self.crowded.borrow() {
            self.idle_timeout.min(CROWDED_REST)
        } else {
            self.idle_timeout
        };
        Some((quiet.saturating_add(rest), Overdue::Idle))
    }

    /// Completes when the client is overdue.
    pub(crate) async fn overdue(&self) -> Overdue {
        // A timeout that begins during the sleep is not due before its own time, so sleeping for
        // the shortest of them misses none.
        let shortest = self
            .header_timeout
            .min(self.idle_timeout)
            .min(self.stall_timeout)
            .max(1);
        let mut crowded = self.crowded.clone();
        loop {
            let now = self.now();
            let longest = now.saturating_add(shortest);
            let until = match self.due() {
                Some((due, overdue)) if due <= now => return overdue,
                Some((due, _)) => due.min(longest),
                None => longest,
            };
            tokio::select! {
                () = tokio::time::sleep(Duration::from_millis(until - now)) => {}
                () = becomes_crowded(&mut crowded) => {}
            }
        }
    }
}

async fn becomes_crowded(crowded: &mut watch::Receiver<bool>) {
    // The listener is gone, so it will not become full.
    if crowded.changed().await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// A request that is being answered.
#[derive(Debug)]
pub(crate) struct Running {
    timeouts: Arc<Timeouts>,
    owes: bool,
    /// The progress of its stream, over HTTP/2.
    stream: Option<Arc<StreamPace>>,
}

impl Running {
    /// Notes that the current task sends the answer. Returns whether as one stream of many.
    pub(crate) fn is_sent_here(&mut self) -> bool {
        self.stream = StreamPace::current();
        self.stream.is_some()
    }

    /// A part of the answer was handed over to be sent.
    pub(crate) fn gave(&mut self) {
        if let Some(stream) = &self.stream {
            stream.gave();
        }
        self.timeouts.moved_at.store(self.timeouts.now(), Relaxed);
        if !self.owes {
            self.owes = true;
            self.timeouts.owed.fetch_add(1, Relaxed);
        }
    }

    /// There is room for a further part.
    pub(crate) fn asked(&mut self) {
        if let Some(stream) = &self.stream {
            stream.asked();
        }
        if self.owes {
            self.owes = false;
            self.timeouts.owed.fetch_sub(1, Relaxed);
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.asked();
        self.timeouts.quiet_at.store(self.timeouts.now(), Relaxed);
        self.timeouts.running.fetch_sub(1, Relaxed);
    }
}

/// A byte stream that notes its progress.
pub(crate) struct TimedStream<S> {
    stream: S,
    timeouts: Arc<Timeouts>,
}

impl<S> TimedStream<S> {
    pub(crate) fn new(stream: S, timeouts: Arc<Timeouts>) -> Self {
        Self { stream, timeouts }
    }

    fn note(&self, polled: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        match polled {
            Poll::Ready(Ok(_)) => self.timeouts.sent(),
            Poll::Ready(Err(_)) => {}
            Poll::Pending => self.timeouts.cannot_send(),
        }
        polled
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for TimedStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(context, buffer);
        if buffer.filled().len() > before {
            self.timeouts.received();
        }
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for TimedStream<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.note(polled)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.note(polled)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Over TLS bytes that were taken may still wait here.
        let polled = Pin::new(&mut self.stream).poll_flush(context);
        if polled.is_pending() {
            self.timeouts.cannot_send();
        } else {
            self.timeouts.blocked.store(false, Relaxed);
        }
        polled
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn timeouts() -> Arc<Timeouts> {
        crowdable().1
    }

    fn crowdable() -> (watch::Sender<bool>, Arc<Timeouts>) {
        let (sender, crowded) = watch::channel(false);
        let limits = Limits {
            header_timeout: 10 * SECOND,
            idle_timeout: 50 * SECOND,
            stall_timeout: 30 * SECOND,
            ..Limits::default()
        };
        let timeouts = Timeouts::new(&limits, crowded);
        (sender, timeouts)
    }

    /// After how many seconds the client is overdue if nothing more happens.
    async fn overdue(timeouts: &Timeouts) -> (u64, Overdue) {
        let before = Instant::now();
        let overdue = timeouts.overdue().await;
        (before.elapsed().as_secs(), overdue)
    }

    #[tokio::test(start_paused = true)]
    async fn a_first_head_must_come_soon() {
        assert_eq!(overdue(&timeouts()).await, (10, Overdue::Head));
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_that_drips_gets_no_more_time() {
        let timeouts = timeouts();
        drop(timeouts.request(http::Version::HTTP_11));
        advance(20 * SECOND).await;
        timeouts.received();
        advance(7 * SECOND).await;
        timeouts.received();
        assert_eq!(overdue(&timeouts).await, (3, Overdue::Head));
    }

    #[tokio::test(start_paused = true)]
    async fn between_requests_a_connection_may_rest_for_longer() {
        let timeouts = timeouts();
        let running = timeouts.request(http::Version::HTTP_11);
        advance(9 * SECOND).await;
        drop(running);
        assert_eq!(overdue(&timeouts).await, (50, Overdue::Idle));
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_multiplexes_rests_whatever_frames_come() {
        let timeouts = timeouts();
        drop(timeouts.request(http::Version::HTTP_2));
        advance(20 * SECOND).await;
        timeouts.received();
        assert_eq!(overdue(&timeouts).await, (30, Overdue::Idle));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_worked_on_here_is_never_overdue() {
        let timeouts = timeouts();
        let mut running = timeouts.request(http::Version::HTTP_11);
        running.asked();
        let waiting = tokio::time::timeout(1000 * SECOND, timeouts.overdue()).await;
        assert!(waiting.is_err());
        // Nor is it right after it begins to be sent.
        running.gave();
        assert_eq!(overdue(&timeouts).await, (30, Overdue::Stalled));
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_nothing_is_overdue_and_one_that_is_slow_is_not() {
        let timeouts = timeouts();
        let mut running = timeouts.request(http::Version::HTTP_11);
        running.gave();
        timeouts.cannot_send();
        for _ in 0..10 {
            advance(29 * SECOND).await;
            timeouts.sent();
            timeouts.cannot_send();
        }
        // The last part is with the socket, and the answer's body is gone.
        drop(running);
        advance(SECOND).await;
        assert_eq!(overdue(&timeouts).await, (29, Overdue::Stalled));
        timeouts.sent();
        assert_eq!(overdue(&timeouts).await, (50, Overdue::Idle));
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_rests_makes_room_when_others_wait() {
        let (sender, timeouts) = crowdable();
        drop(timeouts.request(http::Version::HTTP_11));
        let looking = tokio::spawn({
            let timeouts = Arc::clone(&timeouts);
            async move { timeouts.overdue().await }
        });
        tokio::time::sleep(4 * SECOND).await;
        let before = Instant::now();
        sender.send_replace(true);
        assert_eq!(looking.await.unwrap(), Overdue::Idle);
        assert_eq!(before.elapsed().as_secs(), 0);
        // What is being answered is not disturbed.
        let running = timeouts.request(http::Version::HTTP_11);
        let waiting = tokio::time::timeout(1000 * SECOND, timeouts.overdue()).await;
        assert!(waiting.is_err());
        drop(running);
    }

    #[tokio::test(start_paused = true)]
    async fn what_begins_while_nobody_looks_is_found_in_time() {
        let timeouts = timeouts();
        drop(timeouts.request(http::Version::HTTP_11));
        let looking = tokio::spawn({
            let timeouts = Arc::clone(&timeouts);
            async move { timeouts.overdue().await }
        });
        tokio::time::sleep(4 * SECOND).await;
        timeouts.received();
        let before = Instant::now();
        assert_eq!(looking.await.unwrap(), Overdue::Head);
        assert_eq!(before.elapsed().as_secs(), 10);
    }
}
