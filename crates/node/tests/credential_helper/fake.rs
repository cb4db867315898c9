//! A registry that answers as a test says, and counts what it is asked.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use metahub_testkit::{Answer, FakeRegistry as Fake, Seen};

/// A request: its path with the query, and the user name of its Basic credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) path: String,
    pub(crate) user: Option<String>,
}

impl Asked {
    fn of(seen: &Seen) -> Self {
        let pair = seen.header("authorization").unwrap_or_default();
        let user = pair.strip_prefix("Basic ").map(|pair| {
            let pair = String::from_utf8(STANDARD.decode(pair).unwrap()).unwrap();
            pair.split(':').next().unwrap().to_owned()
        });
        let query = if seen.query.is_empty() { "" } else { "?" };
        Self {
            path: format!("{}{query}{}", seen.path, seen.query),
            user,
        }
    }
}

pub(crate) struct FakeRegistry {
    fake: Fake,
    host: String,
}

impl FakeRegistry {
    /// Challenges as a MetaHub does; everything else is up to `answers`.
    pub(crate) fn start(answers: impl Fn(&Asked) -> (u16, String) + Send + Sync + 'static) -> Self {
        Self::of(Fake::start_blocking(move |seen| {
            let asked = Asked::of(seen);
            let (status, body) = if asked.path == "/v2/" {
                (401, "{}".to_owned())
            } else {
                answers(&asked)
            };
            let host = seen.header("host").unwrap_or_default();
            let challenge = format!("Bearer realm=\"http://{host}/token\",service=\"s\"");
            Answer::new(status, body).header("www-authenticate", challenge)
        }))
    }

    fn of(fake: Fake) -> Self {
        let host = fake.host();
        Self { fake, host }
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

    /// One that takes requests and never answers.
    pub(crate) fn silent() -> Self {
        Self::of(Fake::start_blocking(|_| Answer::Never))
    }

    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.fake.seen().iter().map(Asked::of).collect()
    }
}
