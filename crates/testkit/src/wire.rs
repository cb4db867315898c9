//! A registry at the level of bytes on TCP, for what an HTTP library would not send: wrong lengths,
//! bodies that end with the connection, resets. Everything else it sends correctly. It ends with
//! the test's runtime.

mod fault;

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

pub use self::fault::{Fault, Head, Pace, Said, Sent};

/// How a look-up of referrers by the API is answered.
#[derive(Clone, Copy, Debug)]
pub enum Referrers {
    /// With this status.
    Status(u16),
    /// The connection ends before an answer.
    Close,
    /// Nothing comes.
    Never,
}

struct Script {
    content: HashMap<String, (String, Vec<u8>)>,
    referrers: Referrers,
    asked: Vec<String>,
    /// How requests for a path are answered instead, and how many there were.
    faults: HashMap<String, (Fault, usize)>,
}

/// The registry.
pub struct WireRegistry {
    port: u16,
    script: Arc<Mutex<Script>>,
}

impl WireRegistry {
    /// Starts one without content on the runtime of the test.
    ///
    /// # Panics
    /// When the loopback has no free port.
    pub async fn start(referrers: Referrers) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let script = Arc::new(Mutex::new(Script {
            content: HashMap::new(),
            referrers,
            asked: Vec::new(),
            faults: HashMap::new(),
        }));
        let shared = Arc::clone(&script);
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                tokio::spawn(connection(socket, Arc::clone(&shared)));
            }
        });
        Self { port, script }
    }

    /// Its port on the loopback.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// From now on look-ups of referrers are answered so.
    pub fn answer_referrers_with(&self, referrers: Referrers) {
        self.script.lock().referrers = referrers;
    }

    /// How many requests so far had `part` in their path, and forgets all.
    #[must_use]
    pub fn asked_for(&self, part: &str) -> usize {
        let asked = std::mem::take(&mut self.script.lock().asked);
        asked.iter().filter(|path| path.contains(part)).count()
    }

    /// Answers requests for a path that was put like this from now on.
    pub fn answer_with(&self, path: String, fault: Fault) {
        self.script.lock().faults.insert(path, (fault, 0));
    }

    /// Puts bytes at a path.
    pub fn put(&self, path: String, media_type: &str, bytes: Vec<u8>) {
        let content = (media_type.to_owned(), bytes);
        self.script.lock().content.insert(path, content);
    }
}

/// Answers requests on one connection, one after the other.
async fn connection(mut socket: TcpStream, script: Arc<Mutex<Script>>) {
    let mut read = Vec::new();
    loop {
        let end = loop {
            if let Some(at) = read.windows(4).position(|four| four == b"\r\n\r\n") {
                break at + 4;
            }
            let mut some = [0; 4096];
            match socket.read(&mut some).await {
                Ok(0) | Err(_) => return,
                Ok(count) => read.extend_from_slice(&some[..count]),
            }
        };
        let head = String::from_utf8_lossy(&read[..end]).into_owned();
        read.drain(..end);
        let mut words = head.split(' ');
        let (method, path) = (words.next().unwrap(), words.next().unwrap());
        let (content, referrers, fault) = {
            let mut script = script.lock();
            script.asked.push(path.to_owned());
            let content = script.content.get(path).cloned();
            let fault = script.faults.get_mut(path).map(|(fault, tried)| {
                // A question costs none of the answers that it is about.
                *tried += usize::from(method != "HEAD");
                (*fault, tried.saturating_sub(1))
            });
            (content, script.referrers, fault)
        };
        if let (Some((_, truth)), Some((fault, tried))) = (&content, fault) {
            let range = range(&head);
            if fault::answer(&mut socket, &fault, tried, method, range, truth).await {
                continue;
            }
            return;
        }
        let (status, media_type, body) = match (content, referrers) {
            (Some((media_type, body)), _) => (200, media_type, body),
            (None, Referrers::Close) if path.contains("/referrers/") => return,
            (None, Referrers::Never) if path.contains("/referrers/") => {
                std::future::pending().await
            }
            (None, Referrers::Status(status)) if path.contains("/referrers/") => {
                (status, "text/plain".to_owned(), b"no".to_vec())
            }
            (None, _) => (404, "text/plain".to_owned(), b"not here".to_vec()),
        };
        let head = format!(
            "HTTP/1.1 {status} Said\r\ncontent-type: {media_type}\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        let mut answer = head.into_bytes();
        if method != "HEAD" {
            answer.extend(body);
        }
        if socket.write_all(&answer).await.is_err() {
            return;
        }
    }
}

/// The bytes that a request asks for, if not for all.
fn range(head: &str) -> Option<std::ops::Range<usize>> {
    let line = head.lines().find_map(|line| {
        line.to_ascii_lowercase()
            .strip_prefix("range: bytes=")
            .map(str::to_owned)
    })?;
    let (first, last) = line.split_once('-')?;
    let end = last
        .trim()
        .parse::<usize>()
        .map_or(usize::MAX, |last| last + 1);
    Some(first.parse().ok()?..end)
}
