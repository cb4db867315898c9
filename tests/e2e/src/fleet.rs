//! A cluster that starts: many nodes at once, each of some kind, each pulling the same tag as a
//! client does: token, index, manifest, configuration, layers, every byte of them hashed. All of
//! it is real HTTP, from one process.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper::Request;
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use sha2::Digest as _;

use crate::http::{basic, digest_of, runtime};
use crate::pusher::{INDEX, MANIFEST};

/// How long one node may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// How the start of a cluster went.
#[derive(Debug)]
pub struct Started {
    /// Of each node that has its image: its login, the manifest's digest, and how long it took.
    pub nodes: Vec<(String, String, Duration)>,
    /// Of each node that has none: its login, and what went wrong.
    pub failed: Vec<(String, String)>,
    /// Bytes of bodies that all nodes got.
    pub bytes: u64,
}

impl Started {
    /// The time that so many of 100 nodes did not pass.
    #[must_use]
    pub fn percentile(&self, of_100: usize) -> Duration {
        let mut times: Vec<Duration> = self.nodes.iter().map(|(.., took)| *took).collect();
        times.sort();
        let at = (times.len() * of_100).div_ceil(100).saturating_sub(1);
        times.get(at).copied().unwrap_or_default()
    }
}

/// Starts `count` nodes at once; their logins are `logins` by turns.
#[must_use]
pub fn start(host: &str, repository: &str, tag: &str, logins: &[&str], count: usize) -> Started {
    runtime().block_on(async {
        let nodes: Vec<_> = logins
            .iter()
            .cycle()
            .take(count)
            .map(|login| {
                let node = Node {
                    host: host.to_owned(),
                    repository: repository.to_owned(),
                    login: (*login).to_owned(),
                };
                let (login, tag) = ((*login).to_owned(), tag.to_owned());
                let began = Instant::now();
                let pulling = tokio::spawn(async move {
                    let pulled = tokio::time::timeout(PATIENCE, node.pull(&tag)).await;
                    let pulled = pulled.unwrap_or_else(|_| Err("it took too long".into()));
                    pulled
                        .map(|pulled| (pulled, began.elapsed()))
                        .map_err(|error| error.to_string())
                });
                (login, pulling)
            })
            .collect();
        let mut started = Started {
            nodes: Vec::new(),
            failed: Vec::new(),
            bytes: 0,
        };
        for (login, pulling) in nodes {
            match pulling.await.expect("a node does not panic") {
                Ok(((manifest, bytes), took)) => {
                    started.nodes.push((login, manifest, took));
                    started.bytes += bytes;
                }
                Err(error) => started.failed.push((login, error)),
            }
        }
        started
    })
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

struct Node {
    host: String,
    repository: String,
    login: String,
}

impl Node {
    /// The manifest's digest, and how many bytes were pulled.
    async fn pull(&self, tag: &str) -> Result<(String, u64), Failure> {
        let stream = tokio::net::TcpStream::connect(&self.host).await?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        let mut total = 0;
        let token = {
            let path = format!(
                "/token?service=metahub&scope=repository:{}:pull",
                self.repository
            );
            let answer = self
                .get(&mut sender, &path, &basic(&self.login, "any"))
                .await?;
            let answer: Value = serde_json::from_slice(&answer)?;
            format!("Bearer {}", answer["token"].as_str().ok_or("no token")?)
        };
        let tagged = self
            .get(&mut sender, &self.path("manifests", tag), &token)
            .await?;
        total += tagged.len() as u64;
        let mut manifest: Value = serde_json::from_slice(&tagged)?;
        let mut digest = digest_of(&tagged);
        // The one image that is left of an index may be served itself.
        if let Some(entries) = manifest["manifests"].as_array() {
            let [entry] = entries.as_slice() else {
                return Err(format!("{} entries in place of one", entries.len()).into());
            };
            digest = entry["digest"].as_str().ok_or("no digest")?.to_owned();
            let image = self
                .content(&mut sender, "manifests", &digest, &token)
                .await?;
            total += image.len() as u64;
            manifest = serde_json::from_slice(&image)?;
        }
        let layers = manifest["layers"].as_array().ok_or("no layers")?;
        for blob in std::iter::once(&manifest["config"]).chain(layers) {
            let digest = blob["digest"].as_str().ok_or("no digest")?;
            total += self
                .content(&mut sender, "blobs", digest, &token)
                .await?
                .len() as u64;
        }
        Ok((digest, total))
    }

    fn path(&self, kind: &str, reference: &str) -> String {
        format!("/v2/{}/{kind}/{reference}", self.repository)
    }

    /// Content by its digest, checked.
    async fn content(
        &self,
        sender: &mut SendRequest<Empty<Bytes>>,
        kind: &str,
        digest: &str,
        token: &str,
    ) -> Result<Vec<u8>, Failure> {
        let content = self.get(sender, &self.path(kind, digest), token).await?;
        let found = format!("sha256:{}", hex::encode(sha2::Sha256::digest(&content)));
        if found == digest {
            Ok(content)
        } else {
            Err(format!("{digest} came as {found}").into())
        }
    }

    async fn get(
        &self,
        sender: &mut SendRequest<Empty<Bytes>>,
        path: &str,
        authorization: &str,
    ) -> Result<Vec<u8>, Failure> {
        sender.ready().await?;
        let request = Request::get(path)
            .header("Host", &self.host)
            .header("Authorization", authorization)
            .header("Accept", format!("{INDEX}, {MANIFEST}"))
            .body(Empty::new())?;
        let answer = sender.send_request(request).await?;
        let status = answer.status();
        let body = answer.into_body().collect().await?.to_bytes();
        if status.is_success() {
            return Ok(body.into());
        }
        let text = String::from_utf8_lossy(&body);
        Err(format!("GET {path}: {status}: {text}").into())
    }
}
