//! One connection, from the handshake to its end: HTTP/1.1 or HTTP/2, as negotiated over TLS, or as
//! the client begins in the clear.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response, Version};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::body::Body;
use crate::limits::Limits;
use crate::metrics::Metrics;
use crate::overdue::Overdue;
use crate::send_blobs::SendBlobs;
use crate::sendfile::Sendfile;
use crate::sendfile_queue::SendfileQueue;
use crate::sendfile_turns::Turns;
use crate::stream::Stream;
use crate::streams::Streams;
use crate::timeouts::{TimedStream, Timeouts};
use crate::tls::Tls;

/// Largest request line and headers, in bytes.
const MAX_HEAD_BYTES: u32 = 64 * 1024;
/// Receive window of one HTTP/2 stream, in bytes: enough for a fast push over a long distance.
const STREAM_WINDOW: u32 = 1024 * 1024;
/// Receive window of a connection, for all its streams.
const CONNECTION_WINDOW: u32 = 4 * 1024 * 1024;
/// Send buffer of one HTTP/2 stream, in bytes, besides the current part of its body.
const STREAM_SENDS: usize = 64 * 1024;
/// How long an idle client has to close its connection.
const FAREWELL: Duration = Duration::from_secs(1);
/// Most concurrent requests of one HTTP/2 connection.
const STREAMS: u32 = 128;

/// For a client that speaks plain HTTP to a port that speaks TLS.
const USE_HTTPS: &[u8] = b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\n\
    Connection: close\r\nContent-Length: 37\r\n\r\nThis port speaks HTTPS: use https://\n";

/// The other end of a connection.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    pub(crate) address: SocketAddr,
    /// Whether the connection uses TLS.
    pub(crate) tls: bool,
    /// Whether the connection can send parts of files, over HTTP/1.
    pub(crate) sendfile: bool,
    /// The DNS names of its certificate, where it showed one.
    pub(crate) certificate: Option<Arc<[String]>>,
}

/// How connections are served. Shared by all of them.
pub(crate) struct Serving<H> {
    http: Builder<Streams>,
    tls: Option<Tls>,
    handler: H,
    limits: Limits,
    send_blobs: SendBlobs,
    turns: Turns,
    metrics: Arc<Metrics>,
    crowded: watch::Receiver<bool>,
    stopping: CancellationToken,
}

impl<H, F> Serving<H>
where
    H: Fn(Request<Incoming>, Peer) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Response<Body>> + Send + 'static,
{
    pub(crate) fn new(
        limits: &Limits,
        send_blobs: SendBlobs,
        tls: Option<Tls>,
        metrics: Arc<Metrics>,
        handler: H,
        crowded: watch::Receiver<bool>,
        stopping: CancellationToken,
    ) -> Self {
        let mut http = Builder::new(Streams::new(limits.stall_timeout, Arc::clone(&metrics)));
        http.http1()
            .timer(TokioTimer::new())
            // `Timeouts` keeps the time: hyper's timer also runs between requests, and is made anew
            // for each of them.
            .header_read_timeout(None)
            .max_buf_size(MAX_HEAD_BYTES as usize);
        http.http2()
            .timer(TokioTimer::new())
            .max_header_list_size(MAX_HEAD_BYTES)
            .max_concurrent_streams(STREAMS)
            .max_send_buf_size(STREAM_SENDS)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW);
        Self {
            http,
            tls,
            handler,
            crowded,
            limits: limits.clone(),
            send_blobs,
            turns: Turns::new(),
            metrics,
            stopping,
        }
    }

    /// Answers the requests of one connection until it ends, or until the server shuts down and its
    /// running requests are answered.
    pub(crate) async fn connection(&self, stream: TcpStream, address: SocketAddr) {
        let mut peer = Peer {
            certificate: None,
            address,
            tls: self.tls.is_some(),
            sendfile: self.tls.is_none() && self.send_blobs == SendBlobs::Sendfile,
        };
        let stream = tokio::select! {
            stream = tokio::time::timeout(self.limits.header_timeout, self.begin(stream)) => stream,
            () = self.stopping.cancelled() => return,
        };
        let outcome = match stream {
            Ok(Ok(stream)) => {
                peer.certificate = stream.certificate_names();
                self.serve(stream, peer).await
            }
            Ok(Err(error)) => Err(error.into()),
            Err(_) => Err("the TLS handshake took too long".into()),
        };
        if let Err(error) = outcome {
            tracing::debug!(peer = %address, error = %crate::error::chain(&*error), "connection ended");
        }
    }

    async fn begin(&self, stream: TcpStream) -> io::Result<Stream> {
        match &self.tls {
            None => Ok(Stream::Plain(Sendfile::new(stream, &self.turns))),
            Some(tls) => {
                let stream = refuse_plain(stream).await?;
                Ok(Stream::Tls(Box::new(tls.accept(stream).await?)))
            }
        }
    }

    async fn serve(
        &self,
        stream: Stream,
        peer: Peer,
    ) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        let queue = stream.queue().cloned();
        self.serve_on(stream, queue, peer).await
    }

    async fn serve_on<S>(
        &self,
        stream: S,
        queue: Option<Arc<SendfileQueue>>,
        peer: Peer,
    ) -> Result<(), Box<dyn std::error::Error + Send + Sync>>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let timeouts = Timeouts::new(&self.limits, self.crowded.clone());
        let service = service_fn(|request: Request<Incoming>| {
            let running = timeouts.request(request.version());
            let request_is_http1 = request.version() != Version::HTTP_2;
            let answer = (self.handler)(request, peer.clone());
            // HTTP/2 cuts bodies into frames of its own.
            let queue = queue.clone().filter(|_| request_is_http1);
            let turns = self.turns.clone();
            async move {
                let answer = answer.await;
                turns.answered(answer.body().len());
                Ok::<_, Infallible>(answer.map(|body| body.paced(running).through(queue)))
            }
        });
        let stream = TokioIo::new(TimedStream::new(stream, Arc::clone(&timeouts)));
        let mut connection = std::pin::pin!(self.http.serve_connection(stream, service));
        let overdue = tokio::select! {
            outcome = connection.as_mut() => return outcome,
            overdue = timeouts.overdue() => Some(overdue),
            () = self.stopping.cancelled() => None,
        };
        if let Some(overdue) = overdue {
            self.metrics.overdue(overdue);
        }
        if let Some(overdue @ (Overdue::Head | Overdue::Stalled)) = overdue {
            return Err(overdue.into());
        }
        // An idle client is notified of the end, if its version of HTTP can express it.
        connection.as_mut().graceful_shutdown();
        tokio::select! {
            outcome = connection => outcome,
            overdue = ended(&timeouts, overdue.is_some()) => Err(overdue.into()),
        }
    }
}

