//! A connection in the clear that sends parts of files by `sendfile` where hyper passes on what
//! stands for them; see [`crate::sendfile_queue`]. Everything else it passes through.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use rustix::fs::sendfile;
use rustix::io::Errno;
use rustix::net::{SendAncillaryBuffer, SendFlags, sendmsg};
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;

use crate::sendfile_queue::{SendfileQueue, is_token};
use crate::sendfile_turns::{SMALL, Turn, Turns};

/// The smallest page there is, in bytes.
const PAGE: u64 = 4096;

/// A connection in the clear.
#[derive(Debug)]
pub(crate) struct Sendfile {
    stream: TcpStream,
    queue: Arc<SendfileQueue>,
    turn: Turn,
}

impl Sendfile {
    pub(crate) fn new(stream: TcpStream, turns: &Turns) -> Self {
        Self {
            stream,
            queue: Arc::default(),
            turn: turns.turn(),
        }
    }

    /// Where bodies leave parts of files to be sent here.
    pub(crate) fn queue(&self) -> &Arc<SendfileQueue> {
        &self.queue
    }

    /// Does `send` as soon as there is room in the socket.
    fn poll_send(
        &self,
        context: &mut Context<'_>,
        mut send: impl FnMut(&TcpStream) -> rustix::io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.stream.poll_write_ready(context))?;
            let sent = self
                .stream
                .try_io(Interest::WRITABLE, || Ok(send(&self.stream)?));
            match sent.as_ref().map_err(io::Error::kind) {
                Err(io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
                _ => return Poll::Ready(sent),
            }
        }
    }

    /// Sends of the file that `place` stands for.
    fn poll_send_file(
        &mut self,
        context: &mut Context<'_>,
        place: &[u8],
    ) -> Poll<io::Result<usize>> {
        let part = self.queue.first(place)?;
        let mut most = place.len();
        if most > SMALL {
            // A socket that is full would waste the turn.
            ready!(self.stream.poll_write_ready(context))?;
            ready!(self.turn.poll_begin(context));
            most = self.turn.most(most);
        }
        let mut sent = 0;
        let outcome = loop {
            let polled = self.poll_send(context, |stream| {
                let mut offset = part.offset + sent as u64;
                let count = sendfile(stream, &*part.file, Some(&mut offset), most - sent)?;
                sent += count;
                if count > 0 && is_full(sent, most, offset) {
                    // No call is needed to learn it: the runtime waits for room from now on.
                    return Err(Errno::AGAIN);
                }
                Ok(count)
            });
            match polled {
                Poll::Ready(Ok(0)) => {
                    let at = part.offset + sent as u64;
                    break Poll::Ready(Err(io::Error::new(
                        io::ErrorKind::UnexpectedEof,
                        format!("the file of a blob ends at {at}: it was cut"),
                    )));
                }
                Poll::Ready(Ok(_)) if sent < most => {}
                polled => break polled,
            }
        };
        self.turn.end(sent);
        if sent == 0 {
            return outcome;
        }
        // What went wrong after that goes wrong again.
        self.queue.sent(sent);
        Poll::Ready(Ok(sent))
    }
}

/// Whether the socket must be full where `sent` bytes of `most` were sent and the next one lies at
/// `offset` of the file. A disk that fails and a file that ends show likewise, but at the end of a
/// page: the next call then tells what it is.
fn is_full(sent: usize, most: usize, offset: u64) -> bool {
    sent < most && !offset.is_multiple_of(PAGE)
}

