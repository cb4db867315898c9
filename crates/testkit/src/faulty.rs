//! An upstream registry that misbehaves on command: it lies, truncates, stalls, answers HTML.
//!
//! In memory, read-only, one repository, whose blobs others may have too. Without a fault it is an
//! ordinary registry.

mod answer;
mod fault;
mod image;
mod state;

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use bytes::Bytes;

pub use crate::answer::MANIFEST_TYPE;
pub use fault::Fault;
pub use image::Image;

use self::answer::{answer, counted};
use self::state::State;
use crate::answer::Answer;
use crate::registry::{FakeRegistry, Seen};

/// A running misbehaving registry.
#[derive(Debug)]
pub struct Faulty {
    host: String,
    state: Arc<State>,
    server: FakeRegistry,
    /// The image that it serves.
    pub image: Image,
}

impl Faulty {
    /// Starts it on a free port of the loopback, without any fault.
    ///
    /// # Panics
    /// When the loopback has no free port.
    #[must_use]
    pub fn start() -> Self {
        Self::with(Image::new())
    }

    /// The same with an image of another size.
    ///
    /// # Panics
    /// When the loopback has no free port.
    #[must_use]
    pub fn with(image: Image) -> Self {
        Self::with_blobs_in(image, &[])
    }

    /// The same with the image's blobs in further repositories.
    ///
    /// # Panics
    /// When the loopback has no free port.
    #[must_use]
    pub fn with_blobs_in(image: Image, repositories: &[&str]) -> Self {
        let octets = "application/octet-stream".to_owned();
        let manifest = (
            MANIFEST_TYPE.to_owned(),
            Bytes::from(image.manifest.clone()),
        );
        let mut content = HashMap::from([
            (Image::TAG.to_owned(), manifest.clone()),
            (image.by_digest(), manifest),
        ]);
        for blob in [&image.config, &image.layer].map(|blob| Bytes::from(blob.clone())) {
            content.insert(Image::blob(&blob), (octets.clone(), blob.clone()));
            for repository in repositories {
                let path = Image::blob_in(repository, &blob);
                content.insert(path, (octets.clone(), blob.clone()));
            }
        }
        let state = Arc::new(State {
            content,
            faults: Mutex::default(),
            asked: Mutex::default(),
            parts: Mutex::default(),
            sent: Mutex::default(),
            mended: tokio::sync::Notify::new(),
        });
        let served = Arc::clone(&state);
        let server = FakeRegistry::start_waiting(move |request: Seen| {
            let state = Arc::clone(&served);
            async move {
                let range = request.header("range").map(str::to_owned);
                let response = answer(&state, request.line(), range.as_deref()).await;
                let path = request.path;
                Answer::of(response.map(|body| counted(body, state, path)))
            }
        });
        Self {
            host: server.host(),
            state,
            server,
            image,
        }
    }

    /// Its `127.0.0.1:PORT`.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// From now on requests for `path` go wrong.
    ///
    /// # Panics
    /// Never in practice: only if a request handler panicked.
    pub fn break_path(&self, path: &str, fault: Fault) {
        self.state
            .faults
            .lock()
            .expect("no handler panics")
            .insert(path.to_owned(), fault);
    }

    /// From now on nothing goes wrong.
    ///
    /// # Panics
    /// Never in practice: only if a request handler panicked.
    pub fn mend(&self) {
        self.state.faults.lock().expect("no handler panics").clear();
        self.state.mended.notify_waiters();
    }

    /// How many bytes of `path` were sent in all.
    ///
    /// # Panics
    /// Never in practice: only if a request handler panicked.
    #[must_use]
    pub fn bytes_sent(&self, path: &str) -> u64 {
        let sent = self.state.sent.lock().expect("no handler panics");
        sent.get(path).copied().unwrap_or_default()
    }

    /// How often a path was requested with `GET`.
    ///
    /// # Panics
    /// Never in practice: only if a request handler panicked.
    #[must_use]
    pub fn times_asked(&self, path: &str) -> usize {
        self.times("GET", path)
    }

    /// How often a path was requested with `HEAD`.
    ///
    /// # Panics
    /// Never in practice: only if a request handler panicked.
    #[must_use]
    pub fn times_asked_about(&self, path: &str) -> usize {
        self.times("HEAD", path)
    }

    /// The `Range` of each request for a part of `path`.
    ///
    /// # Panics
    /// Never in practice: only if a request handler panicked.
    #[must_use]
    pub fn parts_asked(&self, path: &str) -> Vec<String> {
        let parts = self.state.parts.lock().expect("no handler panics");
        let parts = parts.iter().filter(|(of, _)| of == path);
        parts.map(|(_, range)| range.clone()).collect()
    }

    fn times(&self, method: &str, path: &str) -> usize {
        let asked = self.state.asked.lock().expect("no handler panics");
        let line = format!("{method} {path}");
        asked.iter().filter(|one| **one == line).count()
    }
}

impl Drop for Faulty {
    fn drop(&mut self) {
        self.server.stop();
    }
}

/// An address on which nothing listens.
///
/// # Panics
/// When the loopback has no free port.
#[must_use]
pub fn dead_host() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free");
    listener.local_addr().expect("it is bound").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::get;

    #[test]
    fn without_a_fault_it_serves_the_image_by_tag_and_by_digest() {
        let upstream = Faulty::start();
        let image = upstream.image.clone();
        assert_eq!(
            get(upstream.host(), Image::TAG).send().expect(200).body,
            image.manifest
        );
        assert_eq!(
            get(upstream.host(), &image.by_digest())
                .send()
                .expect(200)
                .body,
            image.manifest
        );
        let blob = get(upstream.host(), &Image::blob(&image.layer))
            .send()
            .expect(200);
        assert!(!blob.cut && blob.body == image.layer);
        assert_eq!(upstream.times_asked(Image::TAG), 1);
        get(upstream.host(), "/v2/team/other/manifests/1.0")
            .send()
            .expect(404);
    }

    #[test]
    fn a_fault_is_seen_until_it_is_mended() {
        let upstream = Faulty::start();
        let path = Image::blob(&upstream.image.layer);
        upstream.break_path(&path, Fault::Cut);
        assert!(get(upstream.host(), &path).send().expect(200).cut);
        upstream.break_path(&path, Fault::OtherBytes);
        let lie = get(upstream.host(), &path).send().expect(200).body;
        assert!(lie.len() == upstream.image.layer.len() && lie != upstream.image.layer);
        upstream.mend();
        assert_eq!(
            get(upstream.host(), &path).send().expect(200).body,
            upstream.image.layer
        );
    }
}
