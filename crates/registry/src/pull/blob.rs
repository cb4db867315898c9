//! Blobs on their way out: held here, arriving from an upstream, or nowhere.
//!
//! A repository gives out only what it holds itself or what its own upstream gives: knowing a
//! digest opens nothing (CVE-2024-39897).

use std::io;
use std::ops::Range;
use std::pin::Pin;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt};
use metahub_oci::{Digest, Document, ImageReference, RepositoryName};
use metahub_store::{Blob, BlobChunk, Follower, OpenBlob, StoreError};

use crate::access::location::{Location, Search, there};
use crate::access::pass_through::Request;
use crate::cache::fetch::{Coming, RangePrefetch};
use crate::pull::source::parse;
use crate::{Registry, RegistryError};

/// Up to this many bytes a blob is verified before the first of them is given out, if nobody has
/// verified it since it was last touched: about a millisecond.
const SMALL: u64 = 1024 * 1024;

/// How long an upstream may take to say whether it has a blob of a repository that nothing was
/// pulled of yet: clients also ask before they push, when no upstream knows the name.
const UNKNOWN_REPOSITORY: Duration = Duration::from_secs(5);

/// A blob that can be read.
#[derive(Clone)]
pub enum BlobRead {
    /// It is here.
    Held(OpenBlob),
    /// It is being fetched; its size is known.
    Arriving {
        /// Reads along.
        follower: Follower,
        /// The whole size in bytes.
        size: u64,
        /// Asks for what lies far ahead.
        prefetch: RangePrefetch,
    },
}

impl BlobRead {
    /// The size of the whole blob in bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        match self {
            Self::Held(open) => open.blob().size(),
            Self::Arriving { size, .. } => *size,
        }
    }

    /// The bytes of `range`. Ends with an error, never short, if they cannot all be had, or if
    /// they turn out to be damaged.
    pub fn stream(
        &self,
        range: Range<u64>,
    ) -> Pin<Box<dyn Stream<Item = io::Result<Bytes>> + Send>> {
        match self {
            Self::Held(open) => Box::pin(open.stream(range)),
            Self::Arriving {
                follower, prefetch, ..
            } => {
                prefetch.request(follower, range.clone());
                Box::pin(follower.stream(range))
            }
        }
    }

    /// The same; where `windows` may be given out, parts of a file that is known to be right, or
    /// is being fetched, are not read.
    pub fn chunks(
        &self,
        range: Range<u64>,
        windows: bool,
    ) -> Pin<Box<dyn Stream<Item = io::Result<BlobChunk>> + Send>> {
        match self {
            Self::Held(open) if windows => Box::pin(open.chunks(range)),
            Self::Arriving {
                follower, prefetch, ..
            } if windows => {
                prefetch.request(follower, range.clone());
                Box::pin(follower.chunks(range))
            }
            _ => Box::pin(self.stream(range).map(|read| read.map(BlobChunk::Bytes))),
        }
    }

    /// All bytes of a blob that should be small, verified.
    pub(crate) async fn read(&self, limit: u64) -> Result<Bytes, RegistryError> {
        if self.size() > limit {
            return Err(RegistryError::Size(format!(
                "a blob of {} bytes is too large here: at most {limit} are read",
                self.size()
            )));
        }
        if let Self::Held(open) = self {
            return Ok(open.blob().read(limit).await?);
        }
        let mut whole = BytesMut::new();
        let mut stream = self.stream(0..self.size());
        while let Some(bytes) = stream.next().await {
            let bytes = bytes.map_err(|error| RegistryError::Broken(error.to_string()))?;
            whole.extend_from_slice(&bytes);
        }
        Ok(whole.freeze())
    }
}

impl Registry {
    /// A blob that may be read through the repository `name`.
    pub async fn blob(
        &self,
        name: &RepositoryName,
        digest: &Digest,
    ) -> Result<BlobRead, RegistryError> {
        let here = self.authorised(name, Request::Blob(digest)).await?;
        match here.find(name, digest, Eagerness::Fetch).await? {
            Some(Found::Here(blob)) => {
                match &blob {
                    BlobRead::Held(_) => &self.counters().blobs_held,
                    BlobRead::Arriving { .. } => &self.counters().blobs_arriving,
                }
                .inc();
                Ok(blob)
            }
            _ => Err(RegistryError::BlobUnknown(name.clone(), digest.clone())),
        }
    }

