//! How an upstream misbehaves when it serves a blob: what it sends, what it claims, and how it
//! ends.

use std::ops::Range;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// What the body consists of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// What the blob is.
    Truth,
    /// The same with another byte at this place.
    Flipped(usize),
    /// Only so many bytes of it.
    Short(usize),
    /// So many bytes more.
    Long(usize),
    /// Zeros after it, until the client stops reading.
    Endless,
}

/// The length that the header states.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Said {
    /// The length of what is sent; that of the blob if it has no end.
    Length,
    /// Nothing: the body ends with the connection.
    Nothing,
    /// Nothing: the body comes in chunks.
    Chunked,
    /// This.
    Wrong(u64),
}

/// How the body is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// As fast as it goes.
    AtOnce,
    /// So many bytes at a time.
    Trickle(usize),
    /// Nothing more after so many bytes, while the connection stays open.
    Stall(usize),
    /// The connection ends after so many bytes.
    Close(usize),
    /// The same without farewell.
    Reset(usize),
}

/// What `HEAD` is answered with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Head {
    /// The blob's length.
    Length,
    /// No length.
    NoLength,
    /// This status.
    Status(u16),
}

/// How requests for one blob are answered.
#[derive(Clone, Copy, Debug)]
pub struct Fault {
    /// What the body consists of.
    pub sent: Sent,
    /// The length that the header states.
    pub said: Said,
    /// How it is sent.
    pub pace: Pace,
    /// What `HEAD` is answered with.
    pub head: Head,
    /// Whether range requests are answered with ranges.
    pub ranges: bool,
    /// So many requests are answered in this way,
    pub times: usize,
    /// and later ones with this status; correctly, if there is none.
    pub then: Option<u16>,
    /// All are answered with this status at once.
    pub status: Option<u16>,
}

impl Fault {
    /// None.
    pub const HONEST: Self = Self {
        sent: Sent::Truth,
        said: Said::Length,
        pace: Pace::AtOnce,
        head: Head::Length,
        ranges: true,
        times: usize::MAX,
        then: None,
        status: None,
    };

    /// Whether bytes are sent that are not the blob's.
    #[must_use]
    pub fn lies(&self) -> bool {
        !matches!(self.sent, Sent::Truth | Sent::Short(_))
    }

    fn body(&self, truth: &[u8]) -> Vec<u8> {
        let mut body = truth.to_vec();
        match self.sent {
            Sent::Truth | Sent::Endless => {}
            Sent::Flipped(at) => {
                if let Some(byte) = body.get_mut(at) {
                    *byte ^= 1;
                }
            }
            Sent::Short(length) => body.truncate(length),
            Sent::Long(more) => body.resize(truth.len() + more, 0),
        }
        body
    }
}

/// Answers the request number `tried` for a blob; whether the connection can be used again.
pub(super) async fn answer(
    socket: &mut TcpStream,
    fault: &Fault,
    tried: usize,
    method: &str,
    range: Option<Range<usize>>,
    truth: &[u8],
) -> bool {
    let fault = match fault.then {
        _ if tried < fault.times => *fault,
        None => Fault::HONEST,
        status => Fault {
            status,
            ..Fault::HONEST
        },
    };
    if let Some(status) = fault.status {
        return plain(socket, method, status).await;
    }
    if method == "HEAD" {
        return match fault.head {
            Head::Status(status) => plain(socket, method, status).await,
            Head::NoLength => write(socket, b"HTTP/1.1 200 OK\r\n\r\n").await,
            Head::Length => {
                let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", truth.len());
                write(socket, head.as_bytes()).await
            }
        };
    }
    let whole = fault.body(truth);
    let asked = range.filter(|_| fault.ranges);
    if asked
        .as_ref()
        .is_some_and(|asked| asked.start >= whole.len())
    {
        return plain(socket, method, 416).await;
    }
    let end = asked
        .as_ref()
        .map_or(whole.len(), |a| a.end.min(whole.len()));
    let start = asked.as_ref().map_or(0, |asked| asked.start);
    let body = &whole[start..end];
    let mut head = match &asked {
        Some(_) => format!(
            "HTTP/1.1 206 Part\r\ncontent-range: bytes {start}-{}/{}\r\n",
            end - 1,
            whole.len()
        ),
        None => "HTTP/1.1 200 OK\r\n".to_owned(),
    };
    match fault.said {
        Said::Length => head.push_str(&format!("content-length: {}\r\n", body.len())),
        Said::Wrong(length) => head.push_str(&format!("content-length: {length}\r\n")),
        Said::Chunked => head.push_str("transfer-encoding: chunked\r\n"),
        Said::Nothing => head.push_str("connection: close\r\n"),
    }
    head.push_str("\r\n");
    if !write(socket, head.as_bytes()).await {
        return false;
    }
    let chunked = fault.said == Said::Chunked;
    let sent = send(socket, body, fault.pace, chunked).await;
    if !sent {
        return false;
    }
    if fault.sent == Sent::Endless {
        while part(socket, &[0; 65_536], chunked).await {}
        return false;
    }
    if chunked {
        return write(socket, b"0\r\n\r\n").await;
    }
    // What said another length than it sent cannot be followed by anything.
    fault.said == Said::Length
}

/// Sends a body; whether anything may follow.
async fn send(socket: &mut TcpStream, body: &[u8], pace: Pace, chunked: bool) -> bool {
    let step = match pace {
        Pace::Trickle(step) => step,
        _ => 65_536,
    };
    let most = match pace {
        Pace::Stall(most) | Pace::Close(most) | Pace::Reset(most) => most.min(body.len()),
        Pace::AtOnce | Pace::Trickle(_) => body.len(),
    };
    for piece in body[..most].chunks(step) {
        if !part(socket, piece, chunked).await {
            return false;
        }
        tokio::task::yield_now().await;
    }
    match pace {
        Pace::AtOnce | Pace::Trickle(_) => return true,
        // All was sent, so the client waits for no more.
        Pace::Stall(_) if most == body.len() && !chunked => return true,
        Pace::Close(_) => {}
        // The other side sees a reset instead of an end.
        Pace::Reset(_) => drop(socket.set_zero_linger()),
        Pace::Stall(_) => while matches!(socket.read(&mut [0; 64]).await, Ok(read) if read > 0) {},
    }
    false
}

async fn part(socket: &mut TcpStream, bytes: &[u8], chunked: bool) -> bool {
    if !chunked {
        return write(socket, bytes).await;
    }
    let head = format!("{:x}\r\n", bytes.len());
    let whole = [head.as_bytes(), bytes, b"\r\n"].concat();
    write(socket, &whole).await
}

async fn plain(socket: &mut TcpStream, method: &str, status: u16) -> bool {
    let body = if method == "HEAD" { "" } else { "no" };
    let head = format!("HTTP/1.1 {status} Said\r\ncontent-length: 2\r\n\r\n{body}");
    write(socket, head.as_bytes()).await
}

async fn write(socket: &mut TcpStream, bytes: &[u8]) -> bool {
    socket.write_all(bytes).await.is_ok()
}
