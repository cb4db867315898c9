//! The candidates of a choice: the entries of a source, with nested indexes expanded, each with
//! what its image states about itself. `metahub_resolve` chooses among them.
//!
//! Only images that could be chosen are read, since that may cost requests to an upstream: if there
//! are up to [`MAX_READ_AT_ONCE`](metahub_resolve::MAX_READ_AT_ONCE) for one platform, all of them;
//! if more, the one that would be chosen, until one is. The result for an image is cached by its
//! digest.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::{StreamExt, TryStreamExt, stream};
use metahub_catalog::Composed;
use metahub_oci::{Descriptor, Digest, Document, Index, Manifest, RepositoryName};
use metahub_resolve::{
    Narrowed, NothingFits, Policy, Verdicts, excluded, judge, narrow_candidates, to_read, with_own,
};

use crate::Registry;
use crate::access::location::Location;
use crate::cache::coalesced::Coalesced;
use crate::error::RegistryError;
use crate::pull::judgement::Own;
use crate::pull::source::{Children, Source};

/// Images read at once.
const LOOKUPS: usize = 8;
/// Most images read for one choice. Further ones are left out, because their requirements are
/// unknown.
const MAX_READ: usize = 256;
/// How long candidates are cached: a compatibility artifact may be pushed later than its image.
pub(crate) const LIFETIME: Duration = Duration::from_secs(600);
/// The same, if something was missing at its upstream.
const LIFETIME_OF_GAPS: Duration = Duration::from_secs(30);
/// Of larger indexes, only the digest is cached.
const MAX_REMEMBERED: usize = 256 * 1024;

/// The candidates of a choice.
#[derive(Debug)]
pub(crate) enum Candidates {
    /// The source contains no image, or the machine is unknown: the source is served as it is.
    None,
    /// A single image, as an index of one entry.
    Single(Index),
    /// The entries of an index, and those of indexes within it.
    Index(Index),
}

impl Candidates {
    /// Chooses among the entries of an index. `source` is the index that is served with other
    /// entries.
    pub(crate) fn narrow(
        &self,
        source: &Index,
        profile: &Composed,
        policy: Policy,
    ) -> Result<Narrowed, NothingFits> {
        match self {
            Self::Index(candidates) => narrow_candidates(source, candidates, profile, policy),
            Self::Single(_) | Self::None => narrow_candidates(source, source, profile, policy),
        }
    }

    /// The same without some images, each with the reason.
    pub(crate) fn without(&self, images: &HashMap<Digest, String>) -> Self {
        let without = |index: &Index| {
            let entries = index.manifests().iter().map(|entry| {
                let reason = images.get(entry.digest());
                reason.map_or_else(|| entry.clone(), |reason| excluded(entry, reason))
            });
            index.with_manifests(entries.collect())
        };
        match self {
            Self::None => Self::None,
            Self::Single(index) => Self::Single(without(index)),
            Self::Index(index) => Self::Index(without(index)),
        }
    }

    /// A single image, with its requirements.
    pub(crate) fn alone(&self) -> Option<&Descriptor> {
        match self {
            Self::Single(index) => index.manifests().first(),
            Self::Index(_) | Self::None => None,
        }
    }

    /// Calls `with` for each image.
    pub(crate) fn each(&self, with: impl FnMut(&Digest)) {
        if let Self::Single(index) | Self::Index(index) = self {
            index
                .manifests()
                .iter()
                .map(Descriptor::digest)
                .for_each(with);
        }
    }

    /// Judges a single image: verdict and warnings, or the refusal.
    pub(crate) fn judge(
        &self,
        profile: &Composed,
        policy: Policy,
    ) -> Result<(Verdicts, Vec<String>), NothingFits> {
        match self {
            Self::Single(candidate) => judge(candidate, profile, policy),
            Self::Index(_) | Self::None => Ok((Verdicts::default(), Vec::new())),
        }
    }
}

/// The candidates for one login.
pub(crate) struct Judged {
    /// Digest over the source and its candidates: with the profile, everything that a derivation
    /// depends on.
    pub(crate) digest: Digest,
    until: Option<Instant>,
    /// Not cached if they are large.
    candidates: Option<Arc<Candidates>>,
}

impl Judged {
    /// Whether something was missing that may appear at any time.
    pub(crate) fn has_gaps(&self) -> bool {
        self.until.is_some()
    }
}