    /// The size in bytes of a blob that may be read through the repository `name`, as
    /// [`Registry::find_blob`] has it.
    pub async fn blob_size(
        &self,
        name: &RepositoryName,
        digest: &Digest,
    ) -> Result<u64, RegistryError> {
        let size = self.find_blob(name, digest).await?;
        size.ok_or_else(|| RegistryError::Broken(format!("no upstream says how large {digest} is")))
    }

    /// Whether a blob may be read through the repository `name`, and its size in bytes where that
    /// is known. Fetches nothing; says what [`Registry::blob`] would give. What an upstream says
    /// of a repository that nothing was pulled of yet counts only if it has the blob.
    pub async fn find_blob(
        &self,
        name: &RepositoryName,
        digest: &Digest,
    ) -> Result<Option<u64>, RegistryError> {
        let here = self.authorised(name, Request::Blob(digest)).await?;
        match here.find(name, digest, Eagerness::Ask).await? {
            Some(Found::Here(blob)) => Ok(Some(blob.size())),
            Some(Found::Upstream(size)) => Ok(size),
            None => Err(RegistryError::BlobUnknown(name.clone(), digest.clone())),
        }
    }

    /// The size in bytes of a blob that the repository `name` itself holds: what need not be
    /// pushed to it. No upstream is asked, since a pushed manifest may not refer to what only an
    /// upstream has.
    pub async fn pushed_blob_size(
        &self,
        name: &RepositoryName,
        digest: &Digest,
    ) -> Result<u64, RegistryError> {
        match self.held(name, digest).await? {
            Some(blob) => Ok(blob.size()),
            None => Err(RegistryError::BlobUnknown(name.clone(), digest.clone())),
        }
    }

    async fn find(
        &self,
        name: &RepositoryName,
        digest: &Digest,
        eagerness: Eagerness,
    ) -> Result<Option<Found>, RegistryError> {
        let locations = self.locations_of(name).await?;
        for location in &locations {
            if let Some(blob) = self.held(location.storage(), digest).await? {
                return Ok(Some(Found::Here(blob)));
            }
        }
        // Derived content and collections: the images that their manifests came from.
        let storage = self.storage_repository(name)?;
        let sources = self.store().sources_of_blob(&storage, digest).await?;
        for image in parse_sources(&sources) {
            let locations = match self.locations_of_image(&image).await {
                // It was made before its source was read for each account as itself.
                Err(error) if error.is_not_allowed() => continue,
                locations => locations?,
            };
            for location in locations {
                if !self.leads_to(&location, &image, digest).await? {
                    continue;
                }
                let found = self.find_at(&location, digest, eagerness).await?;
                if found.is_some() {
                    self.store()
                        .mount(location.storage(), &storage, digest)
                        .await?;
                    return Ok(found);
                }
            }
        }
        let mut search = Search::default();
        for location in locations
            .iter()
            .filter(|location| matches!(location, Location::Upstream { .. }))
        {
            if eagerness == Eagerness::Ask
                && !self.store().has_repository(location.storage()).await?
            {
                match self.find_at(location, digest, Eagerness::AskBriefly).await {
                    Ok(Some(found)) => return Ok(Some(found)),
                    Ok(None) => {}
                    Err(error) if error.is_upstreams() => {
                        tracing::debug!(repository = %location.storage(), %digest, %error, "not asked further");
                    }
                    Err(error) => return Err(error),
                }
                continue;
            }
            let found = search.answered(self.find_at(location, digest, eagerness).await)?;
            if found.is_some() {
                return Ok(found);
            }
        }
        search.end().map(|()| None)
    }

    /// Whether `image` at `place` has the blob, as far as its manifest is kept: an upstream that
    /// has one of the images that something was derived from is not asked for another's blobs.
    async fn leads_to(
        &self,
        location: &Location,
        image: &ImageReference,
        blob: &Digest,
    ) -> Result<bool, RegistryError> {
        let storage = match image.digest() {
            Some(digest) => self.store().manifest(location.storage(), digest).await?,
            None => None,
        };
        Ok(match storage.as_deref().map(parse).transpose()? {
            Some(Document::Manifest(manifest)) => {
                let mut blobs = manifest.config().into_iter().chain(manifest.layers());
                blobs.any(|descriptor| descriptor.digest() == blob)
            }
            Some(Document::Index(_)) | None => true,
        })
    }

