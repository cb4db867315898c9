//! Fetches images in full: to warm the cache ahead of a pull, and to export them to another site.
//!
//! This runs the code of a pull, so content is fetched once however many clients pull meanwhile. Of
//! each image it fetches what a login gets, or everything; of the collection's entries that the
//! login does not get, only what makes the collection the same at another site: manifests and
//! configurations.
//!
//! One image's failure does not affect the others: each image, and each of its attachments, is
//! walked separately (`walk`); `merge` joins them.

use metahub_catalog::{Args, Collection, Composed};
use metahub_oci::{Digest, ImageReference, Platform, Reference, RepositoryName};

use crate::Registry;
use crate::access::location::{Location, storage_name};
use crate::access::pass_through::Request;
use crate::access::repository::Authorised;
use crate::error::RegistryError;
use crate::pull::blob::BlobRead;
use crate::pull::manifest::Outcome;
use crate::pull::outcome::{Explained, Form};
use crate::pull::source::{Children, Source};
use crate::transfer::inventory::{ImageSelection, Inventory, InventoryOrigin, TransferProgress};
use crate::transfer::merge::{Failures, Merged, fetch};
use crate::transfer::walk::{ImageWalk, Select};

impl Registry {
    /// Fetches the missing content of the wanted images, and returns their inventory. An image that
    /// cannot be fetched is listed among its failures.
    ///
    /// # Errors The first failure, if none of the images can be fetched.
    pub async fn fetch_images(
        &self,
        wanted: &ImageSelection,
        mut progress: impl FnMut(TransferProgress) + Send + Sync,
    ) -> Result<Inventory, RegistryError> {
        // Only operators fetch images in full.
        let registry = &self.as_itself();
        let mut failures = Failures::default();
        let mut walks = Vec::with_capacity(wanted.images.len());
        for image in &wanted.images {
            let mut walk = ImageWalk::new(registry, wanted);
            match walk.image(image).await {
                Ok(()) => walks.push((Some(image), walk)),
                Err(error) => failures.add(image, error),
            }
        }
        if wanted.profiles {
            let mut walk = ImageWalk::new(registry, wanted);
            walk.all_profiles().await?;
            walks.push((None, walk));
        }
        let lost = fetch(registry, &walks, &mut progress).await;
        let mut merged = Merged::default();
        for (image, walk) in walks {
            match (walk.lacks(&lost), image) {
                (Some(error), Some(image)) => failures.add(image, error),
                (Some(error), None) => failures.add(&"a profile's layers", error),
                (None, _) => merged.add(walk, &lost),
            }
        }
        merged.finish(failures)
    }
}