/// Recent candidates, by the repository and the digest of their source and the login's profile.
/// Concurrent requests make one search.
pub(crate) struct JudgedLately(Coalesced<JudgedKey, Arc<Judged>>);

type JudgedKey = (Option<RepositoryName>, Digest, Digest);

impl JudgedLately {
    pub(crate) fn new() -> Self {
        let size = |judged: &Arc<Judged>| {
            let bytes = match judged.candidates.as_deref() {
                Some(Candidates::Single(index) | Candidates::Index(index)) => {
                    Document::from(index.clone()).bytes().len()
                }
                Some(Candidates::None) | None => 0,
            };
            bytes.saturating_mul(8).saturating_add(512)
        };
        let cache = moka::future::Cache::builder()
            .weigher(move |_: &JudgedKey, judged| u32::try_from(size(judged)).unwrap_or(u32::MAX))
            .max_capacity(32 * 1024 * 1024)
            .time_to_live(LIFETIME)
            .build();
        Self(Coalesced::new(cache, move |judged| size(judged) as u64))
    }

    /// Drops all, because of a new finding about images.
    pub(crate) fn forget(&self) {
        self.0.cache().invalidate_all();
    }
}

/// The search for candidates of one source.
struct CandidateSearch<'a> {
    registry: &'a Registry,
    source: &'a Source,
    /// Whether something was missing that may appear.
    gaps: bool,
}

impl Registry {
    /// The candidates of `source` for `profile`, cached or computed.
    pub(crate) async fn judged(
        &self,
        source: &Source,
        profile: &Composed,
    ) -> Result<Arc<Judged>, RegistryError> {
        let location = match &source.children {
            Children::At(location) => Some(location.storage().clone()),
            Children::Each(_) => None,
        };
        let key = (
            location,
            source.stored.digest.clone(),
            profile.digest().clone(),
        );
        let lately = &self.inner.judged.0;
        if let Some(judged) = lately.get(&key).await {
            if judged.until.is_none_or(|until| Instant::now() < until) {
                return Ok(judged);
            }
            lately.cache().invalidate(&key).await;
        }
        let judged = lately.get_or_ask(key, || self.search(source, profile));
        Box::pin(judged).await
    }

    /// The judged candidates; computed again if they were too large to be cached.
    pub(crate) async fn candidates(
        &self,
        judged: &Judged,
        source: &Source,
        profile: &Composed,
    ) -> Result<Arc<Candidates>, RegistryError> {
        match &judged.candidates {
            Some(candidates) => Ok(Arc::clone(candidates)),
            None => Ok(Arc::new(self.find_candidates(source, profile).await?.0)),
        }
    }

    async fn search(
        &self,
        source: &Source,
        profile: &Composed,
    ) -> Result<Arc<Judged>, RegistryError> {
        let _turn = self.turn_to_choose(source.stored.bytes.len()).await?;
        let (candidates, gaps) = self.find_candidates(source, profile).await?;
        let (bytes, kind) = match &candidates {
            Candidates::None => (None, "none"),
            Candidates::Single(index) => (Some(Document::from(index.clone())), "single"),
            Candidates::Index(index) => (Some(Document::from(index.clone())), "index"),
        };
        let policy = self.settings().policy;
        let inputs = serde_json::json!([
            kind,
            source.stored.digest,
            bytes.as_ref().map(Document::digest),
            policy
        ]);
        let small = bytes.is_none_or(|bytes| bytes.bytes().len() <= MAX_REMEMBERED);
        let lifetime = match &source.children {
            Children::At(Location::Local(_)) => Duration::ZERO,
            _ => LIFETIME_OF_GAPS,
        };
        Ok(Arc::new(Judged {
            digest: Digest::sha256(inputs.to_string().as_bytes()),
            until: gaps.then(|| Instant::now() + lifetime),
            candidates: small.then(|| Arc::new(candidates)),
        }))
    }

    async fn find_candidates(
        &self,
        source: &Source,
        profile: &Composed,
    ) -> Result<(Candidates, bool), RegistryError> {
        let mut search = CandidateSearch {
            registry: self,
            source,
            gaps: false,
        };
        if profile.gets_everything() {
            return Ok((Candidates::None, false));
        }
        let document = self.document(&source.stored).await?;
        let candidates = match &*document {
            Document::Index(index) => search.of_index(index, profile).await?,
            Document::Manifest(manifest) => search.of_manifest(manifest, profile).await?,
        };
        Ok((candidates, search.gaps))
    }
}

