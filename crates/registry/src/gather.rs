//! Having images here in full: for warming ahead of a pull, and for taking them to another site.
//!
//! Gathering runs what a pull runs, so what is fetched is fetched once however many clients pull
//! meanwhile. Of each image it takes what a login gets, or everything; of what a collection names
//! and the login does not get, only what makes the collection the same at another place: its
//! manifests and configurations.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use metahub_catalog::{Action, Collection, Composed};
use metahub_oci::{
    Descriptor, Digest, Document, ImageReference, Platform, Reference, RepositoryName,
};
use metahub_store::StoredManifest;
use serde_json::Value;

use crate::derive::{Derived, Outcome};
use crate::images::missing;
use crate::place::{Place, is_offline};
use crate::plan::{Gathering, Plan, PlanContent, PlanEntry, PlanOrigin, Wanted};
use crate::source::{Children, Source, parse};
use crate::{BlobRead, Registry, RegistryError};

/// Blobs that are fetched at once.
const AT_ONCE: usize = 4;
/// Referrers of one manifest that are taken.
const MAX_REFERRERS: usize = 1000;
/// On an attestation's entry: the manifest that it is about (as BuildKit writes it).
const ATTESTED: &str = "vnd.docker.reference.digest";

/// Which of the images that an index leads to are taken.
enum Select {
    /// Those for the wanted platforms.
    ByPlatform,
    /// Those of them that stand here.
    Only(HashSet<Digest>),
    /// All: it was decided before.
    Chosen,
}

/// How much of something was taken.
#[derive(Clone, Copy)]
struct Extent {
    /// All of it.
    whole: bool,
    /// At least one image that can be run, or one artifact.
    some: bool,
}

/// A blob that is wanted.
struct Need {
    place: Place,
    size: u64,
}

impl Registry {
    /// Fetches what is missing of the wanted images, and says what they consist of.
    pub async fn gather(
        &self,
        wanted: &Wanted,
        mut progress: impl FnMut(Gathering) + Send + Sync,
    ) -> Result<Plan, RegistryError> {
        let mut gather = Gather {
            registry: self,
            wanted,
            seen: HashSet::new(),
            blobs: BTreeMap::new(),
            manifests: BTreeMap::new(),
            plan: Plan::default(),
        };
        for image in &wanted.images {
            gather.image(image).await?;
        }
        if wanted.profiles {
            gather.all_profiles().await?;
        }
        gather.fetch(&mut progress).await?;
        Ok(gather.finish())
    }
}

/// One gathering.
struct Gather<'a> {
    registry: &'a Registry,
    wanted: &'a Wanted,
    /// Manifests that were looked at.
    seen: HashSet<(RepositoryName, Digest)>,
    blobs: BTreeMap<Digest, Need>,
    manifests: BTreeMap<Digest, PlanContent>,
    plan: Plan,
}

