//! Many connections that send `GET` after `GET` from one thread, each the next as soon as its
//! answer is whole, with as little work of its own as possible: the server is to be the limit.
//!
//! Every answer must be 200. Plain TCP only; TLS costs the client about as much as the server and
//! is measured by [`crate::client`] in threads.

use std::io::Write as _;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use miette::{IntoDiagnostic as _, Result, WrapErr as _, bail, miette};
use rustix::event::epoll;
use rustix::io::Errno;
use rustix::net::{RecvFlags, recv};

use crate::http::Head;
use crate::latency::Latencies;

/// Enough for a small answer at once, and for one turn of a large one.
const BUFFER: usize = 256 << 10;
/// How long after its time a load may still wait for answers.
const PATIENCE: Duration = Duration::from_secs(60);

/// What becomes of the bodies that arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reading {
    /// They are copied out of the kernel, as any client does.
    Copy,
    /// The kernel drops them (`MSG_TRUNC`), as if the client were infinitely fast.
    Discard,
}

/// When a load ends.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Until {
    /// At a time; answers on their way are counted as far as they have come.
    Passed(Duration),
    /// When so many requests have been answered.
    Answered(usize),
}

/// A load on one server.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hammer<'a> {
    /// `ADDRESS:PORT`
    pub(crate) host: &'a str,
    /// What to send, in turn, from the first again.
    pub(crate) requests: &'a [Vec<u8>],
    /// Connections at once.
    pub(crate) connections: usize,
    pub(crate) reading: Reading,
    /// The most to read in a second from all connections together, in bytes.
    pub(crate) pace: Option<f64>,
}

/// What came of a load.
#[derive(Clone, Debug, Default)]
pub(crate) struct Measured {
    /// Whole answers.
    pub(crate) requests: usize,
    /// Bytes of bodies.
    pub(crate) bytes: u64,
    pub(crate) seconds: f64,
    pub(crate) latencies: Latencies,
}

struct Connection {
    stream: TcpStream,
    sent: Instant,
    /// Of the answer that is arriving: its head so far, or how much of its body is missing.
    answer: Answer,
}

enum Answer {
    Head(Vec<u8>),
    Body(u64),
}

impl<'a> Hammer<'a> {
    /// As fast as the server answers, by a client that copies what it gets, as all real ones do.
    pub(crate) const fn copying(
        host: &'a str,
        requests: &'a [Vec<u8>],
        connections: usize,
    ) -> Self {
        Self {
            host,
            requests,
            connections,
            reading: Reading::Copy,
            pace: None,
        }
    }

    /// Runs the load to its end.
    pub(crate) fn run(&self, until: Until) -> Result<Measured> {
        self.run_all(until)
            .wrap_err_with(|| format!("a load on {}", self.host))
    }

