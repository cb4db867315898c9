//! Imports a bundle that another MetaHub or another tool wrote.
//!
//! First the whole bundle is checked, then all content is hashed and stored without a repository
//! that may read it, and only then it becomes visible: blobs, manifests, last the tags. A bundle
//! with any error leaves nothing visible. Content that is stored already is not read again, so an
//! interrupted import continues when it is started again.

use std::path::Path;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use metahub_bundle::{Bundle, Content};
use metahub_oci::{Digest, Document, ImageReference, Reference};
use serde::{Deserialize, Serialize};

use crate::Registry;
use crate::access::repository::{Push, Repository};
use crate::access::stored::{FetchedManifest, StoredRepository};
use crate::error::RegistryError;
use crate::pull::compatibility::note_from_bundle;
use crate::transfer::import_check::{Checked, CheckedImage, check};
use crate::transfer::import_error::ImportError;

/// How many blobs are linked concurrently, so that they share commits.
const AT_ONCE: usize = 32;

/// The report of an import.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Imported {
    /// The images that can be pulled now.
    pub images: Vec<ImageReference>,
    /// Blobs that were stored.
    pub blobs: u64,
    /// Bytes of those.
    pub bytes: u64,
    /// Blobs that were stored already.
    pub held: u64,
    /// Bytes of those.
    pub held_bytes: u64,
}

/// The progress of an import.
#[derive(Clone, Copy, Debug, Default)]
pub struct ImportProgress {
    /// Pieces of content that were checked.
    pub done: u64,
    /// Pieces in the bundle.
    pub total: u64,
    /// Bytes that were checked.
    pub bytes: u64,
}

/// A checked bundle, ready to be imported.
pub struct Import {
    bundle: Bundle,
    checked: Checked,
}

impl Import {
    /// Checks the bundle at `path`; `name` renames its only image.
    pub async fn open(path: &Path, name: Option<ImageReference>) -> Result<Self, ImportError> {
        let path = path.to_owned();
        let work = move || {
            let bundle = Bundle::open(&path)?;
            let checked = check(&bundle, name.as_ref())?;
            Ok(Self { bundle, checked })
        };
        off_the_workers(work).await
    }

    /// The profile and collection documents in it. The caller puts them in use.
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

/// An image with its target repository.
struct Placed<'i> {
    image: &'i CheckedImage,
    target: Target<'i>,
}

enum Target<'i> {
    /// The cache of the upstream that the image is from.
    Cache(StoredRepository),
    /// A repository of this registry.
    Local(Repository<'i, Push>),
}

impl Target<'_> {
    fn stored(&self) -> StoredRepository {
        match self {
            Self::Cache(stored) => stored.clone(),
            Self::Local(repository) => repository.pushes().stored().clone(),
        }
    }
}

impl Registry {
    /// Imports a checked bundle.
    pub async fn import(
        &self,
        import: &Import,
        mut progress: impl FnMut(ImportProgress) + Send + Sync,
    ) -> Result<Imported, ImportError> {
        let placed = self.placed(&import.checked)?;
        for placed in &placed {
            check_tag(placed).await?;
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
        for placed in &placed {
            self.show(import, placed).await?;
            imported.images.push(placed.image.image.clone());
        }
        // Their referring manifests are stored now, too.
        for placed in &placed {
            let Target::Cache(stored) = &placed.target else {
                continue;
            };
            for document in &placed.image.documents {
                note_from_bundle(stored, document).await?;
            }
        }
        Ok(imported)
    }

    fn placed<'i>(&self, checked: &'i Checked) -> Result<Vec<Placed<'i>>, RegistryError> {
        let place = |image: &'i CheckedImage| {
            let name = &image.image;
            let target = match name.host() {
                Some(host) => Target::Cache(self.stored_for_import(host, name.name())?),
                None => Target::Local(self.operator().push(name.name())?),
            };
            Ok(Placed { image, target })
        };
        checked.images.iter().map(place).collect()
    }

    /// Hashes one piece of content, and stores it if it is needed and not stored.
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

    /// Makes one image visible: what it needs first, its tag last.
    async fn show(&self, import: &Import, placed: &Placed<'_>) -> Result<(), ImportError> {
        let stored = placed.target.stored();
        let mut links = Vec::with_capacity(placed.image.blobs.len());
        for digest in &placed.image.blobs {
            links.push(self.link(import, &stored, digest));
        }
        let mut links = stream::iter(links).buffer_unordered(AT_ONCE);
        while links.try_next().await?.is_some() {}
        let image = &placed.image.image;
        let Some((root, others)) = placed.image.documents.split_last() else {
            return Ok(());
        };
        for document in others {
            show_manifest(placed, document, Vec::new()).await?;
        }
        let tags: Vec<_> = match image.reference() {
            Reference::Tag(tag) => vec![tag],
            Reference::Digest(_) => Vec::new(),
        };
        show_manifest(placed, root, tags).await?;
        tracing::info!(%image, digest = %root.digest(), "imported");
        Ok(())
    }

    async fn link(
        &self,
        import: &Import,
        stored: &StoredRepository,
        digest: &Digest,
    ) -> Result<(), ImportError> {
        let linked = stored.link_imported(digest).await;
        if linked.map_err(RegistryError::from)? {
            return Ok(());
        }
        // It was stored and has been removed meanwhile.
        if let Some(content) = import.bundle.content(digest) {
            self.store_content(digest, content).await?;
        }
        let linked = stored.link_imported(digest).await;
        if linked.map_err(RegistryError::from)? {
            return Ok(());
        }
        Err(RegistryError::BlobUnknown(stored.name().clone(), digest.clone()).into())
    }
}

/// Refuses to move an immutable tag, before anything is stored.
async fn check_tag(placed: &Placed<'_>) -> Result<(), RegistryError> {
    let (Reference::Tag(tag), Target::Local(repository)) =
        (placed.image.image.reference(), &placed.target)
    else {
        return Ok(());
    };
    let root = placed.image.documents.last().map(Document::digest);
    repository.pushes().check_tag(&tag, root).await
}

async fn show_manifest(
    placed: &Placed<'_>,
    document: &Document,
    tags: Vec<metahub_oci::Tag>,
) -> Result<(), RegistryError> {
    match &placed.target {
        Target::Cache(stored) => {
            let (host, name) = (placed.image.image.host(), placed.image.image.name());
            let digest = Reference::Digest(document.digest().clone());
            let source = ImageReference::new(host.cloned(), name.clone(), digest);
            let details = FetchedManifest {
                tags,
                ..FetchedManifest::default()
            };
            stored
                .put_fetched(document, source.to_string(), details)
                .await?;
            Ok(())
        }
        // References are not required, because content may be left out on purpose.
        Target::Local(repository) => {
            repository
                .pushes()
                .put_manifest(document, tags, false)
                .await
        }
    }
}
