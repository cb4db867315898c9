//! A blocking client, small enough for the program on the node: one registry, and the requests to
//! it. Answers are bounded in bytes and time. Credentials are sent only to the registry that they
//! are for.

mod error;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use metahub_oci::{Digest, Reference, RepositoryName};
use serde_json::Value;
use ureq::http::{Response, Uri};
use ureq::tls::{Certificate, RootCerts, TlsConfig, parse_pem};
use ureq::{Agent, Body};

use crate::{Challenge, ErrorBody, Head, MANIFESTS, TokenAnswer};
use crate::{path, printable, pull_scope, token_query};

pub use error::{CertificateFault, ClientError};

/// At most so many bytes of an answer are read. Manifests are requested with `HEAD`, not read.
const MOST_BYTES: u64 = 4 << 20;
/// As much of a registry's own words as is repeated, in characters.
const MOST_WORDS: usize = 500;

/// A user name and its password. Prints the name only.
#[derive(Clone, PartialEq, Eq)]
pub struct Login {
    /// The user name.
    pub user: String,
    /// The password.
    pub secret: String,
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Login({})", self.user)
    }
}

/// How a registry is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connect {
    /// Most time for one request, looking up the name and reading the answer included.
    pub timeout: Duration,
    /// Certificates to trust in addition to the system's, as a PEM file.
    pub authorities: Option<PathBuf>,
    /// Speak HTTP without TLS. Addresses of this machine itself are spoken to so, too, unless
    /// there are `authorities`.
    pub plain_http: bool,
}

/// A registry under its host name.
#[derive(Clone, Debug)]
pub struct Registry {
    host: String,
    base: String,
    agent: Agent,
}

impl Registry {
    /// Prepares for asking `host`, which is `NAME[:PORT]`.
    ///
    /// # Errors
    /// When the certificates to trust cannot be read.
    pub fn new(host: &str, connect: &Connect) -> Result<Self, ClientError> {
        let local = is_loopback(host) && connect.authorities.is_none();
        let plain = connect.plain_http || local;
        let mut config = Agent::config_builder()
            .timeout_global(Some(connect.timeout))
            .http_status_as_error(false)
            // Following a redirect would send the login to another host.
            .max_redirects(0)
            .max_redirects_will_error(false)
            .proxy(None)
            .user_agent(concat!("metahub-client/", env!("CARGO_PKG_VERSION")));
        if !plain {
            config = config.tls_config(tls(connect.authorities.as_deref())?);
        }
        Ok(Self {
            host: host.to_owned(),
            base: format!("{}://{host}", if plain { "http" } else { "https" }),
            agent: config.build().into(),
        })
    }

    /// `NAME[:PORT]`.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Asks `GET /v2/` without credentials for the challenge; `None` where there is none.
    ///
    /// # Errors
    /// When there is no registry.
    pub fn challenge(&self) -> Result<Option<Challenge>, ClientError> {
        let answer = self.get(path::BASE, &[], None)?;
        if answer.status().as_u16() != 401 {
            self.expect_success(answer)?;
            return Ok(None);
        }
        let mut all = Challenge::all(answer.headers());
        let bearer = all.iter().position(|challenge| challenge.is("bearer"));
        let first = bearer.unwrap_or(0);
        if first < all.len() {
            return Ok(Some(all.swap_remove(first)));
        }
        Err(self.bad(format!(
            "401 with the challenge '{}', where Bearer or Basic was expected",
            header(&answer, "www-authenticate").unwrap_or_default()
        )))
    }

    /// A bearer token for `scope`, by the registry's challenge (distribution specification,
    /// token authentication); `None` where the registry asks for none or for Basic alone.
    ///
    /// # Errors
    /// When the login is refused ([`ClientError::Refused`] with status 401), or no token comes.
    pub fn token(&self, login: Option<&Login>, scope: &str) -> Result<Option<String>, ClientError> {
        let Some(challenge) = self.challenge()? else {
            return Ok(None);
        };
        if !challenge.is("bearer") {
            return Ok(None);
        }
        let realm = challenge.parameter("realm").unwrap_or_default();
        let path = self.own_path(realm)?;
        let query = token_query(challenge.parameter("service"), [scope]);
        let answer = self.get(&path, &query, login.map(basic).as_deref())?;
        let text = self.text(&mut self.expect_success(answer)?)?;
        match TokenAnswer::parse(text.as_bytes()) {
            Ok(answer) => Ok(Some(answer.token)),
            Err(problem) => Err(self.bad(format!("{path} {problem}"))),
        }
    }

