//! Sends one request over HTTP and follows redirects itself.
//!
//! It uses two HTTP clients: one for the upstream's own host, which the operator chose, and one for
//! redirects, which may reach only what `address` allows. `Authorization` goes to the upstream's
//! own origin and is dropped at the first redirect away from it, for good.

use std::error::Error as _;
use std::sync::OnceLock;
use std::time::Duration;

use http::header::{ACCEPT, ACCEPT_ENCODING, LOCATION, RANGE};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use metahub_limits::DocumentBudget;
use reqwest::{Client, Response, redirect};
use rustls::pki_types::CertificateDer;
use url::Url;

use crate::address::{Forbidden, Guard};
use crate::chain::chain;
use crate::config::Timeouts;
use crate::error::{Problem, Waiting};
use crate::pinned;
use crate::room::Room;

/// Redirects followed for one request.
const MAX_REDIRECTS: usize = 5;
/// Idle connections are kept this long.
const IDLE: Duration = Duration::from_secs(90);
const USER_AGENT: &str = concat!("metahub/", env!("CARGO_PKG_VERSION"));

/// The connections to one upstream and to its redirects.
#[derive(Debug)]
pub(crate) struct Connections {
    origin: Url,
    plain_http: bool,
    /// Whether the upstream itself was configured; else it, too, must be public.
    configured: bool,
    guard: Guard,
    authorities: Vec<CertificateDer<'static>>,
    timeouts: Timeouts,
    room: Room,
    // Built on first use: a client loads the system's certificates, which takes memory and time
    // that an unused upstream should not cost.
    home: OnceLock<Result<Client, String>>,
    away: OnceLock<Result<Client, String>>,
}

/// An answer, and whether the upstream itself gave it.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) response: Response,
    /// False after a redirect to another origin.
    pub(crate) from_home: bool,
}

impl Connections {
    pub(crate) fn new(
        origin: Url,
        plain_http: bool,
        guard: Guard,
        configured: bool,
        authorities: Vec<CertificateDer<'static>>,
        timeouts: Timeouts,
        documents: DocumentBudget,
    ) -> Self {
        Self {
            origin,
            plain_http,
            configured,
            guard,
            authorities,
            timeouts,
            room: Room::new(documents),
            home: OnceLock::new(),
            away: OnceLock::new(),
        }
    }

    pub(crate) fn origin(&self) -> &Url {
        &self.origin
    }

    pub(crate) fn timeouts(&self) -> &Timeouts {
        &self.timeouts
    }

    /// The memory budget for documents of this upstream.
    pub(crate) fn room(&self) -> &Room {
        &self.room
    }

    /// Whether `url` is on the upstream's own scheme, host and port.
    pub(crate) fn is_home(&self, url: &Url) -> bool {
        url.origin() == self.origin.origin()
    }

    /// GET or HEAD of `url` with `headers`, redirects followed. `headers` may hold
    /// `Authorization` for the origin of `url`: the caller has made sure that it belongs there.
    pub(crate) async fn get(
        &self,
        method: Method,
        url: Url,
        headers: HeaderMap,
    ) -> Result<Answer, Problem> {
        self.send(method, url, headers, None).await
    }

    /// POST of a form to `url`, redirects not followed: a form may hold a secret.
    pub(crate) async fn post(
        &self,
        url: Url,
        headers: HeaderMap,
        form: &[(&str, &str)],
    ) -> Result<Answer, Problem> {
        self.send(Method::POST, url, headers, Some(form)).await
    }

    async fn send(
        &self,
        method: Method,
        mut url: Url,
        mut headers: HeaderMap,
        form: Option<&[(&str, &str)]>,
    ) -> Result<Answer, Problem> {
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        let first = url.origin();
        for _ in 0..=MAX_REDIRECTS {
            let response = self.once(&method, url.clone(), &headers, form).await?;
            if form.is_some() || !follows(response.status()) {
                let from_home = self.is_home(&url);
                return Ok(Answer {
                    response,
                    from_home,
                });
            }
            url = self.redirect_target(&url, response.headers())?;
            if url.origin() != first {
                // Once away, never trusted again, even if led back.
                headers = content_headers(&headers);
            }
        }
        Err(Problem::Refused(format!(
            "led through more than {MAX_REDIRECTS} redirects; they probably run in a circle"
        )))
    }