impl CandidateSearch<'_> {
    async fn of_manifest(
        &mut self,
        manifest: &Manifest,
        profile: &Composed,
    ) -> Result<Candidates, RegistryError> {
        let hardware = !profile.provided().is_empty() || !profile.selection().overriding.is_empty();
        if !manifest.is_image() || !hardware {
            return Ok(Candidates::None);
        }
        let descriptor = Document::from(manifest.clone()).descriptor();
        let candidate = self.read(&descriptor).await?;
        Ok(Candidates::Single(Index::new(vec![candidate])))
    }

    async fn of_index(
        &mut self,
        index: &Index,
        profile: &Composed,
    ) -> Result<Candidates, RegistryError> {
        let mut list = match &self.source.children {
            // A collection's index was made here, from the images of its entries.
            Children::Each(_) => index.manifests().to_vec(),
            Children::At(location) => {
                let (list, gaps) = self.registry.flattened(location, index).await?;
                self.gaps |= gaps;
                list
            }
        };
        let policy = self.registry.settings().policy;
        let bytes = self.source.stored.bytes.len();
        let (index, profile) = (Arc::new(index.clone()), Arc::new(profile.clone()));
        let mut read = 0;
        loop {
            let (index, profile) = (Arc::clone(&index), Arc::clone(&profile));
            let choose = move || {
                let candidates = index.with_manifests(list.clone());
                let wanted = to_read(&candidates, &profile, policy);
                (list, candidates, wanted)
            };
            let (same, candidates, mut wanted) = self.registry.on_document(bytes, choose).await?;
            list = same;
            if wanted.is_empty() {
                return Ok(Candidates::Index(candidates));
            }
            let left = MAX_READ.saturating_sub(read);
            if left == 0 {
                leave_unread(&mut list);
                continue;
            }
            wanted.truncate(left);
            read += wanted.len();
            for (at, candidate) in self.read_all(&list, &wanted).await? {
                if let Some(location) = list.get_mut(at) {
                    *location = candidate;
                }
            }
        }
    }

    async fn read_all(
        &mut self,
        list: &[Descriptor],
        wanted: &[usize],
    ) -> Result<Vec<(usize, Descriptor)>, RegistryError> {
        let (registry, source) = (self.registry, self.source);
        let mut readings = Vec::with_capacity(wanted.len());
        for at in wanted {
            if let Some(candidate) = list.get(*at) {
                readings.push(async move {
                    let (read, gap) = registry.read_candidate(source, candidate).await?;
                    Ok::<_, RegistryError>((*at, read, gap))
                });
            }
        }
        let read: Vec<_> = stream::iter(readings)
            .buffered(LOOKUPS)
            .try_collect()
            .await?;
        self.gaps |= read.iter().any(|(.., gap)| *gap);
        Ok(read.into_iter().map(|(at, read, _)| (at, read)).collect())
    }

    async fn read(&mut self, candidate: &Descriptor) -> Result<Descriptor, RegistryError> {
        let (read, gap) = self.registry.read_candidate(self.source, candidate).await?;
        self.gaps |= gap;
        Ok(read)
    }
}

impl Registry {
    /// A candidate with its image's own statements, and whether the image is missing.
    async fn read_candidate(
        &self,
        source: &Source,
        candidate: &Descriptor,
    ) -> Result<(Descriptor, bool), RegistryError> {
        let digest = candidate.digest();
        let Some(location) = source.location_of(digest) else {
            return Ok((excluded(candidate, "it is at no place that is known"), true));
        };
        let unknown = self.settings().policy.unknown;
        Ok(match self.own_words(location, digest).await? {
            Own::Image(said) => {
                let read = with_own(candidate, &said.platform, &said.statements, unknown);
                (read, false)
            }
            Own::NoImage => {
                let reason = "it is an artifact of another kind, and no image";
                (excluded(candidate, reason), false)
            }
            Own::Absent(reason) => (excluded(candidate, &reason), true),
        })
    }
}

/// Leaves out unread images: the choice is at its limit.
fn leave_unread(list: &mut [Descriptor]) {
    for candidate in list {
        if candidate.annotation(metahub_resolve::READ) != Some("yes") {
            let reason = format!("not read: {MAX_READ} images were, and none of them is chosen");
            *candidate = excluded(candidate, &reason);
        }
    }
}