    async fn find_at(
        &self,
        location: &Location,
        digest: &Digest,
        eagerness: Eagerness,
    ) -> Result<Option<Found>, RegistryError> {
        if eagerness == Eagerness::Fetch {
            return Ok(self.blob_at(location, digest).await?.map(Found::Here));
        }
        if let Some(blob) = self.held(location.storage(), digest).await? {
            return Ok(Some(Found::Here(blob)));
        }
        let Location::Upstream { route, storage } = location else {
            return Ok(None);
        };
        let limit = (eagerness == Eagerness::AskBriefly).then_some(UNKNOWN_REPOSITORY);
        let asked = route.upstream.find_blob(&route.name, digest, limit).await;
        let Some(size) = self.note_refusal(storage, there(asked)).await? else {
            return Ok(None);
        };
        let size = match size {
            Some(size) => Some(size),
            None => match self.store().stated_sizes(storage, digest).await?.as_slice() {
                [stated] => Some(*stated),
                _ => None,
            },
        };
        Ok(Some(Found::Upstream(size)))
    }

    /// A blob of one place, fetched if its upstream has it.
    pub(crate) async fn blob_at(
        &self,
        location: &Location,
        digest: &Digest,
    ) -> Result<Option<BlobRead>, RegistryError> {
        if let Some(blob) = self.held(location.storage(), digest).await? {
            return Ok(Some(blob));
        }
        let Location::Upstream { route, storage } = location else {
            return Ok(None);
        };
        let came = match self.follow(route, storage, digest).await? {
            None => return Ok(None),
            Some(Coming::Here) => true,
            Some(Coming::Arriving(mut follower)) => {
                if let Some(size) = follower.size() {
                    let prefetch = RangePrefetch::new(route);
                    return Ok(Some(BlobRead::Arriving {
                        follower,
                        size,
                        prefetch,
                    }));
                }
                // An upstream that does not say the size: it is known when all has come.
                follower.completed().await
            }
        };
        if came && let Some(blob) = self.arrived(storage, digest).await? {
            return Ok(Some(blob));
        }
        Err(RegistryError::Broken(format!(
            "{digest} could not be fetched from {}",
            route.upstream.host()
        )))
    }

    /// A blob that was verified a moment ago, as soon as it is in its place.
    pub(crate) async fn arrived(
        &self,
        storage: &RepositoryName,
        digest: &Digest,
    ) -> Result<Option<BlobRead>, RegistryError> {
        for _ in 0..100 {
            if let Some(blob) = self.held(storage, digest).await? {
                return Ok(Some(blob));
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(None)
    }

    /// A blob that a repository of the store holds, opened. One whose file is missing, short or,
    /// as far as that is known before the answer begins, damaged is as good as not there: an
    /// upstream may still have it, and a client may push it again.
    async fn held(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
    ) -> Result<Option<BlobRead>, RegistryError> {
        let Some(blob) = self.store().blob(repository, digest).await? else {
            return Ok(None);
        };
        match opened(&blob).await {
            Ok(open) => Ok(Some(BlobRead::Held(open))),
            Err(error @ StoreError::Damaged { .. }) => {
                tracing::error!(%repository, %digest, %error, "stored content is damaged");
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// Opens a blob. A small one is known to be right then; a large one is verified while it is sent.
pub(crate) async fn opened(blob: &Blob) -> Result<OpenBlob, StoreError> {
    let mut open = blob.open().await?;
    if blob.size() <= SMALL {
        open.verify().await?;
    }
    Ok(open)
}

/// How much trouble a question is worth.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Eagerness {
    /// The bytes are wanted.
    Fetch,
    /// Only whether it is there, and its size.
    Ask,
    /// The same, of an upstream that may not know the repository.
    AskBriefly,
}

enum Found {
    Here(BlobRead),
    /// Its size, where that is known.
    Upstream(Option<u64>),
}

/// The images that manifests were read or derived from, as the store has them.
pub(crate) fn parse_sources(images: &[String]) -> impl Iterator<Item = ImageReference> {
    images.iter().filter_map(|image| image.parse().ok())
}
