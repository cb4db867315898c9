//! One followed catalog: the version in use, and the check for another one.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use metahub_catalog::Problem;
use metahub_oci::Digest;
use metahub_operations::{CatalogError, CatalogReader, CatalogState};
use metahub_signature::PublicKey;
use metahub_upstream::{UpstreamConfig, UpstreamsConfig};
use miette::{IntoDiagnostic as _, WrapErr as _, miette};

use crate::config::{Config, FollowedConfig};
use crate::follow::stored::{Status, Stored};
use crate::sources::{Slot, Sources, Text, Texts};

/// Most problems of a catalog that are logged.
const MOST_TOLD: usize = 5;

/// One followed catalog.
pub(crate) struct Follower {
    /// Its name in the configuration: `oci://HOST/NAME:TAG`.
    pub(super) shown: String,
    pub(super) reader: CatalogReader,
    pub(super) every: Duration,
    pub(super) data: PathBuf,
    pub(super) slot: Slot,
    /// The version in use.
    pub(super) stored: Option<Stored>,
    /// The last version of the tag, if it could not be used.
    pub(super) refused: Option<Refusal>,
    /// The last message, so that it is logged once.
    pub(super) told: Option<String>,
    /// The last written status.
    pub(super) status: Option<Status>,
    /// Whether this process may write to the data folder.
    pub(super) may_write: bool,
    /// Whether the version in use is not written yet.
    pub(super) unwritten: bool,
}

/// A catalog that could not be used.
pub(super) struct Refusal {
    pub(super) digest: Digest,
    pub(super) etag: Option<String>,
    pub(super) problem: String,
    /// The whole catalog, if another attempt may succeed.
    pub(super) copy: Option<Stored>,
}

/// The key in a PEM file.
pub(crate) fn public_key(file: &Path) -> miette::Result<PublicKey> {
    let text = std::fs::read_to_string(file)
        .into_diagnostic()
        .wrap_err_with(|| format!("cannot read the key {}", file.display()))?;
    PublicKey::from_pem(&text).map_err(|error| miette!("{}: {error}", file.display()))
}

/// How the registry of a followed catalog is read: by `entry`, else like the upstream of that host.
fn registry(entry: &FollowedConfig, upstreams: &UpstreamsConfig) -> Option<UpstreamConfig> {
    let host = entry.oci.host()?;
    let says = entry.plain_http || entry.ca_file.is_some() || entry.credentials.is_some();
    let known = upstreams.upstreams.iter().find(|one| one.host == *host);
    let mut registry = match known.filter(|_| !says) {
        Some(known) => known.clone(),
        None => UpstreamConfig {
            plain_http: entry.plain_http,
            ca_file: entry.ca_file.clone(),
            credentials: entry.credentials.clone(),
            ..UpstreamConfig::new(host.clone())
        },
    };
    registry.pass_through = None;
    Some(registry)
}

impl Follower {
    pub(super) fn new(
        entry: &FollowedConfig,
        config: &Config,
        sources: &Sources,
    ) -> miette::Result<Self> {
        let shown = format!("oci://{}", entry.oci);
        let key = entry.key.as_deref().map(public_key).transpose()?;
        let registry = registry(entry, &config.upstreams)
            .ok_or_else(|| miette!("{shown} names no registry"))?;
        let reader = CatalogReader::new(&entry.oci, &registry, &config.upstreams, key);
        let reader = reader.into_diagnostic()?;
        let slot = sources.add(Texts::default());
        Ok(Self {
            shown,
            reader,
            every: entry.every,
            data: config.data.clone(),
            slot,
            stored: None,
            refused: None,
            told: None,
            status: None,
            may_write: false,
            unwritten: false,
        })
    }

    /// The stored copy, if it may be used.
    pub(super) fn read_stored(&self) -> Option<Stored> {
        match Stored::read(&self.data, &self.shown) {
            Ok(stored) => stored.filter(|stored| is_vouched_for(stored, &self.reader, &self.shown)),
            Err(problem) => {
                let catalog = &self.shown;
                tracing::error!(%catalog, %problem, "the stored copy cannot be used");
                None
            }
        }
    }

    /// Polls once, and puts a new version in use. `retry` checks a refused one again.
    pub(super) async fn look(&mut self, retry: bool) {
        let outcome = self.update(retry).await;
        let problem = match &outcome {
            Ok(()) => None,
            Err(problem) => Some(problem.to_string()),
        };
        if problem != self.told {
            self.tell(problem.as_deref());
            self.told = problem;
        }
        self.write().await;
    }

    /// Writes changes, if this process may write to the data folder.
    pub(super) async fn write(&mut self) {
        if !self.may_write {
            return;
        }
        if let Some(copy) = self.stored.clone().filter(|_| self.unwritten) {
            let data = self.data.clone();
            let outcome = blocking(move || copy.write(&data)).await;
            self.unwritten = outcome.is_err();
            self.written(outcome);
        }
        let status = Status {
            catalog: self.shown.clone(),
            digest: self.stored.as_ref().map(|stored| stored.digest.clone()),
            files: self.stored.as_ref().map_or(0, |stored| stored.files.len()),
            verified_by: self.stored.as_ref().and_then(|s| s.verified_by.clone()),
            problem: self.told.clone(),
        };
        if self.status.as_ref() != Some(&status) {
            let (data, written) = (self.data.clone(), status.clone());
            self.written(blocking(move || written.write(&data)).await);
            self.status = Some(status);
        }
    }

