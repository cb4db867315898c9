//! Serves blobs: from the store, or while they arrive from an upstream.
//!
//! A repository serves only what it holds itself or what its own upstream has: knowing a digest
//! gives no access (CVE-2024-39897).

use std::io;
use std::ops::Range;
use std::pin::Pin;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt};
use metahub_oci::{Digest, Document, ImageReference};
use metahub_store::{BlobChunk, Follower, OpenBlob};

use crate::Registry;
use crate::access::location::{Location, Search, there};
use crate::access::pass_through::Request;
use crate::access::repository::{Authorised, Read, Repository};
use crate::access::stored::StoredRepository;
use crate::cache::fetch::Coming;
use crate::cache::open::open_held;
use crate::cache::range_prefetch::RangePrefetch;
use crate::error::RegistryError;
use crate::provenance::parse_sources;
use crate::pull::source::parse;

/// How long an upstream may take to answer whether it has a blob of a repository from which nothing
/// was pulled yet: clients also check before they push, when no upstream knows the name.
const UNKNOWN_REPOSITORY: Duration = Duration::from_secs(5);

/// A blob that can be read.
#[derive(Clone)]
pub enum BlobRead {
    /// It is stored.
    Held(OpenBlob),
    /// It is being fetched, and its size is known.
    Arriving {
        /// Reads the blob while it arrives.
        follower: Follower,
        /// The whole size in bytes.
        size: u64,
        /// Prefetches ranges far ahead.
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

    /// The bytes of `range`. Ends with an error, never short, if some cannot be read or are
    /// damaged.
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

    /// The same; with `windows`, parts of a verified file, or of one that is being fetched, are
    /// returned without reading them.
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

    /// All bytes of a small blob, verified.
    ///
    /// # Errors A blob of more than `limit` bytes, and errors of reading it.
    pub async fn read(&self, limit: u64) -> Result<Bytes, RegistryError> {
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

impl Repository<'_, Read> {
    /// A blob.
    pub async fn blob(&self, digest: &Digest) -> Result<BlobRead, RegistryError> {
        let repository = self.authorise(Request::Blob(digest)).await?;
        match repository.find(digest, Eagerness::Fetch).await? {
            Some(FoundBlob::Here(blob)) => {
                let counters = repository.registry().counters();
                match &blob {
                    BlobRead::Held(_) => &counters.blobs_held,
                    BlobRead::Arriving { .. } => &counters.blobs_arriving,
                }
                .inc();
                Ok(blob)
            }
            _ => Err(self.blob_unknown(digest)),
        }
    }

    /// The size in bytes of a blob, as [`find_blob`](Self::find_blob) has it.
    pub async fn blob_size(&self, digest: &Digest) -> Result<u64, RegistryError> {
        let size = self.find_blob(digest).await?;
        size.ok_or_else(|| RegistryError::Broken(format!("no upstream says how large {digest} is")))
    }

    /// Whether a blob exists, and its size in bytes if known: the result that [`blob`](Self::blob)
    /// would have, without fetching. For a repository from which nothing was pulled yet, an
    /// upstream's answer counts only if it has the blob.
    pub async fn find_blob(&self, digest: &Digest) -> Result<Option<u64>, RegistryError> {
        let repository = self.authorise(Request::Blob(digest)).await?;
        match repository.find(digest, Eagerness::Ask).await? {
            Some(FoundBlob::Here(blob)) => Ok(Some(blob.size())),
            Some(FoundBlob::Upstream(size)) => Ok(size),
            None => Err(self.blob_unknown(digest)),
        }
    }

    /// The size in bytes of a blob that this repository itself holds, so that it need not be
    /// pushed. No upstream is asked, since a pushed manifest may not refer to content that only an
    /// upstream has.
    pub async fn pushed_blob_size(&self, digest: &Digest) -> Result<u64, RegistryError> {
        match held(&self.pushed_here()?, digest).await? {
            Some(blob) => Ok(blob.size()),
            None => Err(self.blob_unknown(digest)),
        }
    }

    fn blob_unknown(&self, digest: &Digest) -> RegistryError {
        RegistryError::BlobUnknown(self.name().clone(), digest.clone())
    }
}

impl Authorised<'_> {
    async fn find(
        &self,
        digest: &Digest,
        eagerness: Eagerness,
    ) -> Result<Option<FoundBlob>, RegistryError> {
        let registry = self.registry();
        let locations = self.locations().await?;
        for location in &locations {
            if let Some(blob) = held(location.stored(), digest).await? {
                return Ok(Some(FoundBlob::Here(blob)));
            }
        }
        // Derived content and collections: the images that their manifests came from.
        let sources = self.stored().sources_of_blob(digest).await?;
        for image in parse_sources(&sources) {
            let locations = match registry.locations_of_image(&image).await {
                // It was derived before its source became a pass-through upstream's.
                Err(error) if error.is_not_allowed() => continue,
                locations => locations?,
            };
            for location in locations {
                if !leads_to(&location, &image, digest).await? {
                    continue;
                }
                let found = registry.find_at(&location, digest, eagerness).await?;
                if found.is_some() {
                    self.stored().mount(location.stored(), digest).await?;
                    return Ok(found);
                }
            }
        }
        let mut search = Search::default();
        for location in locations
            .iter()
            .filter(|location| matches!(location, Location::Upstream(_)))
        {
            if eagerness == Eagerness::Ask && !location.stored().exists().await? {
                let found = registry.find_at(location, digest, Eagerness::AskBriefly);
                match found.await {
                    Ok(Some(found)) => return Ok(Some(found)),
                    Ok(None) => {}
                    Err(error) if error.is_upstreams() => {
                        tracing::debug!(repository = %location.storage(), %digest, %error, "not asked further");
                    }
                    Err(error) => return Err(error),
                }
                continue;
            }
            let found = search.answered(registry.find_at(location, digest, eagerness).await)?;
            if found.is_some() {
                return Ok(found);
            }
        }
        search.end().map(|()| None)
    }
}

/// Whether `image` at `location` has the blob, as far as its manifest is cached: the upstream of
/// one source of a derived image is not asked for blobs of another source.
async fn leads_to(
    location: &Location,
    image: &ImageReference,
    blob: &Digest,
) -> Result<bool, RegistryError> {
    let stored = match image.digest() {
        Some(digest) => location.stored().manifest(digest).await?,
        None => None,
    };
    Ok(match stored.as_deref().map(parse).transpose()? {
        Some(Document::Manifest(manifest)) => {
            let mut blobs = manifest.config().into_iter().chain(manifest.layers());
            blobs.any(|descriptor| descriptor.digest() == blob)
        }
        Some(Document::Index(_)) | None => true,
    })
}

impl Registry {
    async fn find_at(
        &self,
        location: &Location,
        digest: &Digest,
        eagerness: Eagerness,
    ) -> Result<Option<FoundBlob>, RegistryError> {
        if eagerness == Eagerness::Fetch {
            return Ok(self.blob_at(location, digest).await?.map(FoundBlob::Here));
        }
        if let Some(blob) = held(location.stored(), digest).await? {
            return Ok(Some(FoundBlob::Here(blob)));
        }
        let Location::Upstream(from) = location else {
            return Ok(None);
        };
        let limit = (eagerness == Eagerness::AskBriefly).then_some(UNKNOWN_REPOSITORY);
        let asked = from.upstream().find_blob(from.name(), digest, limit).await;
        let Some(size) = self.note_refusal(from, there(asked)).await? else {
            return Ok(None);
        };
        let size = match size {
            Some(size) => Some(size),
            None => match from.stored().stated_sizes(digest).await?.as_slice() {
                [stated] => Some(*stated),
                _ => None,
            },
        };
        Ok(Some(FoundBlob::Upstream(size)))
    }