/// Completes when a connection that should end has not, or when its client is overdue with the rest
/// of its requests.
async fn ended(timeouts: &Timeouts, resting: bool) -> Overdue {
    if resting {
        tokio::time::sleep(FAREWELL).await;
    }
    timeouts.overdue().await
}

/// Tells a client that speaks plain HTTP to a TLS port so, rather than failing its handshake.
async fn refuse_plain(mut stream: TcpStream) -> io::Result<TcpStream> {
    let mut first = [0];
    if stream.peek(&mut first).await? == 1 && first.first().is_some_and(u8::is_ascii_uppercase) {
        stream.write_all(USE_HTTPS).await?;
        stream.shutdown().await?;
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "the client speaks plain HTTP to a port that speaks TLS",
        ));
    }
    Ok(stream)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http_body_util::{BodyExt as _, Empty};
    use hyper_util::rt::TokioExecutor;
    use tokio::time::Instant;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    /// What each answer has.
    const LENGTH: usize = 1024 * 1024;

    type Sender = hyper::client::conn::http2::SendRequest<Empty<Bytes>>;

    /// A client over HTTP/2 that opens a window of 20 KiB for each stream and pings every 10
    /// seconds; and what ends with its connection.
    async fn client(metrics: &Arc<Metrics>) -> (Sender, tokio::task::JoinHandle<()>) {
        let (here, there) = tokio::io::duplex(64 * 1024);
        let limits = Limits {
            stall_timeout: 30 * SECOND,
            idle_timeout: 50 * SECOND,
            ..Limits::default()
        };
        let (crowd, crowded) = watch::channel(false);
        let handler =
            |_, _| std::future::ready(Response::new(Body::from(Bytes::from(vec![7; LENGTH]))));
        let serving = Serving::new(
            &limits,
            SendBlobs::Read,
            None,
            Arc::clone(metrics),
            handler,
            crowded,
            CancellationToken::new(),
        );
        let peer = Peer {
            address: "127.0.0.1:1".parse().unwrap(),
            tls: false,
            sendfile: false,
            certificate: None,
        };
        tokio::spawn(async move {
            let _ = serving.serve_on(there, None, peer).await;
            drop(crowd);
        });
        let (sender, connection) = hyper::client::conn::http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .initial_stream_window_size(20 * 1024)
            .keep_alive_interval(10 * SECOND)
            .keep_alive_while_idle(true)
            .handshake(TokioIo::new(here))
            .await
            .unwrap();
        let ended = tokio::spawn(async move { drop(connection.await) });
        (sender, ended)
    }

    async fn ask(sender: &mut Sender) -> Response<Incoming> {
        let request = Request::get("http://x/").body(Empty::new()).unwrap();
        sender.send_request(request).await.unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_that_takes_nothing_is_reset_whatever_passes_on_its_connection() {
        let metrics = Arc::new(Metrics::default());
        let (mut sender, ended) = client(&metrics).await;
        let began = Instant::now();
        let mut stalled = Vec::new();
        for _ in 0..3 {
            stalled.push(ask(&mut sender).await);
        }
        // One that takes a part now and then, and pings meanwhile, is served to its end.
        let mut slow = ask(&mut sender).await.into_body();
        let mut got = 0;
        while let Some(frame) = slow.frame().await {
            got += frame.unwrap().into_data().unwrap().len();
            tokio::time::sleep(5 * SECOND).await;
        }
        assert_eq!(got, LENGTH);
        assert!(began.elapsed() > 100 * SECOND, "{:?}", began.elapsed());
        assert_eq!(metrics.stalled(), 3);
        for answer in stalled {
            assert!(answer.into_body().collect().await.is_err(), "it is reset");
        }
        // The connection goes on,
        let whole = ask(&mut sender).await.into_body().collect().await.unwrap();
        assert_eq!(whole.to_bytes().len(), LENGTH);
        assert!(!ended.is_finished());
        // until nothing is asked for any more: pings alone keep no place.
        let quiet = Instant::now();
        let ended = tokio::time::timeout(1000 * SECOND, ended).await;
        ended.expect("it ends").unwrap();
        let rested = quiet.elapsed();
        assert!((49 * SECOND..60 * SECOND).contains(&rested), "{rested:?}");
        assert_eq!(metrics.stalled(), 3);
    }

    #[test]
    fn the_words_to_a_client_without_tls_are_a_whole_answer() {
        let answer = std::str::from_utf8(USE_HTTPS).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.ends_with(&format!("Content-Length: {}", body.len())));
    }
}