    /// A document of the registry's own API at `path`, under `login`.
    ///
    /// # Errors
    /// When the registry refuses, or answers no JSON.
    pub fn document(
        &self,
        path: &str,
        query: &[(&str, &str)],
        login: Option<&Login>,
    ) -> Result<Value, ClientError> {
        let answer = self.get(path, query, login.map(basic).as_deref())?;
        self.json(answer)
    }

    /// What the registry's own API answers to `body` at `path`, under `login`.
    ///
    /// # Errors
    /// When the registry refuses, or answers no JSON.
    pub fn post(
        &self,
        path: &str,
        body: &Value,
        login: Option<&Login>,
    ) -> Result<Value, ClientError> {
        let mut request = self
            .agent
            .post(format!("{}{path}", self.base))
            .header("Content-Type", "application/json");
        if let Some(login) = login {
            request = request.header("Authorization", basic(login));
        }
        let answer = request.send(body.to_string());
        self.json(answer.map_err(|error| self.failed(&error))?)
    }

    /// The digest that `reference` (a tag or a digest) of the repository `name` has for `login`,
    /// by `HEAD` (distribution specification, end-3).
    ///
    /// # Errors
    /// When the registry refuses, or states no digest.
    pub fn manifest_digest(
        &self,
        name: &RepositoryName,
        reference: &Reference,
        login: Option<&Login>,
    ) -> Result<Digest, ClientError> {
        let credentials = match self.token(login, &pull_scope(name))? {
            Some(token) => Some(format!("Bearer {token}")),
            None => login.map(basic),
        };
        let url = format!("{}{}", self.base, path::manifest(name, reference));
        let mut request = self.agent.head(&url).header("Accept", MANIFESTS);
        if let Some(credentials) = credentials {
            request = request.header("Authorization", credentials);
        }
        let answer = request.call().map_err(|error| self.failed(&error))?;
        let answer = self.expect_success(answer)?;
        Head::of(answer.headers())
            .digest
            .ok_or_else(|| self.bad("no Docker-Content-Digest came with a manifest".to_owned()))
    }

    /// The registry's clock, as the `Date` of an answer says it (RFC 9110 section 5.6.7).
    ///
    /// # Errors
    /// When the registry cannot be reached.
    pub fn date(&self) -> Result<Option<String>, ClientError> {
        Ok(header(&self.get(path::BASE, &[], None)?, "date"))
    }

    fn get(
        &self,
        path: &str,
        query: &[(&str, &str)],
        credentials: Option<&str>,
    ) -> Result<Response<Body>, ClientError> {
        let mut request = self.agent.get(format!("{}{path}", self.base));
        for (key, value) in query {
            request = request.query(key, value);
        }
        if let Some(credentials) = credentials {
            request = request.header("Authorization", credentials);
        }
        request.call().map_err(|error| self.failed(&error))
    }

    /// The path of a token server that is the registry itself.
    fn own_path(&self, realm: &str) -> Result<String, ClientError> {
        let elsewhere = || {
            self.bad(format!(
                "its tokens come from '{realm}', where {} was expected; no login is sent there",
                self.base
            ))
        };
        let realm_of: Uri = realm.parse().map_err(|_| elsewhere())?;
        let base: Uri = self.base.parse().map_err(|_| elsewhere())?;
        let port = |uri: &Uri| {
            let usual = if uri.scheme_str() == Some("http") {
                80
            } else {
                443
            };
            uri.port_u16().unwrap_or(usual)
        };
        let host = |uri: &Uri| uri.host().unwrap_or_default().to_ascii_lowercase();
        let same = realm_of.scheme_str() == base.scheme_str()
            && host(&realm_of) == host(&base)
            && port(&realm_of) == port(&base);
        if !same {
            return Err(elsewhere());
        }
        Ok(realm_of.path().to_owned())
    }

    fn json(&self, answer: Response<Body>) -> Result<Value, ClientError> {
        let mut answer = self.expect_success(answer)?;
        let text = self.text(&mut answer)?;
        serde_json::from_str(&text).map_err(|error| self.bad(format!("no JSON came: {error}")))
    }