    /// A blob of one location, if it is stored.
    pub(crate) async fn blob_held(
        &self,
        location: &Location,
        digest: &Digest,
    ) -> Result<Option<BlobRead>, RegistryError> {
        held(location.stored(), digest).await
    }

    /// A blob of one location, fetched if its upstream has it.
    pub(crate) async fn blob_at(
        &self,
        location: &Location,
        digest: &Digest,
    ) -> Result<Option<BlobRead>, RegistryError> {
        if let Some(blob) = held(location.stored(), digest).await? {
            return Ok(Some(blob));
        }
        let Location::Upstream(from) = location else {
            return Ok(None);
        };
        let came = match self.follow(from, digest).await? {
            None => return Ok(None),
            Some(Coming::Here) => true,
            Some(Coming::Arriving(mut follower)) => {
                if let Some(size) = follower.size() {
                    let prefetch = RangePrefetch::new(from.route());
                    return Ok(Some(BlobRead::Arriving {
                        follower,
                        size,
                        prefetch,
                    }));
                }
                // The upstream does not state the size: it is known at the end.
                follower.completed().await
            }
        };
        if came && let Some(blob) = self.arrived(from.stored(), digest).await? {
            return Ok(Some(blob));
        }
        Err(RegistryError::Broken(format!(
            "{digest} could not be fetched from {}",
            from.upstream().host()
        )))
    }

    /// A blob that was just verified, once it is published.
    pub(crate) async fn arrived(
        &self,
        stored: &StoredRepository,
        digest: &Digest,
    ) -> Result<Option<BlobRead>, RegistryError> {
        for _ in 0..100 {
            if let Some(blob) = held(stored, digest).await? {
                return Ok(Some(blob));
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(None)
    }
}

async fn held(
    repository: &StoredRepository,
    digest: &Digest,
) -> Result<Option<BlobRead>, RegistryError> {
    let open = open_held(repository, digest).await?;
    Ok(open.map(BlobRead::Held))
}

/// How far a request goes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Eagerness {
    /// The bytes are wanted.
    Fetch,
    /// Only whether it exists, and its size.
    Ask,
    /// The same, at an upstream that may not know the repository.
    AskBriefly,
}

enum FoundBlob {
    Here(BlobRead),
    /// Its size, if known.
    Upstream(Option<u64>),
}
