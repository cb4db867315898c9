//! One connection that does one thing after the other, over TCP or TLS: pushes, pulls of whole
//! images, probes. For loads of many connections on one thread there is [`crate::hammer`].
//!
//! Bodies are read to their end and thrown away, unless they are asked for.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use miette::{IntoDiagnostic as _, Result, WrapErr as _, bail, miette};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};

use crate::content::Content;
use crate::http::{self, Head};

const BUFFER: usize = 256 << 10;
/// How long the server may be silent.
const PATIENCE: Duration = Duration::from_secs(120);

trait Stream: Read + Write + Send {}
impl<S: Read + Write + Send> Stream for S {}

/// A connection to a server.
pub(crate) struct Client {
    host: String,
    token: Option<String>,
    stream: Box<dyn Stream>,
    /// What has been read; what of it has not been used begins at `used`.
    buffer: Vec<u8>,
    used: usize,
    filled: usize,
}

/// What a request carries.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Body<'a> {
    Empty,
    /// These bytes, of this type.
    Bytes(&'a str, &'a [u8]),
    Content(&'a Content<'a>),
}

/// An answer whose body has been read.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) head: Head,
    /// Length of the body.
    pub(crate) length: u64,
}

impl Client {
    /// Over TCP; with a token when the server wants one.
    pub(crate) fn connect(host: &str, token: Option<String>) -> Result<Self> {
        Ok(Self::over(host, token, Box::new(tcp(host)?)))
    }

    /// Over TLS.
    pub(crate) fn connect_tls(
        host: &str,
        token: Option<String>,
        config: &Arc<ClientConfig>,
    ) -> Result<Self> {
        let stream = tcp(host)?;
        let name = ServerName::from(stream.peer_addr().into_diagnostic()?.ip());
        let session = ClientConnection::new(Arc::clone(config), name).into_diagnostic()?;
        Ok(Self::over(
            host,
            token,
            Box::new(StreamOwned::new(session, stream)),
        ))
    }

    fn over(host: &str, token: Option<String>, stream: Box<dyn Stream>) -> Self {
        let buffer = vec![0; BUFFER];
        Self {
            host: host.to_owned(),
            token,
            stream,
            buffer,
            used: 0,
            filled: 0,
        }
    }

    /// Shows another token from now on.
    pub(crate) fn set_token(&mut self, token: Option<String>) {
        self.token = token;
    }

    /// Sends a request and reads the answer, which must have `status`.
    pub(crate) fn ask(
        &mut self,
        method: &str,
        path: &str,
        body: Body<'_>,
        status: u16,
    ) -> Result<Answer> {
        self.ask_for(method, path, body, status, &mut |_| {})
    }

    /// Likewise, and gives the body as text.
    pub(crate) fn text(&mut self, path: &str) -> Result<String> {
        let mut bytes = Vec::new();
        self.ask_for("GET", path, Body::Empty, 200, &mut |part| {
            bytes.extend_from_slice(part);
        })?;
        String::from_utf8(bytes).into_diagnostic()
    }

    /// Sends a request and gives each part of the answer's body to `each` as it arrives.
    pub(crate) fn ask_for(
        &mut self,
        method: &str,
        path: &str,
        body: Body<'_>,
        status: u16,
        each: &mut dyn FnMut(&[u8]),
    ) -> Result<Answer> {
        self.exchange(method, path, body, each)
            .and_then(|answer| {
                if answer.head.status == status {
                    return Ok(answer);
                }
                Err(miette!(
                    "expected status {status}, found {}",
                    answer.head.status
                ))
            })
            .wrap_err_with(|| format!("{method} http://{}{path}", self.host))
    }

    fn exchange(
        &mut self,
        method: &str,
        path: &str,
        body: Body<'_>,
        each: &mut dyn FnMut(&[u8]),
    ) -> Result<Answer> {
        self.send(method, path, body).into_diagnostic()?;
        let head = loop {
            let unused = self.buffer.get(self.used..self.filled).unwrap_or_default();
            if let Some(head) = Head::parse(unused)? {
                break head;
            }
            self.fill()?;
        };
        self.used += head.length;
        let length = match (method, head.body) {
            ("HEAD", _) => 0,
            (_, Some(length)) => {
                self.pass(length, each)?;
                length
            }
            (_, None) => self.pass_chunks(each)?,
        };
        Ok(Answer { head, length })
    }