    fn tell(&self, problem: Option<&str>) {
        let catalog = &self.shown;
        match (problem, &self.stored) {
            (Some(problem), Some(stored)) => tracing::error!(
                %catalog, digest = %stored.digest, problem,
                "the followed catalog cannot be used: keeping the previous one"
            ),
            (Some(problem), None) => tracing::error!(
                %catalog, problem,
                "the followed catalog cannot be used, and there is no earlier one: its profiles \
                 and collections are missing"
            ),
            (None, _) if self.told.is_some() => {
                tracing::info!(%catalog, "the followed catalog can be read again");
            }
            (None, _) => {}
        }
    }

    async fn update(&mut self, retry: bool) -> Result<(), Refused> {
        let mut named = None;
        let refused = self.refused.as_ref().map(|one| (&one.digest, &one.etag));
        let used = self.stored.as_ref().map(|one| (&one.digest, &one.etag));
        if let Some((digest, etag)) = refused.or(used) {
            match self.reader.state(digest, etag.as_deref()).await? {
                CatalogState::Unchanged { etag } => return self.unchanged(etag, retry).await,
                CatalogState::Changed { digest } => named = digest,
            }
        }
        if named.is_some() && named.as_ref() == self.stored.as_ref().map(|s| &s.digest) {
            self.refused = None;
            return Ok(());
        }
        let fetched = match self.reader.fetch(named).await {
            Ok(fetched) => fetched,
            Err(error) => {
                if let Some(digest) = error.never_usable() {
                    self.refused = Some(Refusal {
                        digest: digest.clone(),
                        etag: None,
                        problem: error.to_string(),
                        copy: None,
                    });
                }
                return Err(error.into());
            }
        };
        let candidate = Stored::of(&self.shown, fetched);
        if let Some(stored) = &mut self.stored
            && stored.digest == candidate.digest
        {
            stored.etag = candidate.etag;
            self.refused = None;
            return Ok(());
        }
        self.put_in_use(candidate).await
    }

    /// The tag is unchanged; its version may have been refused.
    async fn unchanged(&mut self, etag: Option<String>, retry: bool) -> Result<(), Refused> {
        if let Some(refused) = &mut self.refused {
            refused.etag = etag;
            return match refused.copy.clone().filter(|_| retry) {
                Some(copy) => self.put_in_use(copy).await,
                None => Err(Refused::Before(refused.problem.clone())),
            };
        }
        if let Some(stored) = &mut self.stored {
            stored.etag = etag;
        }
        Ok(())
    }

    async fn put_in_use(&mut self, candidate: Stored) -> Result<(), Refused> {
        let new = texts(&self.shown, Some(&candidate));
        let (slot, checked) = (self.slot.clone(), Arc::clone(&new));
        let errors = tokio::task::spawn_blocking(move || slot.errors_with(&checked)).await;
        let errors = errors.map_err(|error| Refused::Failed(error.to_string()))?;
        if !errors.is_empty() {
            let digest = candidate.digest.clone();
            let problem = Refused::Errors { digest, errors };
            self.refused = Some(Refusal::of(candidate, &problem));
            return Err(problem);
        }
        tracing::info!(
            catalog = %self.shown, digest = %candidate.digest, files = candidate.files.len(),
            verified_by = candidate.verified_by.as_ref().map(Digest::to_string),
            "a followed catalog is in use"
        );
        self.slot.publish(new);
        self.stored = Some(candidate);
        self.unwritten = true;
        self.refused = None;
        Ok(())
    }

    fn written(&self, outcome: std::io::Result<()>) {
        if let Err(error) = outcome {
            tracing::error!(
                catalog = %self.shown, %error,
                "the followed catalog cannot be stored: after a restart it is fetched again"
            );
        }
    }
}

impl Refusal {
    pub(super) fn of(copy: Stored, problem: &Refused) -> Self {
        Self {
            digest: copy.digest.clone(),
            etag: copy.etag.clone(),
            problem: problem.to_string(),
            copy: Some(copy),
        }
    }
}

/// Why a fetched version is not used.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refused {
    #[error(transparent)]
    Read(#[from] CatalogError),
    #[error("{digest} has {} errors: {}", .errors.len(), first(.errors))]
    Errors {
        digest: Digest,
        errors: Vec<Problem>,
    },
    /// As logged before.
    #[error("{0}")]
    Before(String),
    #[error("checking it failed: {0}")]
    Failed(String),
}

fn first(errors: &[Problem]) -> String {
    let shown = errors.iter().take(MOST_TOLD).map(ToString::to_string);
    shown.collect::<Vec<_>>().join("; ")
}

async fn blocking(
    work: impl FnOnce() -> std::io::Result<()> + Send + 'static,
) -> std::io::Result<()> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| Err(std::io::Error::other(error)))
}

/// Whether a stored copy may be used: the currently configured key has signed it.
fn is_vouched_for(stored: &Stored, reader: &CatalogReader, shown: &str) -> bool {
    let Some(key) = reader.key() else {
        return true;
    };
    let good = stored.verified_by.as_ref() == Some(key.fingerprint());
    if !good {
        tracing::warn!(
            catalog = %shown,
            "the stored copy was not verified by the key that is configured: it is not used"
        );
    }
    good
}

pub(super) fn texts(shown: &str, stored: Option<&Stored>) -> Texts {
    let files = stored.map(|stored| stored.files.as_slice());
    let texts = files.unwrap_or_default().iter().map(|file| Text {
        name: format!("{shown}/{}", file.title),
        text: file.text.clone(),
    });
    Arc::new(texts.collect())
}