    fn run_all(&self, until: Until) -> Result<Measured> {
        let mut requests = self.requests.iter().cycle();
        let mut next = || {
            requests
                .next()
                .ok_or_else(|| miette!("a load needs requests"))
        };
        let (mut left, limit) = match until {
            Until::Passed(time) => (usize::MAX, time),
            Until::Answered(count) => (count, PATIENCE),
        };
        let poll = epoll::create(epoll::CreateFlags::CLOEXEC).into_diagnostic()?;
        let mut connections = Vec::new();
        for number in 0..self.connections.min(left) {
            let stream = TcpStream::connect(self.host).into_diagnostic()?;
            stream.set_nodelay(true).into_diagnostic()?;
            let data = epoll::EventData::new_u64(number as u64);
            epoll::add(&poll, &stream, data, epoll::EventFlags::IN).into_diagnostic()?;
            connections.push(Connection::new(stream));
        }
        let started = Instant::now();
        for connection in &mut connections {
            connection.send(next()?)?;
            left -= 1;
        }
        let mut measured = Measured::default();
        let mut buffer = vec![0; BUFFER];
        let mut events = Vec::with_capacity(self.connections);
        let mut running = connections.len();
        while running > 0 && started.elapsed() < limit {
            events.clear();
            let wait = limit.saturating_sub(started.elapsed());
            let wait = wait.try_into().into_diagnostic()?;
            let free = rustix::buffer::spare_capacity(&mut events);
            match epoll::wait(&poll, free, Some(&wait)) {
                Err(Errno::INTR) => {}
                waited => waited.map(|_| ()).into_diagnostic()?,
            }
            if let Some(pace) = self.pace {
                let due = Duration::from_secs_f64(bytes(measured.bytes) / pace);
                std::thread::park_timeout(due.saturating_sub(started.elapsed()));
            }
            for event in &events {
                let number = usize::try_from(event.data.u64()).unwrap_or(usize::MAX);
                let Some(connection) = connections.get_mut(number) else {
                    continue;
                };
                let whole = connection.receive(&mut buffer, self.reading, &mut measured.bytes)?;
                if !whole {
                    continue;
                }
                measured.requests += 1;
                measured.latencies.add(connection.sent.elapsed());
                if left > 0 {
                    connection.send(next()?)?;
                    left -= 1;
                } else {
                    running -= 1;
                }
            }
        }
        measured.seconds = started.elapsed().as_secs_f64();
        if running > 0 && matches!(until, Until::Answered(_)) {
            bail!("{running} requests had no answer after {PATIENCE:?}");
        }
        Ok(measured)
    }
}

impl Connection {
    fn new(stream: TcpStream) -> Self {
        Self {
            stream,
            sent: Instant::now(),
            answer: Answer::Head(Vec::new()),
        }
    }

    fn send(&mut self, request: &[u8]) -> Result<()> {
        self.sent = Instant::now();
        self.answer = Answer::Head(Vec::new());
        // Far smaller than any socket's buffer, so it does not block.
        self.stream.write_all(request).into_diagnostic()
    }

    /// Takes what has arrived, once, and says whether the answer is whole.
    fn receive(&mut self, buffer: &mut [u8], reading: Reading, bytes: &mut u64) -> Result<bool> {
        match &mut self.answer {
            Answer::Head(start) => {
                let arrived = take(&self.stream, buffer, RecvFlags::empty())?;
                let arrived = buffer.get(..arrived).unwrap_or_default();
                let head = if start.is_empty() {
                    Head::parse(arrived)?
                } else {
                    Head::parse(&[start.as_slice(), arrived].concat())?
                };
                let Some(head) = head else {
                    start.extend_from_slice(arrived);
                    return Ok(false);
                };
                if head.status != 200 {
                    bail!(
                        "expected status 200, found {}",
                        String::from_utf8_lossy(arrived)
                    );
                }
                let here = (start.len() + arrived.len() - head.length) as u64;
                *bytes += here;
                let missing = head.body.and_then(|length| length.checked_sub(here));
                let missing = missing
                    .ok_or_else(|| miette!("expected a body of the length that its head names"))?;
                self.answer = Answer::Body(missing);
                Ok(missing == 0)
            }
            Answer::Body(missing) => {
                let most = usize::try_from(*missing)
                    .unwrap_or(usize::MAX)
                    .min(buffer.len());
                let flags = match reading {
                    Reading::Copy => RecvFlags::empty(),
                    Reading::Discard => RecvFlags::TRUNC,
                };
                let room = buffer.get_mut(..most).unwrap_or_default();
                let arrived = take(&self.stream, room, flags)? as u64;
                *bytes += arrived;
                *missing = missing.saturating_sub(arrived);
                Ok(*missing == 0)
            }
        }
    }
}

fn take(stream: &TcpStream, buffer: &mut [u8], flags: RecvFlags) -> Result<usize> {
    match recv(stream, buffer, flags | RecvFlags::DONTWAIT) {
        Ok((0, 0)) => Err(miette!("the server closed a connection")),
        Ok((_, arrived)) => Ok(arrived),
        // Epoll said that something is there; the kernel may still have thought better of it.
        Err(Errno::AGAIN | Errno::INTR) => Ok(0),
        Err(error) => Err(error).into_diagnostic(),
    }
}