    fn send(&mut self, method: &str, path: &str, body: Body<'_>) -> std::io::Result<()> {
        let size = match body {
            Body::Empty => 0,
            Body::Bytes(_, bytes) => bytes.len(),
            Body::Content(content) => content.size(),
        };
        let size = size.to_string();
        let mut headers = vec![("Accept", http::MANIFEST_TYPES)];
        headers.extend(self.token.as_deref().map(|token| ("Authorization", token)));
        if method != "GET" && method != "HEAD" {
            headers.push(("Content-Length", &size));
        }
        match body {
            Body::Empty => {}
            Body::Bytes(media_type, _) => headers.push(("Content-Type", media_type)),
            Body::Content(_) => headers.push(("Content-Type", "application/octet-stream")),
        }
        let head = http::head(method, &self.host, path, &headers);
        match body {
            Body::Bytes(_, bytes) => self.stream.write_all(&[&head, bytes].concat())?,
            Body::Empty => self.stream.write_all(&head)?,
            Body::Content(content) => {
                self.stream.write_all(&head)?;
                for slice in content.slices() {
                    self.stream.write_all(slice)?;
                }
            }
        }
        self.stream.flush()
    }

    /// Reads more behind what has not been used.
    fn fill(&mut self) -> Result<()> {
        if self.used > 0 {
            self.buffer.copy_within(self.used..self.filled, 0);
            self.filled -= self.used;
            self.used = 0;
        }
        let room = self.buffer.get_mut(self.filled..).unwrap_or_default();
        if room.is_empty() {
            bail!("expected a head of at most {BUFFER} bytes");
        }
        match self.stream.read(room).into_diagnostic()? {
            0 => bail!("the server closed the connection"),
            arrived => self.filled += arrived,
        }
        Ok(())
    }

    /// Reads `missing` bytes and gives them to `each`.
    fn pass(&mut self, mut missing: u64, each: &mut dyn FnMut(&[u8])) -> Result<()> {
        while missing > 0 {
            if self.used == self.filled {
                self.fill()?;
            }
            let most = usize::try_from(missing).unwrap_or(usize::MAX);
            let end = self.filled.min(self.used.saturating_add(most));
            each(self.buffer.get(self.used..end).unwrap_or_default());
            missing -= (end - self.used) as u64;
            self.used = end;
        }
        Ok(())
    }

    fn pass_chunks(&mut self, each: &mut dyn FnMut(&[u8])) -> Result<u64> {
        let mut length = 0;
        loop {
            let mut line = String::new();
            while !line.ends_with("\r\n") {
                self.pass(1, &mut |byte| {
                    line.extend(byte.iter().copied().map(char::from));
                })?;
            }
            let chunk = u64::from_str_radix(line.trim(), 16)
                .into_diagnostic()
                .wrap_err_with(|| format!("expected the size of a chunk, found {line:?}"))?;
            self.pass(chunk, each)?;
            self.pass(2, &mut |_| {})?;
            if chunk == 0 {
                return Ok(length);
            }
            length += chunk;
        }
    }

    /// Pushes a blob as containerd does: one `POST`, one `PUT` with everything.
    pub(crate) fn push(&mut self, repository: &str, content: &Content<'_>) -> Result<()> {
        let upload = self.start_upload(repository)?;
        let path = with_digest(&upload, &content.digest());
        self.ask("PUT", &path, Body::Content(content), 201)?;
        Ok(())
    }

    /// Pushes a blob as Docker does: one `POST`, one `PATCH` with everything, one empty `PUT`.
    pub(crate) fn push_streamed(&mut self, repository: &str, content: &Content<'_>) -> Result<()> {
        let upload = self.start_upload(repository)?;
        let taken = self.ask("PATCH", &upload, Body::Content(content), 202)?;
        let upload = self.location(taken)?;
        let path = with_digest(&upload, &content.digest());
        self.ask("PUT", &path, Body::Empty, 201)?;
        Ok(())
    }

    /// Pushes a blob of few bytes.
    pub(crate) fn push_bytes(&mut self, repository: &str, bytes: &[u8]) -> Result<()> {
        let upload = self.start_upload(repository)?;
        let path = with_digest(&upload, &metahub_e2e::http::digest_of(bytes));
        self.ask(
            "PUT",
            &path,
            Body::Bytes("application/octet-stream", bytes),
            201,
        )?;
        Ok(())
    }

    fn start_upload(&mut self, repository: &str) -> Result<String> {
        let path = format!("/v2/{repository}/blobs/uploads/");
        let begun = self.ask("POST", &path, Body::Empty, 202)?;
        self.location(begun)
    }

    fn location(&self, answer: Answer) -> Result<String> {
        let location = answer.head.location;
        let location = location.ok_or_else(|| miette!("an upload without a Location"))?;
        Ok(match location.split_once(&self.host) {
            Some((_, path)) => path.to_owned(),
            None => location,
        })
    }
}

fn with_digest(location: &str, digest: &str) -> String {
    metahub_e2e::pusher::with_query(location, &format!("digest={digest}"))
}

fn tcp(host: &str) -> Result<TcpStream> {
    let open = || {
        let stream = TcpStream::connect(host)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok::<_, std::io::Error>(stream)
    };
    open()
        .into_diagnostic()
        .wrap_err_with(|| format!("connecting to {host}"))
}
