//! The tests of zb, the benchmark that comes with zot, one by one: their names, and what a client
//! does in each. They are done here by this program's own client, the same for every server.

use miette::{IntoDiagnostic as _, Result};

use crate::client::{Body, Client};
use crate::content::{Content, Material};
use crate::peer::Peer;
use crate::plan::Plan;
use crate::world::{blob_path, config, manifest};

/// What one operation of a test is.
#[derive(Clone, Copy, Debug)]
pub(super) enum Work {
    /// `GET /v2/_catalog`
    Catalog,
    /// Layer, config and manifest into a new repository.
    Push(Way, &'static [Share]),
    /// `HEAD` and `GET` of manifest, config and layer.
    Pull(&'static [Share]),
    /// Three pulls of this size, then one push.
    Mixed(Size),
}

/// How a blob is pushed.
#[derive(Clone, Copy, Debug)]
pub(super) enum Way {
    /// `POST`, `PUT`
    Monolith,
    /// `POST`, `PATCH`, `PUT`
    Streamed,
}

/// Size of a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Size {
    Small,
    Medium,
    Large,
}

/// A size, and in how many of a hundred operations it is used.
type Share = (Size, usize);

const SMALL: &[Share] = &[(Size::Small, 100)];
const MEDIUM: &[Share] = &[(Size::Medium, 100)];
const LARGE: &[Share] = &[(Size::Large, 100)];
const MOSTLY_MEDIUM: &[Share] = &[(Size::Small, 20), (Size::Medium, 70), (Size::Large, 10)];
const THIRDS: &[Share] = &[(Size::Small, 34), (Size::Medium, 33), (Size::Large, 33)];

/// Every test but the two of syncing on demand, with zb's names.
pub(super) const TESTS: &[(&str, Work)] = &[
    ("Get Catalog", Work::Catalog),
    ("Push Monolith 1MB", Work::Push(Way::Monolith, SMALL)),
    ("Push Monolith 10MB", Work::Push(Way::Monolith, MEDIUM)),
    ("Push Monolith 100MB", Work::Push(Way::Monolith, LARGE)),
    ("Push Chunk Streamed 1MB", Work::Push(Way::Streamed, SMALL)),
    (
        "Push Chunk Streamed 10MB",
        Work::Push(Way::Streamed, MEDIUM),
    ),
    (
        "Push Chunk Streamed 100MB",
        Work::Push(Way::Streamed, LARGE),
    ),
    ("Pull 1MB", Work::Pull(SMALL)),
    ("Pull 10MB", Work::Pull(MEDIUM)),
    ("Pull 100MB", Work::Pull(LARGE)),
    (
        "Pull Mixed 20% 1MB, 70% 10MB, 10% 100MB",
        Work::Pull(MOSTLY_MEDIUM),
    ),
    (
        "Push Monolith Mixed 20% 1MB, 70% 10MB, 10% 100MB",
        Work::Push(Way::Monolith, MOSTLY_MEDIUM),
    ),
    (
        "Push Chunk Mixed 33% 1MB, 33% 10MB, 33% 100MB",
        Work::Push(Way::Streamed, THIRDS),
    ),
    ("Pull 75% and Push 25% Mixed 1MB", Work::Mixed(Size::Small)),
    (
        "Pull 75% and Push 25% Mixed 10MB",
        Work::Mixed(Size::Medium),
    ),
    (
        "Pull 75% and Push 25% Mixed 100MB",
        Work::Mixed(Size::Large),
    ),
];

impl Work {
    /// How many operations tell something: fewer of those that move much.
    pub(super) fn operations(self, plan: &Plan) -> usize {
        match self {
            Self::Catalog => plan.size(400, 100),
            Self::Push(_, SMALL) | Self::Pull(SMALL) | Self::Mixed(Size::Small) => {
                plan.size(200, 40)
            }
            _ => plan.size(40, 16),
        }
    }
}

/// The layers that are pushed, one of each size.
#[derive(Debug)]
pub(super) struct Layers<'a>([Content<'a>; 3]);

impl<'a> Layers<'a> {
    /// As zb makes them: the same in all tests of a round, other ones in each round.
    pub(super) fn new(material: &'a Material, round: u64) -> Self {
        Self([1, 10, 100].map(|mebibytes| material.content(mebibytes << 20, 1000 + round)))
    }

    fn of(&self, size: Size) -> &Content<'a> {
        let [small, medium, large] = &self.0;
        match size {
            Size::Small => small,
            Size::Medium => medium,
            Size::Large => large,
        }
    }
}

