//! An upstream registry whose content a test changes while it runs, and which records its requests.
//! It behaves correctly: `faulty` is the one that misbehaves.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use ::http::{Response, header};
use axum::body::Body;
use bytes::Bytes;
use serde_json::{Value, json};

use crate::answer::Answer;
use crate::faulty::MANIFEST_TYPE;
use crate::http::digest_of;
use crate::registry::{FakeRegistry, Seen};

mod access;

use access::{Access, TOKENS};

/// The type of an index.
pub const INDEX_TYPE: &str = "application/vnd.oci.image.index.v1+json";

#[derive(Debug, Default)]
struct State {
    /// By path: type and bytes.
    content: BTreeMap<String, (String, Bytes)>,
    /// What all requests are answered with instead.
    failure: Option<(u16, Option<u64>)>,
    asked: Vec<String>,
    access: Access,
}

/// A running registry.
#[derive(Debug)]
pub struct Scripted {
    host: String,
    state: Arc<Mutex<State>>,
    server: FakeRegistry,
}

impl Scripted {
    /// Starts an empty one on a free port of the loopback.
    ///
    /// # Panics
    /// When the loopback has no free port.
    #[must_use]
    pub fn start() -> Self {
        let state = Arc::<Mutex<State>>::default();
        let served = Arc::clone(&state);
        let server = FakeRegistry::start_blocking(move |request| {
            Answer::of(answer(&mut locked(&served), request))
        });
        Self {
            host: server.host(),
            state,
            server,
        }
    }

    /// Its `127.0.0.1:PORT`.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// An entry of `upstreams` for it, under the host `called`, followed by more keys.
    #[must_use]
    pub fn entry(&self, called: &str, more: &str) -> String {
        let url = &self.host;
        format!("{{ host: {called}, url: 'http://{url}', plain_http: true, {more} }}")
    }

    /// Puts an image of one layer under `repository:tag` and returns its manifest. Images differ
    /// by `text`, and say that they are for `architecture`.
    pub fn put(&self, repository: &str, tag: &str, text: &str) -> Vec<u8> {
        self.put_for(repository, tag, text, "amd64", &json!(null))
    }

    /// The same for another architecture, or about another manifest.
    ///
    /// # Panics
    /// Never: plain JSON can always be written.
    pub fn put_for(
        &self,
        repository: &str,
        tag: &str,
        text: &str,
        architecture: &str,
        subject: &Value,
    ) -> Vec<u8> {
        let layer = text.as_bytes().to_vec();
        let config = json!({
            "architecture": architecture,
            "os": "linux",
            "config": {},
            "rootfs": { "type": "layers", "diff_ids": [digest_of(&layer)] },
        });
        let config = serde_json::to_vec(&config).expect("it is plain JSON");
        let blob = |bytes: &[u8], media_type: &str| json!({"mediaType": media_type, "digest": digest_of(bytes), "size": bytes.len()});
        let mut manifest = json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST_TYPE,
            "config": blob(&config, "application/vnd.oci.image.config.v1+json"),
            "layers": [blob(&layer, "application/vnd.oci.image.layer.v1.tar")],
        });
        if !subject.is_null() {
            manifest["subject"] = subject.clone();
            manifest["artifactType"] = json!("application/vnd.example.signature");
        }
        let manifest = serde_json::to_vec(&manifest).expect("it is plain JSON");
        for bytes in [&config, &layer] {
            self.put_at(
                &format!("/v2/{repository}/blobs/{}", digest_of(bytes)),
                "application/octet-stream",
                bytes,
            );
        }
        for reference in [tag, &digest_of(&manifest)] {
            self.put_at(
                &format!("/v2/{repository}/manifests/{reference}"),
                MANIFEST_TYPE,
                &manifest,
            );
        }
        manifest
    }

    /// Puts any bytes at a path.
    pub fn put_at(&self, path: &str, media_type: &str, bytes: &[u8]) {
        let content = (media_type.to_owned(), Bytes::copy_from_slice(bytes));
        locked(&self.state).content.insert(path.to_owned(), content);
    }

    /// Removes the content of a path.
    pub fn remove_at(&self, path: &str) {
        locked(&self.state).content.remove(path);
    }

    /// Removes a tag.
    pub fn remove(&self, repository: &str, tag: &str) {
        let path = format!("/v2/{repository}/manifests/{tag}");
        locked(&self.state).content.remove(&path);
    }

    /// From now on `user` has this password, and requests are challenged for Basic credentials.
    pub fn add_user(&self, user: &str, password: &str) {
        locked(&self.state).access.add_user(user, password);
    }

    /// From now on only these users may read `repository`; others get `status`.
    pub fn close(&self, repository: &str, users: &[&str], status: u16) {
        locked(&self.state).access.close(repository, users, status);
    }

    /// From now on requests for blobs of those users get `status`.
    pub fn refuse_blobs_with(&self, status: u16) {
        locked(&self.state).access.of_blobs = Some(status);
    }

    /// From now on passwords are for a token server, which it is itself, and tokens for the rest.
    pub fn give_tokens(&self) {
        locked(&self.state).access.tokens = true;
    }

    /// The `Authorization` of all requests so far, with their paths.
    #[must_use]
    pub fn authorizations(&self) -> Vec<(String, String)> {
        locked(&self.state).access.seen.clone()
    }

    /// From now on answers every request with `status`, and a `Retry-After` in seconds.
    pub fn fail(&self, status: u16, retry_after: Option<u64>) {
        locked(&self.state).failure = Some((status, retry_after));
    }

    /// From now on all is well again.
    pub fn mend(&self) {
        locked(&self.state).failure = None;
    }

    /// The requests so far, as `METHOD PATH`, and forgets them.
    #[must_use]
    pub fn asked(&self) -> Vec<String> {
        std::mem::take(&mut locked(&self.state).asked)
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.server.stop();
    }
}