impl ImageWalk<'_> {
    async fn image(&mut self, image: &ImageReference) -> Result<(), RegistryError> {
        let registry = self.registry;
        let name = registry.client_name(image)?;
        let unknown = || RegistryError::unknown(&name, image.reference());
        let before = self.inventory.entries.len();
        match image.reference() {
            Reference::Digest(_) => {
                let source = registry.image_source(image).await?.ok_or_else(unknown)?;
                self.source(&source, image, &Select::ByPlatform).await?;
            }
            Reference::Tag(tag) => {
                let nobody = Composed::none();
                let profile = self.wanted.profile.as_deref().unwrap_or(&nobody);
                let catalog = registry.catalog();
                let collection = registry.collection_called(&catalog, &name, &tag);
                // A bundle names what tools find under the requested name: an index.
                let form = Form::Index;
                let operator = registry.operator();
                let repository = operator.read(&name);
                let repository = repository.authorise(Request::Tag(&tag)).await?;
                match repository.explained(&tag, profile, form).await? {
                    Outcome::Plain(source) => {
                        self.source(&source, image, &Select::ByPlatform).await?;
                    }
                    Outcome::Derived(derived, warning) => {
                        self.inventory.warnings.extend(warning);
                        self.sources(image, collection, &derived).await?;
                        self.layers(&name, profile, &derived).await?;
                        self.derived(&repository, image, &derived).await?;
                    }
                }
            }
        }
        let taken = self.inventory.entries.get(before..).unwrap_or_default();
        let of_parts = self
            .attached
            .iter()
            .flat_map(|part| &part.inventory.entries);
        if taken
            .iter()
            .chain(of_parts)
            .all(|entry| entry.name.is_none())
        {
            if let Some(error) = self.absent.take() {
                return Err(error);
            }
            return Err(RegistryError::ManifestUnknown {
                name,
                reference: image.reference(),
                hint: format!(" for {}", platforms(&self.wanted.platforms)),
            });
        }
        Ok(())
    }

    /// The sources of a derived image: the images of a collection, or one image.
    async fn sources(
        &mut self,
        image: &ImageReference,
        collection: Option<&Collection>,
        derived: &Explained,
    ) -> Result<(), RegistryError> {
        let children = derived.explanation.children.iter();
        let from = children.map(|c| c.derived_from.as_ref().unwrap_or(&c.digest));
        let served = Select::Only(from.cloned().collect());
        let select = if self.wanted.profile.is_some() {
            &served
        } else {
            &Select::ByPlatform
        };
        let Some(collection) = collection else {
            let found = self.registry.image_source(image).await?;
            if let Some(source) = found {
                self.source(&source, image, select).await?;
            }
            return Ok(());
        };
        self.inventory.documents.push(collection.to_document());
        for entry in &collection.entries {
            match self.registry.document_source(&entry.image).await {
                Ok(Some(source)) => {
                    let mut part = self.begin();
                    let collected = part.source(&source, &entry.image, select).await;
                    // The served image is required, with its blobs from its location; the others
                    // are optional.
                    if collected.is_ok() && part.has_chosen(&served) {
                        self.absorb(part);
                    } else {
                        self.end(part, collected, || entry.image.to_string());
                    }
                }
                Ok(None) => self.left_out(&entry.image, "there is no such image"),
                Err(error) => self.left_out(&entry.image, error),
            }
        }
        Ok(())
    }

    fn left_out(&mut self, image: &ImageReference, why: impl std::fmt::Display) {
        self.warn(format!("{image} is left out: {why}"));
    }

    /// The images whose layers were added, and the profiles that say so.
    async fn layers(
        &mut self,
        name: &RepositoryName,
        profile: &Composed,
        derived: &Explained,
    ) -> Result<(), RegistryError> {
        let added = derived.explanation.added.iter();
        let select = Select::Only(added.map(|added| added.manifest.clone()).collect());
        let actions = metahub_resolve::image_actions(profile, name);
        for layer in metahub_resolve::layer_images(&actions) {
            if let Some(source) = self.registry.document_source(layer).await? {
                self.source(&source, layer, &select).await?;
            }
        }
        let catalog = self.registry.catalog();
        for selector in profile.to_string().split('+') {
            let named = selector
                .parse()
                .ok()
                .and_then(|name| catalog.profile(&name));
            if let Some(profile) = named.filter(|profile| profile.location.is_some()) {
                self.inventory.documents.push(profile.to_document());
            }
        }
        Ok(())
    }

    /// Every profile of the site's own documents, and the layers that they add.
    async fn all_profiles(&mut self) -> Result<(), RegistryError> {
        let catalog = self.registry.catalog();
        let own = catalog.profiles().filter(|p| p.location.is_some());
        for profile in own {
            self.inventory.documents.push(profile.to_document());
            for action in &profile.actions {
                if let Args::ManifestAdd(add) = &action.args {
                    for layer in &add.layers {
                        self.layer_image(layer).await;
                    }
                }
            }
        }
        Ok(())
    }

    /// An image whose layers a profile adds, for every platform.
    async fn layer_image(&mut self, layer: &ImageReference) {
        match self.registry.document_source(layer).await {
            Ok(Some(source)) => {
                let mut part = self.begin();
                let collected = part.source(&source, layer, &Select::ByPlatform).await;
                self.end(part, collected, || layer.to_string());
            }
            Ok(None) => self.left_out(layer, "there is no such image"),
            Err(error) => self.left_out(layer, error),
        }
    }

    /// Derived content, under its name for clients.
    async fn derived(
        &mut self,
        repository: &Authorised<'_>,
        image: &ImageReference,
        derived: &Explained,
    ) -> Result<(), RegistryError> {
        let (location, name) = (repository.stored_location(), repository.name());
        let extent = self
            .document(&location, &derived.stored, &Select::ByPlatform)
            .await?;
        let image = ImageReference::new(None, name.clone(), image.reference());
        let text = image.to_string();
        // Tools shall find what the login gets under the requested name.
        for entry in &mut self.inventory.entries {
            if entry.name.as_ref() == Some(&text) {
                entry.name = None;
            }
        }
        self.entry(image, &derived.stored, InventoryOrigin::Derived, extent);
        Ok(())
    }

    /// An unchanged image at its location.
    async fn source(
        &mut self,
        source: &Source,
        image: &ImageReference,
        select: &Select,
    ) -> Result<(), RegistryError> {
        let Children::At(location) = &source.children else {
            self.left_out(image, "it is a collection itself");
            return Ok(());
        };
        self.inventory.warnings.extend(source.warning.clone());
        let extent = self.document(location, &source.stored, select).await?;
        let full = location.named(image.reference());
        if self
            .inventory
            .entries
            .iter()
            .all(|entry| entry.image != full)
        {
            self.entry(full, &source.stored, source.stored.origin.into(), extent);
        }
        Ok(())
    }
}

impl Registry {
    /// The name by which a client requests an image from this registry: the name whose rights
    /// count, whatever locations it has.
    ///
    /// # Errors
    /// Host and name together are no name.
    pub fn client_name(&self, image: &ImageReference) -> Result<RepositoryName, RegistryError> {
        Ok(match image.host() {
            Some(host) => storage_name(host, image.name())?,
            None => image.name().clone(),
        })
    }

    /// Fetches a blob of one location in full. Returns its size in bytes.
    pub(crate) async fn have(
        &self,
        location: &Location,
        digest: &Digest,
    ) -> Result<u64, RegistryError> {
        let blob = self.blob_at(location, digest).await?;
        let blob = blob.ok_or_else(|| {
            RegistryError::BlobUnknown(location.storage().clone(), digest.clone())
        })?;
        let size = blob.size();
        let BlobRead::Arriving { mut follower, .. } = blob else {
            return Ok(size);
        };
        if follower.completed().await && self.arrived(location.stored(), digest).await?.is_some() {
            return Ok(size);
        }
        Err(RegistryError::Broken(format!(
            "{digest} of {} could not be fetched whole",
            location.storage()
        )))
    }
}

fn platforms(wanted: &[Platform]) -> String {
    if wanted.is_empty() {
        return "any platform".to_owned();
    }
    let names: Vec<String> = wanted.iter().map(ToString::to_string).collect();
    names.join(" or ")
}
