//! Upstreams at a fake registry, as the tests here configure them.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use metahub_oci::{Digest, MediaType, Reference, RepositoryName};
pub(crate) use metahub_testkit::{Answer, FakeRegistry as Fake, Piece, Seen};
use metahub_upstream::{
    Credentials, RetryPolicy, Timeouts, Upstream, UpstreamConfig, Upstreams, UpstreamsConfig,
};

pub(crate) trait AsUpstream {
    /// The configuration of an upstream at this registry, impatient as tests are.
    fn config(&self) -> UpstreamConfig;

    /// An anonymous upstream at this registry.
    fn upstream(&self) -> Arc<Upstream> {
        upstream(self.config())
    }

    /// An upstream at this registry that knows us as alice.
    fn upstream_of_alice(&self) -> Arc<Upstream> {
        upstream(UpstreamConfig {
            given_credentials: Some(alice()),
            ..self.config()
        })
    }

    /// An upstream at this registry that gives up on stalls quickly.
    fn hasty_upstream(&self) -> Arc<Upstream> {
        upstream(UpstreamConfig {
            timeouts: Timeouts {
                answer: Duration::from_millis(300),
                between_bytes: Duration::from_millis(300),
                ..Timeouts::default()
            },
            ..self.config()
        })
    }
}

impl AsUpstream for Fake {
    fn config(&self) -> UpstreamConfig {
        UpstreamConfig {
            plain_http: self.is_plain(),
            default: true,
            retry: RetryPolicy {
                first_wait: Duration::from_millis(5),
                patience: Duration::from_secs(5),
                ..RetryPolicy::default()
            },
            ..UpstreamConfig::new(self.address.to_string().parse().unwrap())
        }
    }
}

pub(crate) fn upstream(config: UpstreamConfig) -> Arc<Upstream> {
    let all = Upstreams::new(&UpstreamsConfig {
        upstreams: vec![config],
        ..UpstreamsConfig::default()
    });
    let route = all.unwrap().route(None, &name("a/b")).unwrap();
    route.upstream
}

pub(crate) const PASSWORD: &str = "hunter2-secret";

pub(crate) fn alice() -> Credentials {
    Credentials::password("alice", PASSWORD.to_owned())
}

/// `Basic` of alice and her password.
pub(crate) const ALICE_BASIC: &str = "Basic YWxpY2U6aHVudGVyMi1zZWNyZXQ=";

pub(crate) fn name(text: &str) -> RepositoryName {
    text.parse().unwrap()
}

pub(crate) fn tag(text: &str) -> Reference {
    Reference::Tag(text.parse().unwrap())
}

/// A small sound manifest.
pub(crate) fn manifest() -> Bytes {
    let config = Digest::sha256(b"{}");
    let text = format!(
        r#"{{"schemaVersion":2,"mediaType":"{}","config":{{"mediaType":"{}","digest":"{config}","size":2}},"layers":[]}}"#,
        MediaType::OCI_MANIFEST,
        MediaType::OCI_CONFIG,
    );
    Bytes::from(text)
}