impl Gather<'_> {
    async fn image(&mut self, image: &ImageReference) -> Result<(), RegistryError> {
        let registry = self.registry;
        let name = registry.client_name(image)?;
        let unknown = || RegistryError::unknown(&name, image.reference());
        let before = self.plan.entries.len();
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
                match registry.outcome(&name, &tag, profile).await? {
                    Outcome::Plain(source) => {
                        self.source(&source, image, &Select::ByPlatform).await?;
                    }
                    Outcome::Derived(derived, warning) => {
                        self.plan.warnings.extend(warning);
                        self.sources(image, collection, &derived).await?;
                        self.layers(&name, profile, &derived).await?;
                        self.derived(&name, image, &derived).await?;
                    }
                }
            }
        }
        let taken = self.plan.entries.get(before..).unwrap_or_default();
        if taken.iter().all(|entry| entry.name.is_none()) {
            return Err(RegistryError::ManifestUnknown {
                name,
                reference: image.reference(),
                hint: format!(" for {}", platforms(&self.wanted.platforms)),
            });
        }
        Ok(())
    }

    /// What a derived image was made from: the images of a collection, or one image.
    async fn sources(
        &mut self,
        image: &ImageReference,
        collection: Option<&Collection>,
        derived: &Derived,
    ) -> Result<(), RegistryError> {
        let select = if self.wanted.profile.is_some() {
            let children = derived.explanation.children.iter();
            let from = children.map(|c| c.derived_from.as_ref().unwrap_or(&c.digest));
            Select::Only(from.cloned().collect())
        } else {
            Select::ByPlatform
        };
        let Some(collection) = collection else {
            let found = self.registry.image_source(image).await?;
            if let Some(source) = found {
                self.source(&source, image, &select).await?;
            }
            return Ok(());
        };
        self.plan.documents.push(collection.to_document());
        for entry in &collection.entries {
            match self.registry.image_source(&entry.image).await {
                Ok(Some(source)) => self.source(&source, &entry.image, &select).await?,
                Ok(None) => self.left_out(&entry.image, "there is no such image"),
                Err(error) => self.left_out(&entry.image, error),
            }
        }
        Ok(())
    }

    fn left_out(&mut self, image: &ImageReference, why: impl std::fmt::Display) {
        self.plan
            .warnings
            .push(format!("{image} is left out: {why}"));
    }

    /// The images whose layers were added, and the profiles that say so.
    async fn layers(
        &mut self,
        name: &RepositoryName,
        profile: &Composed,
        derived: &Derived,
    ) -> Result<(), RegistryError> {
        let added = derived.explanation.added.iter();
        let select = Select::Only(added.map(|added| added.manifest.clone()).collect());
        for layer in metahub_resolve::layers_for(profile, name) {
            if let Some(source) = self.registry.image_source(layer).await? {
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
                self.plan.documents.push(profile.to_document());
            }
        }
        Ok(())
    }

    /// Every profile of the site's own documents, and the layers that they add.
    async fn all_profiles(&mut self) -> Result<(), RegistryError> {
        let catalog = self.registry.catalog();
        let own = catalog.profiles().filter(|p| p.location.is_some());
        for profile in own {
            self.plan.documents.push(profile.to_document());
            for action in &profile.actions {
                let Action::ManifestAdd(add) = action else {
                    continue;
                };
                match self.registry.image_source(&add.layer).await? {
                    Some(source) => {
                        self.source(&source, &add.layer, &Select::ByPlatform)
                            .await?;
                    }
                    None => self.left_out(&add.layer, "there is no such image"),
                }
            }
        }
        Ok(())
    }

    /// Content that was derived, under the name that clients call it.
    async fn derived(
        &mut self,
        name: &RepositoryName,
        image: &ImageReference,
        derived: &Derived,
    ) -> Result<(), RegistryError> {
        let place = Place::Local(name.clone());
        let extent = self
            .document(&place, &derived.stored, &Select::ByPlatform)
            .await?;
        let image = ImageReference::new(None, name.clone(), image.reference());
        let text = image.to_string();
        // What login gets is what tools shall find under the name that it was asked for by.
        for entry in &mut self.plan.entries {
            if entry.name.as_ref() == Some(&text) {
                entry.name = None;
            }
        }
        self.entry(image, &derived.stored, PlanOrigin::Derived, extent);
        Ok(())
    }

    /// An image as it is at its place.
    async fn source(
        &mut self,
        source: &Source,
        image: &ImageReference,
        select: &Select,
    ) -> Result<(), RegistryError> {
        let Children::At(place) = &source.children else {
            self.left_out(image, "it is a collection itself");
            return Ok(());
        };
        self.plan.warnings.extend(source.warning.clone());
        let extent = self.document(place, &source.stored, select).await?;
        let full = place.named(image.reference());
        if self.plan.entries.iter().all(|entry| entry.image != full) {
            self.entry(full, &source.stored, source.stored.origin.into(), extent);
        }
        Ok(())
    }

    fn entry(
        &mut self,
        image: ImageReference,
        stored: &StoredManifest,
        origin: PlanOrigin,
        extent: Extent,
    ) {
        let text = image.to_string();
        let free = |entry: &PlanEntry| entry.name.as_ref() != Some(&text);
        let named = extent.some && self.plan.entries.iter().all(free);
        let size = stored.bytes.len() as u64;
        let descriptor = Descriptor::new(stored.media_type.clone(), stored.digest.clone(), size);
        self.plan.entries.push(PlanEntry {
            name: named.then_some(text),
            image,
            origin,
            descriptor: Value::Object(descriptor.as_json().clone()),
            partial: !extent.whole,
        });
    }

    /// A manifest or index with what it leads to.
    async fn document(
        &mut self,
        place: &Place,
        stored: &Arc<StoredManifest>,
        select: &Select,
    ) -> Result<Extent, RegistryError> {
        let content = PlanContent {
            digest: stored.digest.clone(),
            size: stored.bytes.len() as u64,
            repository: place.kept().clone(),
            manifest: true,
        };
        self.manifests.insert(stored.digest.clone(), content);
        let extent = match parse(stored)? {
            Document::Index(index) => self.children(place, index.manifests(), select).await?,
            Document::Manifest(manifest) => {
                let wanted = match select {
                    Select::Chosen => true,
                    Select::Only(chosen) => chosen.contains(&stored.digest),
                    Select::ByPlatform if manifest.is_image() => {
                        let image = self.registry.image_at(place, manifest.clone()).await?;
                        self.runs_on(&image.config.platform())
                    }
                    Select::ByPlatform => true,
                };
                let layers = manifest.layers().iter().filter(|_| wanted);
                for blob in manifest.config().into_iter().chain(layers) {
                    self.blob(place, blob);
                }
                Extent {
                    whole: wanted,
                    some: wanted,
                }
            }
        };
        self.referrers(place, &stored.digest).await?;
        Ok(extent)
    }

    async fn children(
        &mut self,
        place: &Place,
        entries: &[Descriptor],
        select: &Select,
    ) -> Result<Extent, RegistryError> {
        let mut extent = Extent {
            whole: true,
            some: false,
        };
        let mut taken = HashSet::new();
        let (attestations, images): (Vec<_>, Vec<_>) =
            entries.iter().partition(|entry| entry.is_attestation());
        for entry in images {
            let runs = entry.platform().is_none_or(|p| self.runs_on(&p));
            let chosen = match select {
                Select::Only(chosen) => chosen.contains(entry.digest()),
                Select::ByPlatform | Select::Chosen => true,
            };
            if !(runs && chosen) {
                extent.whole = false;
                continue;
            }
            let of = self.child(place, entry.digest()).await?;
            extent.whole &= of.whole;
            extent.some |= of.some;
            taken.insert(entry.digest().to_string());
        }
        for entry in attestations {
            if entry
                .annotation(ATTESTED)
                .is_some_and(|of| taken.contains(of))
            {
                self.child(place, entry.digest()).await?;
            } else {
                extent.whole = false;
            }
        }
        Ok(extent)
    }

    async fn child(&mut self, place: &Place, digest: &Digest) -> Result<Extent, RegistryError> {
        let found = self.registry.manifest_at(place, digest).await?;
        if found.is_none() && self.manifests.contains_key(digest) {
            // A derived index also names what was gathered, unchanged, where it came from.
            return Ok(Extent {
                whole: true,
                some: true,
            });
        }
        let found = found.ok_or_else(|| missing(place.kept(), digest))?;
        Box::pin(self.document(place, &found, &Select::Chosen)).await
    }

    fn runs_on(&self, platform: &Platform) -> bool {
        let wanted = &self.wanted.platforms;
        wanted.is_empty() || wanted.iter().any(|wanted| wanted.same_machine(platform))
    }

    fn blob(&mut self, place: &Place, descriptor: &Descriptor) {
        // What is kept elsewhere by design stays there.
        if descriptor.media_type().is_foreign_layer() {
            return;
        }
        let need = || Need {
            place: place.clone(),
            size: descriptor.size(),
        };
        self.blobs
            .entry(descriptor.digest().clone())
            .or_insert_with(need);
    }

    /// Signatures, statements of compatibility and the like: they are part of what an image is.
    async fn referrers(&mut self, place: &Place, digest: &Digest) -> Result<(), RegistryError> {
        if !self.seen.insert((place.kept().clone(), digest.clone())) {
            return Ok(());
        }
        let store = self.registry.store();
        let mut found: Vec<Descriptor> = Vec::new();
        let mut more = true;
        while more && found.len() < MAX_REFERRERS {
            let after = found.last().map(Descriptor::digest);
            let page = store
                .referrers(place.kept(), digest, None, after, MAX_REFERRERS)
                .await?;
            let held = page.items.into_iter().map(Value::Object);
            let before = found.len();
            found.extend(held.filter_map(|map| Descriptor::from_json(&map).ok()));
            more = page.more && found.len() > before;
        }
        if let Place::Upstream { route, .. } = place {
            match route.upstream.referrers(&route.name, digest).await {
                Ok(more) => found.extend(more),
                Err(error) if is_offline(&error) => {}
                Err(error) => self
                    .plan
                    .warnings
                    .push(format!("what refers to {digest} is not known: {error}")),
            }
        }
        for referrer in found {
            let Some(stored) = self.registry.manifest_at(place, referrer.digest()).await? else {
                continue;
            };
            let extent = Box::pin(self.document(place, &stored, &Select::Chosen)).await?;
            let image = place.named(stored.digest.clone().into());
            if self.plan.entries.iter().all(|entry| entry.image != image) {
                let unnamed = Extent {
                    some: false,
                    ..extent
                };
                self.entry(image, &stored, stored.origin.into(), unnamed);
            }
        }
        Ok(())
    }

    async fn fetch(
        &mut self,
        progress: &mut (impl FnMut(Gathering) + Send + Sync),
    ) -> Result<(), RegistryError> {
        let mut now = Gathering {
            done: 0,
            total: self.blobs.len() as u64,
            bytes: 0,
        };
        progress(now);
        let mut fetches = Vec::with_capacity(self.blobs.len());
        for (digest, need) in &self.blobs {
            fetches.push(self.registry.have(&need.place, digest));
        }
        let mut fetches = stream::iter(fetches).buffer_unordered(AT_ONCE);
        while let Some(size) = fetches.try_next().await? {
            now.done += 1;
            now.bytes += size;
            progress(now);
        }
        Ok(())
    }

    fn finish(mut self) -> Plan {
        let blobs = self.blobs.into_iter().map(|(digest, need)| {
            let content = PlanContent {
                digest: digest.clone(),
                size: need.size,
                repository: need.place.kept().clone(),
                manifest: false,
            };
            (digest, content)
        });
        self.manifests.extend(blobs);
        self.plan.contents = self.manifests.into_values().collect();
        self.plan.documents.sort();
        self.plan.documents.dedup();
        self.plan.warnings.sort();
        self.plan.warnings.dedup();
        self.plan
    }
}

impl Registry {
    /// The name by which a client asks this registry for an image.
    pub(crate) fn client_name(
        &self,
        image: &ImageReference,
    ) -> Result<RepositoryName, RegistryError> {
        Ok(match image.host() {
            Some(host) => crate::place::kept_name(host, image.name())?,
            None => image.name().clone(),
        })
    }

    /// Has a blob of one place here, whole; its size in bytes.
    pub(crate) async fn have(&self, place: &Place, digest: &Digest) -> Result<u64, RegistryError> {
        let blob = self.blob_at(place, digest).await?;
        let blob =
            blob.ok_or_else(|| RegistryError::BlobUnknown(place.kept().clone(), digest.clone()))?;
        let size = blob.size();
        let BlobRead::Arriving { mut follower, .. } = blob else {
            return Ok(size);
        };
        if follower.completed().await && self.arrived(place.kept(), digest).await?.is_some() {
            return Ok(size);
        }
        Err(RegistryError::Broken(format!(
            "{digest} of {} could not be fetched whole",
            place.kept()
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
