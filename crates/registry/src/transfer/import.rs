//! Taking in a bundle that another MetaHub or another tool wrote.
//!
//! First all of it is looked at, then all content is hashed and stored where nobody may read it,
//! and only then it becomes visible: blobs, manifests, last the tags. A bundle that is wrong
//! anywhere leaves nothing that can be seen. What is here already is not read again, so an import
//! that broke off goes on where it was when it is started anew.

use std::path::Path;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use metahub_bundle::{Bundle, BundleError, Content};
use metahub_oci::{Digest, Document, ImageReference, Reference, RepositoryName};
use metahub_store::{FillError, Origin, PutManifest};
use serde::{Deserialize, Serialize};

use crate::access::location::storage_name;
use crate::push::manifest::put_error;
use crate::transfer::import_check::{Checked, CheckedImage, check};
use crate::{Registry, RegistryError};

/// Blobs that become readable at once, so that they share commits.
const AT_ONCE: usize = 32;

/// Why a bundle was not taken.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// It is malformed, incomplete or damaged.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// An entry says no name under which it could be found here.
    #[error(
        "the entry {digest} is called '{name}', which names no image: say which it is with \
         --name NAME:TAG"
    )]
    Unnamed {
        /// The entry.
        digest: Digest,
        /// What it is called.
        name: String,
    },
    /// One name was given, and there is not one image.
    #[error("--name says what one image is called, and the bundle has {0}")]
    OneName(usize),
    /// Nothing is in it.
    #[error("the bundle holds neither images nor documents")]
    Empty,
    /// Content was not what it is called, or could not be stored.
    #[error("{digest}: {source}")]
    Fill {
        /// What it is called.
        digest: Digest,
        /// What is wrong.
        source: FillError,
    },
    /// It cannot be kept.
    #[error(transparent)]
    Registry(#[from] RegistryError),
}

/// What an import did.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Imported {
    /// What can be pulled now.
    pub images: Vec<ImageReference>,
    /// Blobs that were stored.
    pub blobs: u64,
    /// Bytes of those.
    pub bytes: u64,
    /// Blobs that were here already.
    pub held: u64,
    /// Bytes of those.
    pub held_bytes: u64,
}

/// How far an import is.
#[derive(Clone, Copy, Debug, Default)]
pub struct ImportProgress {
    /// Pieces of content that were looked at.
    pub done: u64,
    /// Pieces in the bundle.
    pub total: u64,
    /// Bytes that were looked at.
    pub bytes: u64,
}

/// A bundle that was looked at, and can be taken in.
pub struct Import {
    bundle: Bundle,
    checked: Checked,
}

impl Import {
    /// Looks at the bundle at `path`; `name` is what its one image shall be called here.
    pub async fn open(path: &Path, name: Option<ImageReference>) -> Result<Self, ImportError> {
        let path = path.to_owned();
        let work = move || {
            let bundle = Bundle::open(&path)?;
            let checked = check(&bundle, name.as_ref())?;
            Ok(Self { bundle, checked })
        };
        off_the_workers(work).await
    }

    /// The profile and collection documents in it. Whoever imports puts them in force.
    #[must_use]
    pub fn documents(&self) -> &[String] {
        &self.checked.documents
    }
}

async fn off_the_workers<T, E, F>(work: F) -> Result<T, E>
where
    T: Send + 'static,
    E: From<RegistryError> + Send + 'static,
    F: FnOnce() -> Result<T, E> + Send + 'static,
{
    let stopped = || RegistryError::Broken("the work was stopped".to_owned());
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|_| Err(stopped().into()))
}

/// An image with its place in the store.
struct Placed<'i> {
    image: &'i CheckedImage,
    storage: RepositoryName,
    origin: Origin,
}

impl Registry {
    /// Takes in a bundle that was looked at.
    pub async fn import(
        &self,
        import: &Import,
        mut progress: impl FnMut(ImportProgress) + Send + Sync,
    ) -> Result<Imported, ImportError> {
        let placed = self.placed(&import.checked)?;
        for location in &placed {
            self.may_be_tagged(location).await?;
        }
        let mut imported = Imported::default();
        let contents = import.bundle.contents();
        let mut now = ImportProgress {
            total: contents.len() as u64,
            ..ImportProgress::default()
        };
        for (digest, size) in contents {
            progress(now);
            // Manifests were verified when they were read.
            if !import.checked.manifests.contains(&digest) {
                self.take_in(import, &digest, size, &mut imported).await?;
            }
            now.done += 1;
            now.bytes += size;
        }
        progress(now);
        for location in &placed {
            self.show(import, location).await?;
            imported.images.push(location.image.image.clone());
        }
        // Now that what refers to them is here, too.
        for location in placed.iter().filter(|p| p.origin == Origin::Upstream) {
            for document in &location.image.documents {
                self.compatibility_from_bundle(&location.storage, document)
                    .await?;
            }
        }
        Ok(imported)
    }

