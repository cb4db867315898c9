//! A MetaHub with very many manifests and tags. Filling it takes long, so a filled one is kept
//! and used again; it holds no blobs but the empty JSON object.

use std::path::{Path, PathBuf};
use std::time::Instant;

use metahub_e2e::http::digest_of;
use metahub_e2e::pusher::{CONFIG, MANIFEST, descriptor};
use miette::{IntoDiagnostic as _, Result, WrapErr as _, miette};
use serde_json::json;

use crate::client::{Body, Client};
use crate::hammer::count;
use crate::peer::{Kind, Peer};
use crate::plan::Plan;
use crate::world::start_one;

const EMPTY: &[u8] = b"{}";
const CLIENTS: usize = 16;

/// How many of everything.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sizes {
    pub(super) repositories: usize,
    pub(super) manifests: usize,
    /// A tenth of them in the first repository.
    pub(super) tags: usize,
}

/// A filled data folder of MetaHub.
#[derive(Debug)]
pub(super) struct Filled {
    pub(super) sizes: Sizes,
    folder: PathBuf,
    /// Pushes in a second when it was filled.
    pub(super) rate: f64,
}

impl Sizes {
    fn manifests_each(self) -> usize {
        self.manifests / self.repositories
    }

    /// Tags of the repository of that number.
    pub(super) fn tags_of(self, repository: usize) -> usize {
        if repository == 0 {
            return self.tags / 10;
        }
        (self.tags - self.tags / 10) / (self.repositories - 1).max(1)
    }
}

/// The repository of that number.
pub(super) fn repository(number: usize) -> String {
    format!("large/r{number:05}")
}

/// The tag of that number; they sort as their numbers do.
pub(super) fn tag(number: usize) -> String {
    format!("t{number:07}")
}

impl Filled {
    /// Finds one that was filled before, or fills one.
    pub(super) fn get(plan: &Plan, sizes: Sizes) -> Result<Self> {
        let folder = plan.lasting.join(format!("large-{}", sizes.manifests));
        let marker = folder.join("pushes-in-a-second");
        if let Ok(rate) = std::fs::read_to_string(&marker) {
            let rate = rate.trim().parse().into_diagnostic()?;
            return Ok(Self {
                sizes,
                folder,
                rate,
            });
        }
        if folder.exists() {
            std::fs::remove_dir_all(&folder).into_diagnostic()?;
        }
        let mut filled = Self {
            sizes,
            folder,
            rate: 0.0,
        };
        let started = Instant::now();
        let pushes = filled.fill(plan)?;
        filled.rate = count(pushes) / started.elapsed().as_secs_f64();
        std::fs::write(&marker, filled.rate.to_string())
            .into_diagnostic()
            .wrap_err_with(|| marker.display().to_string())?;
        Ok(filled)
    }

    /// Starts a server on it.
    pub(super) fn start(&self, plan: &Plan) -> Result<Peer> {
        start_one(plan, Kind::MetaHub, self.program(plan)?, &self.folder)
    }

    fn program<'a>(&self, plan: &'a Plan) -> Result<&'a Path> {
        let program = plan.program(Kind::MetaHub).map(PathBuf::as_path);
        program.ok_or_else(|| miette!("there is no metahub to fill {}", self.folder.display()))
    }

    fn fill(&self, plan: &Plan) -> Result<usize> {
        eprintln_progress(&format!(
            "filling {} with {} manifests; it is kept for the next time",
            self.folder.display(),
            self.sizes.manifests
        ));
        let peer = self.start(plan)?;
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..CLIENTS)
                .map(|client| {
                    let peer = &peer;
                    scope.spawn(move || {
                        let mut connection = Client::connect(&peer.host, None)?;
                        let numbers = (client..self.sizes.repositories).step_by(CLIENTS);
                        let pushed = numbers.map(|number| self.one(peer, &mut connection, number));
                        pushed.sum::<Result<usize>>()
                    })
                })
                .collect();
            let mut pushes = 0;
            for thread in threads {
                pushes += thread
                    .join()
                    .map_err(|_| miette!("a thread of the client failed"))??;
            }
            Ok(pushes)
        })
    }

    /// Fills the repository of that number.
    fn one(&self, peer: &Peer, client: &mut Client, number: usize) -> Result<usize> {
        let repository = repository(number);
        client.set_token(peer.token(&repository)?);
        client.push_bytes(&repository, EMPTY)?;
        let (manifests, tags) = (self.sizes.manifests_each(), self.sizes.tags_of(number));
        for pushed in 0..manifests.max(tags) {
            let bytes = manifest(number, pushed % manifests);
            let reference = if pushed < tags {
                tag(pushed)
            } else {
                digest_of(&bytes)
            };
            let path = format!("/v2/{repository}/manifests/{reference}");
            client.ask("PUT", &path, Body::Bytes(MANIFEST, &bytes), 201)?;
        }
        Ok(manifests.max(tags))
    }
}

fn manifest(repository: usize, number: usize) -> Vec<u8> {
    let empty = descriptor("application/vnd.oci.empty.v1+json", EMPTY);
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": descriptor(CONFIG, EMPTY),
        "layers": [empty],
        "annotations": { "number": format!("{repository}-{number}") },
    });
    manifest.to_string().into_bytes()
}

#[expect(
    clippy::print_stderr,
    reason = "who waits for minutes is to know for what"
)]
fn eprintln_progress(what: &str) {
    eprintln!("{what}");
}