/// One client of a test: it has a connection and repositories of its own.
pub(super) struct Worker<'a> {
    client: Client,
    layers: &'a Layers<'a>,
    /// Its repositories begin with this.
    prefix: String,
}

impl<'a> Worker<'a> {
    pub(super) fn new(peer: &Peer, layers: &'a Layers<'a>, prefix: String) -> Result<Self> {
        // As zb does: user name and password with every request.
        let client = Client::connect(&peer.host, peer.basic())?;
        Ok(Self {
            client,
            layers,
            prefix,
        })
    }

    /// Pushes what [`Worker::operate`] will pull.
    pub(super) fn prepare(&mut self, work: Work) -> Result<()> {
        let sizes: Vec<Size> = match work {
            Work::Catalog => (0..10).map(|_| Size::Small).collect(),
            Work::Push(..) => Vec::new(),
            Work::Pull(shares) => shares.iter().map(|(size, _)| *size).collect(),
            Work::Mixed(size) => vec![size],
        };
        for (number, size) in sizes.into_iter().enumerate() {
            let repository = match work {
                Work::Catalog => format!("{}-{number}", self.prefix),
                _ => self.prepared(size),
            };
            self.push(&repository, Way::Monolith, size)?;
        }
        Ok(())
    }

    /// Does the test's operation of that number.
    pub(super) fn operate(&mut self, work: Work, number: usize) -> Result<()> {
        let fresh = format!("{}-new-{number}", self.prefix);
        match work {
            Work::Catalog => self
                .client
                .ask("GET", "/v2/_catalog", Body::Empty, 200)
                .map(drop),
            Work::Push(way, shares) => self.push(&fresh, way, pick(shares, number)),
            Work::Pull(shares) => self.pull(pick(shares, number)),
            Work::Mixed(size) if number % 4 == 3 => self.push(&fresh, Way::Monolith, size),
            Work::Mixed(size) => self.pull(size),
        }
    }

    fn prepared(&self, size: Size) -> String {
        format!("{}-{size:?}", self.prefix).to_lowercase()
    }

    fn push(&mut self, repository: &str, way: Way, size: Size) -> Result<()> {
        let layer = self.layers.of(size);
        let mut config = config();
        // Every image has a config of its own; JSON may end in any number of blanks.
        config.extend(format!("\n{:>80}\n", "").into_bytes());
        match way {
            Way::Monolith => self.client.push(repository, layer)?,
            Way::Streamed => self.client.push_streamed(repository, layer)?,
        }
        self.client.push_bytes(repository, &config)?;
        let manifest = manifest(&config, &[layer])?;
        let path = format!("/v2/{repository}/manifests/latest");
        let body = Body::Bytes(metahub_e2e::pusher::MANIFEST, &manifest);
        self.client.ask("PUT", &path, body, 201)?;
        Ok(())
    }

    fn pull(&mut self, size: Size) -> Result<()> {
        let repository = self.prepared(size);
        let path = format!("/v2/{repository}/manifests/latest");
        self.client.ask("HEAD", &path, Body::Empty, 200)?;
        let manifest = self.client.text(&path)?;
        let manifest: serde_json::Value = serde_json::from_str(&manifest).into_diagnostic()?;
        for place in ["/config/digest", "/layers/0/digest"] {
            let digest = manifest.pointer(place).and_then(serde_json::Value::as_str);
            let blob = blob_path(&repository, digest.unwrap_or_default());
            self.client.ask("HEAD", &blob, Body::Empty, 200)?;
            self.client.ask("GET", &blob, Body::Empty, 200)?;
        }
        Ok(())
    }
}

/// The size of an operation: by turns, in the shares that are wanted, the same for every server.
fn pick(shares: &[Share], number: usize) -> Size {
    // Steps of the golden ratio spread evenly, however few they are.
    let mut at = (number * 61 + 35) % 100;
    for (size, share) in shares {
        if at < *share {
            return *size;
        }
        at -= share;
    }
    Size::Medium
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_come_in_their_shares() {
        let of = |size| {
            (0..100)
                .filter(|number| pick(MOSTLY_MEDIUM, *number) == size)
                .count()
        };
        assert_eq!(
            [of(Size::Small), of(Size::Medium), of(Size::Large)],
            [20, 70, 10]
        );
        let of_ten = (0..10).filter(|number| pick(MOSTLY_MEDIUM, *number) == Size::Large);
        assert_eq!(of_ten.count(), 1);
    }
}