    async fn once(
        &self,
        method: &Method,
        url: Url,
        headers: &HeaderMap,
        form: Option<&[(&str, &str)]>,
    ) -> Result<Response, Problem> {
        let client = if self.configured && self.is_home(&url) {
            &self.home
        } else {
            let checked = self.guard.check(&url).await;
            checked.map_err(|forbidden| Problem::Refused(forbidden.to_string()))?;
            &self.away
        };
        let guarded = std::ptr::eq(client, &self.away);
        let client = client
            .get_or_init(|| self.build(guarded))
            .as_ref()
            .map_err(|why| Problem::Tls(why.clone()))?;
        let mut request = client.request(method.clone(), url).headers(headers.clone());
        if let Some(form) = form {
            request = request.form(form);
        }
        let sent = tokio::time::timeout(self.timeouts.answer, request.send()).await;
        match sent {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(error)) => Err(self.classify(error)),
            Err(_) => Err(Problem::Timeout {
                waiting: Waiting::Answer,
                after: self.timeouts.answer,
            }),
        }
    }

    fn build(&self, guarded: bool) -> Result<Client, String> {
        let builder = || {
            let builder = Client::builder()
                .user_agent(USER_AGENT)
                .redirect(redirect::Policy::none())
                .referer(false)
                .connect_timeout(self.timeouts.connect)
                .pool_idle_timeout(IDLE)
                .tcp_nodelay(true)
                .http2_adaptive_window(true);
            if guarded {
                builder.dns_resolver(self.guard.clone())
            } else {
                builder
            }
        };
        let trusting = if self.authorities.is_empty() {
            builder()
        } else {
            let config = pinned::client_config(&self.authorities);
            builder().tls_backend_preconfigured(config.map_err(|error| chain(&error))?)
        };
        match trusting.build() {
            Ok(client) => Ok(client),
            // A machine without certificates can still reach plain HTTP upstreams; others fail with
            // a TLS error of their own.
            Err(error) => {
                tracing::warn!(error = %chain(&error), "no certificate authorities to trust");
                builder()
                    .tls_certs_only([])
                    .build()
                    .map_err(|error| chain(&error))
            }
        }
    }

    fn redirect_target(&self, from: &Url, headers: &HeaderMap) -> Result<Url, Problem> {
        let refused = |why: String| Err(Problem::Refused(why));
        let location = headers.get(LOCATION).and_then(|value| value.to_str().ok());
        let Some(target) = location.and_then(|text| from.join(text).ok()) else {
            return Err(Problem::BadAnswer(
                "a redirect without a readable Location".to_owned(),
            ));
        };
        let host = target.host_str().unwrap_or("").to_owned();
        if !matches!(target.scheme(), "http" | "https") || !target.has_host() {
            let scheme = target.scheme();
            return refused(format!(
                "redirects to a '{scheme}:' address, which is not followed"
            ));
        }
        if !target.username().is_empty() || target.password().is_some() {
            return refused(format!(
                "redirects to '{host}' with a user name in the URL, which is not followed"
            ));
        }
        if target.scheme() == "http" && !self.plain_http {
            return refused(format!(
                "redirects to '{host}' without TLS, which is not followed; set plain_http: true \
                 if that is wanted"
            ));
        }
        Ok(target)
    }

    /// Maps an error of the HTTP library. URLs are left out: they may be signed.
    fn classify(&self, error: reqwest::Error) -> Problem {
        let error = error.without_url();
        let mut cause: Option<&(dyn std::error::Error + 'static)> = error.source();
        while let Some(inner) = cause {
            if let Some(forbidden) = inner.downcast_ref::<Forbidden>() {
                return Problem::Refused(forbidden.to_string());
            }
            match tls_error(inner) {
                Some(rustls::Error::InvalidMessage(_)) => {
                    let why = "it does not speak TLS; if that is meant so, set plain_http: true";
                    return Problem::Tls(why.to_owned());
                }
                Some(error) => return Problem::Tls(chain(error)),
                None => {}
            }
            cause = inner.source();
        }
        if error.is_timeout() {
            return Problem::Timeout {
                waiting: Waiting::Connection,
                after: self.timeouts.connect,
            };
        }
        Problem::Unreachable(chain(&error))
    }
}

/// The headers that may be sent to the target of a redirect.
fn content_headers(headers: &HeaderMap) -> HeaderMap {
    let kept = [ACCEPT, ACCEPT_ENCODING, RANGE].into_iter();
    kept.filter_map(|name| headers.get(&name).cloned().map(|value| (name, value)))
        .collect()
}

fn follows(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
}

/// The TLS library's error, which travels inside I/O errors that hide it.
fn tls_error<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a rustls::Error> {
    match error.downcast_ref::<std::io::Error>() {
        Some(outer) => tls_error(outer.get_ref()?),
        None => error.downcast_ref(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connections(configured: bool) -> Connections {
        let origin = Url::parse("https://localhost:1").unwrap();
        let timeouts = Timeouts::default();
        let guard = Guard::public_only(crate::address::ProxiedPrivate::Allow);
        let documents = DocumentBudget::default();
        Connections::new(
            origin,
            true,
            guard,
            configured,
            Vec::new(),
            timeouts,
            documents,
        )
    }

    async fn get(connections: &Connections, url: &str) -> Problem {
        let url = Url::parse(url).unwrap();
        let result = connections.get(Method::GET, url, HeaderMap::new()).await;
        result.unwrap_err()
    }

    #[tokio::test]
    async fn a_name_is_judged_by_what_it_resolves_to() {
        for url in ["http://localhost:1/", "https://LOCALHOST:2/"] {
            let problem = get(&connections(false), url).await;
            assert!(matches!(problem, Problem::Refused(_)), "{url}: {problem:?}");
        }
        let own = get(&connections(true), "https://localhost:1/").await;
        assert!(matches!(own, Problem::Unreachable(_)), "{own:?}");
    }

    #[tokio::test]
    async fn an_error_names_the_cause_and_no_url() {
        let problem = get(&connections(true), "https://localhost:1/x?signature=s3cr3t").await;
        let Problem::Unreachable(why) = problem else {
            panic!("{problem:?}");
        };
        assert!(why.contains("refused") && !why.contains("s3cr3t"), "{why}");
        assert!(!why.contains("error sending request"), "{why}");
    }
}