    fn placed<'i>(&self, checked: &'i Checked) -> Result<Vec<Placed<'i>>, RegistryError> {
        let location = |image: &'i CheckedImage| {
            let name = &image.image;
            let (storage, origin) = match name.host() {
                Some(host) => {
                    // Where a pull of that name looks, if anybody may pull it here.
                    let itself = self.as_itself();
                    let locations = itself.upstream_locations(Some(host), name.name())?;
                    let location = locations.into_iter().next();
                    let storage = location.map(|location| location.storage().clone());
                    let storage = storage.map_or_else(|| storage_name(host, name.name()), Ok)?;
                    (storage, Origin::Upstream)
                }
                None => {
                    self.may_change(name.name(), false)?;
                    (name.name().clone(), Origin::Pushed)
                }
            };
            Ok(Placed {
                image,
                storage,
                origin,
            })
        };
        checked.images.iter().map(location).collect()
    }

    /// Refuses what would move an immutable tag before anything is stored.
    async fn may_be_tagged(&self, placed: &Placed<'_>) -> Result<(), RegistryError> {
        let (Reference::Tag(tag), Origin::Pushed) = (placed.image.image.reference(), placed.origin)
        else {
            return Ok(());
        };
        if !self.settings().immutable_tags.has(&placed.storage, &tag) {
            return Ok(());
        }
        let root = placed.image.documents.last().map(Document::digest);
        match self.store().tag(&placed.storage, &tag).await? {
            Some(there) if Some(&there.digest) != root => Err(RegistryError::Immutable(format!(
                "the tag {}:{tag} is immutable and names {}: the bundle names another",
                placed.storage, there.digest
            ))),
            _ => Ok(()),
        }
    }

    /// Hashes one piece of content, and stores it if it is wanted and not here.
    async fn take_in(
        &self,
        import: &Import,
        digest: &Digest,
        size: u64,
        imported: &mut Imported,
    ) -> Result<(), ImportError> {
        let wanted = import.checked.blobs.contains(digest);
        if wanted && self.is_held(digest, size).await? {
            imported.held += 1;
            imported.held_bytes += size;
            return Ok(());
        }
        let Some(content) = import.bundle.content(digest) else {
            return Ok(());
        };
        if wanted {
            self.store_content(digest, content).await?;
            imported.blobs += 1;
            imported.bytes += size;
            return Ok(());
        }
        let mut content = content;
        off_the_workers(move || {
            while content.next_chunk()?.is_some() {}
            Ok(())
        })
        .await
    }

    async fn is_held(&self, digest: &Digest, size: u64) -> Result<bool, RegistryError> {
        let held = self.store().blob_anywhere(digest).await?;
        Ok(held.is_some_and(|blob| blob.size() == size))
    }

    async fn store_content(&self, digest: &Digest, content: Content) -> Result<(), ImportError> {
        let failed = |source| ImportError::Fill {
            digest: digest.clone(),
            source,
        };
        let mut fill = self.store().fill(digest, Some(content.size()));
        let mut content = content;
        loop {
            let (next, rest) = off_the_workers(move || {
                let next = content.next_chunk()?;
                Ok::<_, ImportError>((next, content))
            })
            .await?;
            content = rest;
            match next {
                Some(bytes) => fill.write(bytes).await.map_err(failed)?,
                None => break,
            }
        }
        fill.commit(None).await.map_err(failed)?;
        Ok(())
    }

    /// Lets everybody see one image: what it needs first, its tag last.
    async fn show(&self, import: &Import, placed: &Placed<'_>) -> Result<(), ImportError> {
        let mut links = Vec::with_capacity(placed.image.blobs.len());
        for digest in &placed.image.blobs {
            links.push(self.link(import, &placed.storage, digest));
        }
        let mut links = stream::iter(links).buffer_unordered(AT_ONCE);
        while links.try_next().await?.is_some() {}
        let image = &placed.image.image;
        let Some((root, others)) = placed.image.documents.split_last() else {
            return Ok(());
        };
        for document in others {
            self.show_manifest(placed, document, &[]).await?;
        }
        let tags: Vec<_> = match image.reference() {
            Reference::Tag(tag) => vec![tag],
            Reference::Digest(_) => Vec::new(),
        };
        self.show_manifest(placed, root, &tags).await?;
        tracing::info!(%image, digest = %root.digest(), "imported");
        Ok(())
    }

    async fn show_manifest(
        &self,
        placed: &Placed<'_>,
        document: &Document,
        tags: &[metahub_oci::Tag],
    ) -> Result<(), RegistryError> {
        let put = match placed.origin {
            Origin::Upstream => {
                let (host, name) = (placed.image.image.host(), placed.image.image.name());
                let digest = Reference::Digest(document.digest().clone());
                let source = ImageReference::new(host.cloned(), name.clone(), digest);
                PutManifest::upstream(tags.to_vec(), source.to_string())
            }
            Origin::Pushed | Origin::Derived => {
                let immutable = &self.settings().immutable_tags;
                let fixed = tags
                    .iter()
                    .filter(|tag| immutable.has(&placed.storage, tag));
                PutManifest {
                    fixed: fixed.cloned().collect(),
                    // What was left out on purpose is not there.
                    require_references: false,
                    ..PutManifest::pushed(tags.to_vec())
                }
            }
        };
        self.store()
            .put_manifest(&placed.storage, document, put)
            .await
            .map_err(put_error)
    }

    async fn link(
        &self,
        import: &Import,
        storage: &RepositoryName,
        digest: &Digest,
    ) -> Result<(), ImportError> {
        if self
            .store()
            .link(storage, digest)
            .await
            .map_err(RegistryError::from)?
        {
            return Ok(());
        }
        // It was here and has gone meanwhile.
        if let Some(content) = import.bundle.content(digest) {
            self.store_content(digest, content).await?;
        }
        if self
            .store()
            .link(storage, digest)
            .await
            .map_err(RegistryError::from)?
        {
            return Ok(());
        }
        Err(RegistryError::BlobUnknown(storage.clone(), digest.clone()).into())
    }
}
