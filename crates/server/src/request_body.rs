//! A request's body, with a timeout for a client that sends nothing of it.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use metahub_oci::ErrorCode;
use tokio::time::{Instant, Sleep};

use crate::error::HttpError;
use crate::metrics::Metrics;

/// A body that ends in an error when its client stalls for too long. Time in which the server does
/// not read does not count.
pub(crate) struct RequestBody<B = Incoming> {
    body: B,
    timeout: Duration,
    /// When the wait for bytes began, if one is running.
    waiting: Option<Instant>,
    /// Made at the first wait, and reset only when it has run out.
    timer: Option<Pin<Box<Sleep>>>,
    stalled: bool,
    metrics: Option<Arc<Metrics>>,
}

impl<B> RequestBody<B> {
    pub(crate) fn new(body: B, timeout: Duration) -> Self {
        Self {
            body,
            timeout,
            waiting: None,
            timer: None,
            stalled: false,
            metrics: None,
        }
    }

    /// Counts the bytes that come.
    pub(crate) fn counted(mut self, metrics: &Arc<Metrics>) -> Self {
        self.metrics = Some(Arc::clone(metrics));
        self
    }

    /// The answer for a client that stalled for too long, if it did.
    pub(crate) fn stalled(&self) -> Option<HttpError> {
        self.stalled.then(|| {
            let message = format!("{}. Send it again", self.words());
            HttpError::code(ErrorCode::SizeInvalid, message)
                .with_status(StatusCode::REQUEST_TIMEOUT)
        })
    }

    fn words(&self) -> String {
        format!(
            "nothing of the body was received for {} s, so the request was given up",
            self.timeout.as_secs()
        )
    }

    fn poll_overdue(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let due = *self.waiting.get_or_insert_with(Instant::now) + self.timeout;
        let timer = self
            .timer
            .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(due)));
        loop {
            ready!(timer.as_mut().poll(context));
            if Instant::now() >= due {
                return Poll::Ready(());
            }
            // It was set for an earlier wait, which ended in time.
            timer.as_mut().reset(due);
        }
    }
}

impl<B> Body for RequestBody<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(context) {
            self.waiting = None;
            if let (Some(metrics), Some(Ok(frame))) = (&self.metrics, &frame)
                && let Some(bytes) = frame.data_ref()
            {
                metrics.received(bytes.len() as u64);
            }
            return Poll::Ready(frame.map(|frame| frame.map_err(io::Error::other)));
        }
        ready!(self.poll_overdue(context));
        self.stalled = true;
        let words = self.words();
        Poll::Ready(Some(Err(io::Error::new(io::ErrorKind::TimedOut, words))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use futures_util::{StreamExt, stream};
    use http_body_util::{BodyExt, StreamBody};

    use super::*;

    /// A body whose parts come after so many seconds each; afterwards, nothing ever comes.
    fn dripping(
        pauses: &'static [u64],
    ) -> RequestBody<impl Body<Data = Bytes, Error = io::Error> + Unpin> {
        let parts = stream::iter(pauses).then(|pause| async move {
            tokio::time::sleep(Duration::from_secs(*pause)).await;
            Ok::<_, io::Error>(Frame::data(Bytes::from_static(b"x")))
        });
        let body = StreamBody::new(parts.chain(stream::pending()).boxed());
        RequestBody::new(body, Duration::from_secs(60))
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_body_is_received_and_one_that_stops_is_given_up() {
        let mut body = dripping(&[0, 59, 59, 1, 59]);
        for _ in 0..5 {
            assert!(body.frame().await.unwrap().is_ok());
        }
        // Whatever is done with a part takes as long as it takes.
        tokio::time::sleep(Duration::from_secs(1000)).await;
        assert!(body.stalled().is_none());
        let before = Instant::now();
        let error = body.frame().await.unwrap().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert_eq!(before.elapsed().as_secs(), 60);
        let answer = body.stalled().unwrap();
        assert_eq!(answer.status(), StatusCode::REQUEST_TIMEOUT);
        assert!(answer.to_string().contains("60 s"), "{answer}");
    }
}