impl Measured {
    /// Whole answers in a second.
    pub(crate) fn rate(&self) -> f64 {
        count(self.requests) / self.seconds
    }

    /// Decimal gigabytes in a second.
    pub(crate) fn gigabytes_a_second(&self) -> f64 {
        bytes(self.bytes) / 1e9 / self.seconds
    }

    /// Binary gibibytes.
    pub(crate) fn gibibytes(&self) -> f64 {
        bytes(self.bytes) / f64::from(1 << 30)
    }
}

/// A count as a factor.
#[expect(clippy::cast_precision_loss, reason = "counts here are far below 2^53")]
pub(crate) fn count(count: usize) -> f64 {
    count as f64
}

/// A number of bytes as a factor.
#[expect(clippy::cast_precision_loss, reason = "no test moves 2^53 bytes")]
pub(crate) fn bytes(bytes: u64) -> f64 {
    bytes as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read as _;
    use std::net::TcpListener;

    const BODY: usize = 3 * BUFFER + 7;

    /// Answers every request with `answer`, on every connection.
    fn server(answer: &'static str) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let host = listener.local_addr().unwrap().to_string();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                std::thread::spawn(move || answer_all(stream, answer));
            }
        });
        host
    }

    fn answer_all(mut stream: TcpStream, answer: &str) {
        let mut request = [0; 1000];
        while stream.read(&mut request).is_ok_and(|read| read > 0) {
            let head = format!("{answer}\r\nContent-Length: {BODY}\r\n\r\n");
            let answer = [head.as_bytes(), &[7; BODY]].concat();
            if stream.write_all(&answer).is_err() {
                return;
            }
        }
    }

    fn hammer(host: &str, reading: Reading, until: Until) -> Result<Measured> {
        let requests = [b"GET / HTTP/1.1\r\n\r\n".to_vec()];
        Hammer {
            host,
            requests: &requests,
            connections: 3,
            reading,
            pace: None,
        }
        .run(until)
    }

    #[test]
    fn every_answer_is_read_to_its_end_and_counted_once() {
        let host = server("HTTP/1.1 200 OK");
        for reading in [Reading::Copy, Reading::Discard] {
            let measured = hammer(&host, reading, Until::Answered(10)).unwrap();
            assert_eq!((measured.requests, measured.latencies.len()), (10, 10));
            assert_eq!(measured.bytes, 10 * BODY as u64);
        }
    }

    #[test]
    fn a_load_ends_at_its_time() {
        let host = server("HTTP/1.1 200 OK");
        let until = Until::Passed(Duration::from_millis(50));
        let measured = hammer(&host, Reading::Copy, until).unwrap();
        assert!(
            measured.seconds >= 0.05 && measured.seconds < 5.0,
            "{measured:?}"
        );
        assert!(measured.bytes >= (measured.requests * BODY) as u64);
    }

    #[test]
    fn a_paced_load_is_no_faster_than_its_pace() {
        let host = server("HTTP/1.1 200 OK");
        let requests = [b"GET / HTTP/1.1\r\n\r\n".to_vec()];
        let pace = Some(bytes(10 * BODY as u64) / 0.2);
        let load = Hammer {
            host: &host,
            requests: &requests,
            connections: 3,
            reading: Reading::Copy,
            pace,
        };
        let measured = load.run(Until::Answered(10)).unwrap();
        assert_eq!(measured.bytes, 10 * BODY as u64);
        assert!(measured.seconds > 0.1, "{measured:?}");
    }

    #[test]
    fn an_answer_that_is_not_200_ends_the_load_with_what_was_said() {
        let host = server("HTTP/1.1 401 Unauthorized");
        let error = hammer(&host, Reading::Copy, Until::Answered(10)).unwrap_err();
        assert!(
            format!("{error:?}").contains("401 Unauthorized"),
            "{error:?}"
        );
    }
}
