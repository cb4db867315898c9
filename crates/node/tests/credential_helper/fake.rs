//! A registry that answers as a test says, and counts what it is asked.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// A request: its path with the query, and the user name of its Basic credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) path: String,
    pub(crate) user: Option<String>,
}

/// Status and body for a request.
type Answers = dyn Fn(&Asked) -> (u16, String) + Send + Sync;

pub(crate) struct FakeRegistry {
    host: String,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl FakeRegistry {
    /// Challenges as a MetaHub does; everything else is up to `answers`.
    pub(crate) fn start(answers: impl Fn(&Asked) -> (u16, String) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (seen, realm) = (Arc::clone(&asked), format!("http://{host}/token"));
        let answers: Arc<Answers> = Arc::new(answers);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (answers, seen, realm) =
                    (Arc::clone(&answers), Arc::clone(&seen), realm.clone());
                std::thread::spawn(move || serve(&stream, &*answers, &seen, &realm));
            }
        });
        Self { host, asked }
    }

    /// One that knows these targets, and takes logins that begin with one of them.
    pub(crate) fn knowing(targets: &'static [&'static str], lists_them: bool) -> Self {
        Self::start(move |asked| {
            if asked.path.starts_with("/api/v1/hardware") && lists_them {
                return (200, serde_json::json!({"targets": targets}).to_string());
            }
            if !asked.path.starts_with("/token") {
                return (404, "{}".to_owned());
            }
            let first = asked
                .user
                .as_deref()
                .map(|user| user.split('+').next().unwrap());
            match first {
                Some(first) if targets.contains(&first) => (200, "{\"token\":\"t\"}".to_owned()),
                _ => (401, "{}".to_owned()),
            }
        })
    }

    /// One that takes connections and never answers.
    pub(crate) fn silent() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let host = listener.local_addr().unwrap().to_string();
        std::thread::spawn(move || {
            let _held: Vec<TcpStream> = listener.incoming().flatten().collect();
        });
        Self {
            host,
            asked: Arc::default(),
        }
    }

    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

fn serve(stream: &TcpStream, answers: &Answers, seen: &Mutex<Vec<Asked>>, realm: &str) {
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
    let Some(Ok(first)) = lines.next() else {
        return;
    };
    let mut user = None;
    for line in lines
        .by_ref()
        .map_while(Result::ok)
        .take_while(|line| !line.is_empty())
    {
        let (name, value) = line.split_once(": ").unwrap_or_default();
        if let (true, Some(pair)) = (
            name.eq_ignore_ascii_case("authorization"),
            value.strip_prefix("Basic "),
        ) {
            let pair = String::from_utf8(STANDARD.decode(pair).unwrap()).unwrap();
            user = Some(pair.split(':').next().unwrap().to_owned());
        }
    }
    let asked = Asked {
        path: first.split(' ').nth(1).unwrap_or_default().to_owned(),
        user,
    };
    let (status, body) = if asked.path == "/v2/" {
        (401, "{}".to_owned())
    } else {
        answers(&asked)
    };
    seen.lock().unwrap().push(asked);
    let mut stream = stream;
    let _ = write!(
        stream,
        "HTTP/1.1 {status} X\r\nWWW-Authenticate: Bearer realm=\"{realm}\",service=\"s\"\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
}
