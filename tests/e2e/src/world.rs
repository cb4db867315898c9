//! What most tests stand on: the real upstream, and a MetaHub before it that has the slides'
//! documents.

use crate::docker::Docker;
use crate::fixture;
use crate::metahub::MetaHub;
use crate::registry::Registry;
use crate::require;

/// The slides' own documents, and what they use without showing it.
pub const CATALOG: &[(&str, &str)] = &[
    ("slides.yaml", include_str!("../catalog/slides.yaml")),
    ("more.yaml", include_str!("../catalog/more.yaml")),
];

/// An upstream and a MetaHub before it.
#[derive(Debug)]
pub struct World {
    /// The MetaHub under test.
    pub metahub: MetaHub,
    /// The registry that it reads from.
    pub upstream: Registry,
}

impl World {
    /// Starts both, or says loudly what this machine lacks of the upstream's needs or `tools`.
    #[must_use]
    #[track_caller]
    pub fn start(tools: &[&str]) -> Option<Self> {
        if !require::root_and(&[fixture::NEEDS, tools].concat()) {
            return None;
        }
        let upstream = Registry::read_only(&fixture::content());
        let metahub = MetaHub::start(&config(upstream.host(), "read"), CATALOG);
        Some(Self { metahub, upstream })
    }

    /// A Docker engine of this test's own.
    #[must_use]
    pub fn docker(&self) -> Docker {
        Docker::start()
    }
}

/// A configuration with one plain-HTTP upstream, which is the default for bare names.
#[must_use]
pub fn config(upstream: &str, anonymous: &str) -> String {
    format!(
        "anonymous: {anonymous}\nallow_any_host: false\n\
         upstreams:\n  - host: upstream.test\n    url: http://{upstream}\n    default: true\n    plain_http: true"
    )
}