    fn text(&self, answer: &mut Response<Body>) -> Result<String, ClientError> {
        let body = answer.body_mut().with_config().limit(MOST_BYTES);
        body.read_to_string().map_err(|error| self.failed(&error))
    }

    fn expect_success(&self, mut answer: Response<Body>) -> Result<Response<Body>, ClientError> {
        let status = answer.status();
        if status.is_success() {
            return Ok(answer);
        }
        let text = self.text(&mut answer).unwrap_or_default();
        let body = ErrorBody::parse(text.as_bytes()).unwrap_or_default();
        let said = body.message.as_deref().or(status.canonical_reason());
        Err(ClientError::Refused {
            registry: self.host.clone(),
            status: status.as_u16(),
            message: printable(said.unwrap_or("no reason given"), MOST_WORDS),
            reason: body.reason().map(|reason| printable(reason, MOST_WORDS)),
        })
    }

    fn bad(&self, problem: String) -> ClientError {
        ClientError::BadAnswer {
            registry: self.host.clone(),
            problem,
        }
    }

    fn failed(&self, error: &ureq::Error) -> ClientError {
        let problem = error.to_string();
        let registry = self.host.clone();
        if let Some(fault) = CertificateFault::of(error) {
            return ClientError::Certificate {
                registry,
                fault,
                problem,
            };
        }
        ClientError::Unreachable { registry, problem }
    }
}

fn tls(authorities: Option<&Path>) -> Result<TlsConfig, ClientError> {
    let mut trusted: Vec<Certificate<'static>> = rustls_native_certs::load_native_certs()
        .certs
        .iter()
        .map(|certificate| Certificate::from_der(certificate).to_owned())
        .collect();
    if let Some(file) = authorities {
        let wrong = |problem: String| ClientError::Authorities {
            file: file.display().to_string(),
            problem,
        };
        let pem = std::fs::read(file).map_err(|error| wrong(error.to_string()))?;
        for item in parse_pem(&pem) {
            if let ureq::tls::PemItem::Certificate(certificate) =
                item.map_err(|error| wrong(error.to_string()))?
            {
                trusted.push(certificate);
            }
        }
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    Ok(TlsConfig::builder()
        .root_certs(RootCerts::Specific(Arc::new(trusted)))
        .unversioned_rustls_crypto_provider(provider)
        .build())
}

fn basic(login: &Login) -> String {
    let pair = format!("{}:{}", login.user, login.secret);
    format!("Basic {}", STANDARD.encode(pair))
}

fn header(answer: &Response<Body>, name: &str) -> Option<String> {
    Some(answer.headers().get(name)?.to_str().ok()?.to_owned())
}

/// Whether `host` is this machine itself, which clients speak to without TLS.
fn is_loopback(host: &str) -> bool {
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    let address = name.trim_matches(['[', ']']);
    name.eq_ignore_ascii_case("localhost")
        || address
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_itself_is_spoken_to_without_tls() {
        for host in [
            "localhost",
            "localhost:5000",
            "127.0.0.1:80",
            "[::1]:5000",
            "127.1.2.3",
        ] {
            assert!(is_loopback(host), "{host}");
        }
        for host in [
            "hub.example",
            "10.0.0.1:5000",
            "localhost.example",
            "[fe80::1]:5000",
        ] {
            assert!(!is_loopback(host), "{host}");
        }
    }

    #[test]
    fn a_login_goes_to_the_registry_it_was_given_for_alone() {
        let connect = Connect {
            timeout: Duration::from_secs(1),
            authorities: None,
            plain_http: true,
        };
        let registry = Registry::new("hub.example:5000", &connect).unwrap();
        for (realm, path) in [
            ("http://hub.example:5000/token", Some("/token")),
            ("http://HUB.example:5000/auth/token", Some("/auth/token")),
            ("https://hub.example:5000/token", None),
            ("http://hub.example/token", None),
            ("http://hub.example.evil:5000/token", None),
            ("http://hub.example:5000@evil/token", None),
            ("/token", None),
            ("", None),
        ] {
            assert_eq!(registry.own_path(realm).ok().as_deref(), path, "{realm}");
        }
    }

    #[test]
    fn a_login_prints_its_name_only() {
        let login = Login {
            user: "alice".to_owned(),
            secret: "hidden".to_owned(),
        };
        assert_eq!(format!("{login:?}"), "Login(alice)");
    }
}