impl AsyncRead for Sendfile {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Sendfile {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.queue.is_empty() {
            return Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        }
        let (bytes, place) = match slices.iter().position(|slice| is_token(slice)) {
            None => return Pin::new(&mut self.stream).poll_write_vectored(context, slices),
            Some(at) => slices.split_at(at),
        };
        let place: &[u8] = place.first().map_or(&[], |place| place);
        if bytes.is_empty() {
            return self.poll_send_file(context, place);
        }
        // The kernel is told that more comes, so that a head and what follows share a packet.
        let length: usize = bytes.iter().map(|slice| slice.len()).sum();
        let sent = ready!(self.poll_send(context, |stream| {
            let mut nothing = SendAncillaryBuffer::default();
            let flags = SendFlags::MORE | SendFlags::NOSIGNAL;
            sendmsg(stream, bytes, &mut nothing, flags)
        }))?;
        if sent < length {
            return Poll::Ready(Ok(sent));
        }
        // What goes wrong now is found again by the next call.
        match self.poll_send_file(context, place) {
            Poll::Ready(Ok(of_file)) => Poll::Ready(Ok(sent + of_file)),
            _ => Poll::Ready(Ok(sent)),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// A flush means that everything was sent. A part of a file that is not was copied, as a token,
    /// or forgotten: the answer must not end as if whole.
    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.queue.is_empty() {
            return Poll::Ready(Err(io::Error::other(
                "a part of a file was not passed on to be sent",
            )));
        }
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Write as _;
    use std::net::SocketAddr;
    use std::time::Duration;

    use futures_util::stream;
    use http::{Request, Response};
    use hyper::body::Incoming;
    use metahub_store::{BlobChunk, WINDOW, Window};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;
    use tokio::sync::watch;
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::body::Body;
    use crate::connection::{Peer, Serving};
    use crate::limits::Limits;
    use crate::metrics::Metrics;
    use crate::send_blobs::SendBlobs;

    const LENGTH: u64 = 5 * WINDOW + 77;

    fn content() -> Vec<u8> {
        (0..LENGTH).map(|i| (i * i % 251) as u8).collect()
    }

    fn file_of(bytes: &[u8]) -> Arc<File> {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        Arc::new(file)
    }

    /// The file's bytes, said to be `LENGTH`: a few as bytes, the others where they lie.
    fn body(file: &Arc<File>, begin: &[u8]) -> Body {
        let mut chunks = vec![Ok(BlobChunk::Bytes(begin.to_vec().into()))];
        let mut at = begin.len() as u64;
        while at < LENGTH {
            let range = at..LENGTH.min(at + WINDOW);
            at = range.end;
            let file = Arc::clone(file);
            chunks.push(Ok(BlobChunk::Window(Window { file, range })));
        }
        Body::stream(LENGTH, stream::iter(chunks))
    }

    /// Serves `file` to whatever is asked, through the whole stack under a handler.
    async fn serve(file: Arc<File>, begin: Vec<u8>) -> SocketAddr {
        serve_within(file, begin, Limits::default()).await
    }

    async fn serve_within(file: Arc<File>, begin: Vec<u8>, limits: Limits) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (crowd, crowded) = watch::channel(false);
        let handler = move |_: Request<Incoming>, peer: Peer| {
            assert!(peer.sendfile);
            std::future::ready(Response::new(body(&file, &begin)))
        };
        let serving = Arc::new(Serving::new(
            &limits,
            SendBlobs::Sendfile,
            None,
            Arc::new(Metrics::default()),
            handler,
            crowded,
            CancellationToken::new(),
        ));
        tokio::spawn(async move {
            let _crowd = crowd;
            loop {
                let (stream, peer) = listener.accept().await.unwrap();
                let serving = Arc::clone(&serving);
                tokio::spawn(async move { serving.connection(stream, peer).await });
            }
        });
        address
    }

    /// What comes after `requests` were sent at once, until the server ends the connection.
    async fn answers(address: SocketAddr, requests: &str) -> Vec<u8> {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(requests.as_bytes()).await.unwrap();
        let mut answers = Vec::new();
        // A connection that is reset has ended, too.
        let _ = stream.read_to_end(&mut answers).await;
        answers
    }

    /// Takes one answer's head and body off `answers`.
    fn take(answers: &mut &[u8]) -> Vec<u8> {
        let head = answers.windows(4).position(|at| at == b"\r\n\r\n").unwrap() + 4;
        assert!(answers.starts_with(b"HTTP/1.1 200 OK\r\n"));
        let rest = &answers[head..];
        let (body, rest) = rest.split_at(rest.len().min(LENGTH as usize));
        *answers = rest;
        body.to_vec()
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn many_connections_get_exactly_the_bytes_of_files_through_hyper() {
        let content = content();
        let address = serve(file_of(&content), content[..100].to_vec()).await;
        let requests = "GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n\
            GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
        let clients: Vec<_> = (0..16)
            .map(|_| tokio::spawn(answers(address, requests)))
            .collect();
        for client in clients {
            let all = client.await.unwrap();
            let mut all = all.as_slice();
            for _ in 0..3 {
                assert!(take(&mut all) == content);
            }
            assert!(all.is_empty());
        }
    }

    #[tokio::test]
    async fn a_file_that_is_cut_ends_the_connection_early() {
        let content = content();
        // At the end of a page at once, elsewhere as if the client took nothing more.
        for length in [2 * WINDOW + PAGE, 2 * WINDOW + 5] {
            let file = file_of(&content);
            file.set_len(length).unwrap();
            let limits = Limits {
                stall_timeout: Duration::from_secs(3),
                ..Limits::default()
            };
            let address = serve_within(file, Vec::from(&content[..1]), limits).await;
            let all = answers(address, "GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
            let body = take(&mut all.as_slice());
            assert!(body == content[..length as usize]);
        }
    }

    #[test]
    fn a_socket_is_taken_for_full_only_where_nothing_else_can_be() {
        assert!(is_full(5, 10, 5));
        assert!(!is_full(10, 10, 10));
        assert!(!is_full(PAGE as usize, 2 * PAGE as usize, 3 * PAGE));
    }

    #[tokio::test]
    async fn a_token_that_was_copied_or_forgotten_ends_the_connection() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let _client = TcpStream::connect(address).await.unwrap();
        let mut stream = Sendfile::new(listener.accept().await.unwrap().0, &Turns::new());
        stream.write_all(b"bytes").await.unwrap();
        stream.flush().await.unwrap();
        let window = Window {
            file: file_of(b"content"),
            range: 0..7,
        };
        let _token = stream.queue().push(window).unwrap();
        stream.write_all(b"bytes").await.unwrap();
        assert!(stream.flush().await.is_err());
    }
}