fn locked(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().expect("no handler panics")
}

fn answer(state: &mut State, request: &Seen) -> Response<Body> {
    let path = request.path.as_str();
    state.asked.push(request.line());
    let error = |status: u16, code: &str| {
        let body = json!({"errors": [{"code": code, "message": "the upstream's own words"}]});
        Response::builder()
            .status(status)
            .header(header::CONTENT_TYPE, "application/json")
            .body(Body::from(body.to_string()))
            .expect("the status is valid")
    };
    if let Some((status, retry_after)) = state.failure {
        let mut answer = error(status, "TROUBLE");
        if let Some(seconds) = retry_after {
            answer
                .headers_mut()
                .insert(header::RETRY_AFTER, seconds.into());
        }
        return answer;
    }
    state.access.note(request);
    if state.access.tokens && path == TOKENS {
        return match state.access.token(request) {
            Some(token) => Response::builder()
                .body(Body::from(json!({ "token": token }).to_string()))
                .expect("there is nothing to go wrong"),
            None => error(401, "UNAUTHORIZED"),
        };
    }
    if let Some(status) = state.access.refuses(request) {
        let code = if status == 404 {
            "NAME_UNKNOWN"
        } else {
            "DENIED"
        };
        let mut answer = error(status, code);
        if status == 401 {
            let host = request.header("host").unwrap_or_default();
            let challenge = if state.access.tokens {
                format!("Bearer realm=\"http://{host}{TOKENS}\",service=\"scripted\"")
            } else {
                "Basic realm=\"scripted\"".to_owned()
            };
            let challenge = challenge.parse().expect("it is a header value");
            answer
                .headers_mut()
                .insert(header::WWW_AUTHENTICATE, challenge);
        }
        return answer;
    }
    let (media_type, bytes) = if let Some(repository) = path.strip_suffix("/tags/list") {
        let start = format!("{repository}/manifests/");
        let tags: Vec<&str> = state
            .content
            .keys()
            .filter_map(|path| path.strip_prefix(&*start))
            .filter(|tag| !tag.contains(':'))
            .collect();
        if tags.is_empty() {
            return error(404, "NAME_UNKNOWN");
        }
        let list = json!({"name": repository, "tags": tags});
        ("application/json".to_owned(), Bytes::from(list.to_string()))
    } else {
        match state.content.get(path) {
            Some(found) => found.clone(),
            None => return error(404, "MANIFEST_UNKNOWN"),
        }
    };
    let digest = digest_of(&bytes);
    let builder = Response::builder()
        .header(header::CONTENT_TYPE, &media_type)
        .header(header::CONTENT_LENGTH, bytes.len())
        .header("Docker-Content-Digest", digest);
    builder
        .body(Body::from(bytes))
        .expect("media type and digest are header values")
}
