//! The distribution specification as plain HTTP sees it, and what clients have tried against
//! other registries. The official program covers more of the former, where it can be fetched.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test"
)]

mod attacks;
mod blobs;
mod lists;
mod manifests;

use std::sync::OnceLock;

use metahub_e2e::http::Answer;
use metahub_e2e::metahub::MetaHub;
use metahub_e2e::pusher::Pusher;
use metahub_e2e::require;
use sha2::Digest as _;

const PASSWORD: &str = "a password for the specification";
const EMPTY: &[u8] = b"{}";

/// One server for all of these tests; each has repositories of its own.
///
/// Nothing drops it: it ends with this process.
fn server() -> Option<&'static MetaHub> {
    static SERVER: OnceLock<Option<MetaHub>> = OnceLock::new();
    let server = SERVER.get_or_init(|| {
        let config = "anonymous: none\noffline: true\nsparse: true\nupstreams: []";
        let metahub =
            require::tools(&["setpriv"]).then(|| MetaHub::shared("distribution", config))?;
        metahub.add_account("alice", "pusher", PASSWORD);
        metahub.add_account("bob", "pusher", PASSWORD);
        Some(metahub)
    });
    server.as_ref()
}

/// Whoever the repository's namespace belongs to.
fn pusher<'a>(metahub: &'a MetaHub, repository: &'a str) -> Pusher<'a> {
    let (account, _) = repository.split_once('/').unwrap();
    Pusher {
        host: metahub.host(),
        repository,
        login: Some((account, PASSWORD)),
    }
}

fn sha512_of(bytes: &[u8]) -> String {
    format!("sha512:{}", hex::encode(sha2::Sha512::digest(bytes)))
}

/// Requires the header that names what an answer is about.
#[track_caller]
fn named(answer: Answer, status: u16, digest: &str) -> Answer {
    let answer = answer.expect(status);
    assert_eq!(answer.header("docker-content-digest"), digest, "{answer}");
    answer
}
