//! Puts a test's given images into a registry in memory. Their layers are never read.

use std::collections::HashMap;
use std::sync::Arc;

use metahub_catalog::{Args, Catalog, Composed, Entry, Given, GivenImage, GivenSource, TestCase};
use metahub_oci::{Digest, Document, ImageReference, Index, Manifest, Platform, Reference, Tag};
use metahub_registry::{Policy, Registry, RegistryError, Settings};
use metahub_store::{PutManifest, Store};
use metahub_upstream::{Upstreams, UpstreamsConfig};
use tokio::sync::watch;

use super::image::made;
use crate::error::OperationError;
use crate::offline::{offline, storage_of};

/// A registry with a test's images.
pub(super) struct World {
    pub(super) registry: Registry,
    /// The names of each image, by the digest of its manifest.
    pub(super) names: HashMap<Digest, Vec<String>>,
}

impl World {
    /// Makes the images of `case`.
    pub(super) async fn of(
        catalog: Arc<Catalog>,
        policy: Policy,
        case: &TestCase,
        profile: &Composed,
    ) -> Result<Self, OperationError> {
        let settings = Settings {
            policy,
            ..Settings::default()
        };
        let needed = needed(&catalog, case, profile);
        let store = Store::in_memory()
            .await
            .map_err(OperationError::NoTemporaryFolder)?;
        let named = needed.iter().map(|needed| &needed.image);
        let upstreams = Upstreams::new(&offline(
            UpstreamsConfig::default(),
            named.chain([&case.pull]),
        ))?;
        let unpinned = Catalog::clone(&catalog).with_entries_at(unpinned);
        let receiver = watch::Sender::new(Arc::new(unpinned)).subscribe();
        let mut world = Self {
            registry: Registry::new(store, upstreams, receiver, settings),
            names: HashMap::new(),
        };
        world.put_source(&catalog, case).await?;
        for image in &needed {
            world.put_needed(case, image).await?;
        }
        Ok(world)
    }

    /// What the pulled tag names, and the repository's further tags.
    async fn put_source(
        &mut self,
        catalog: &Catalog,
        case: &TestCase,
    ) -> Result<(), OperationError> {
        let pulled = &case.pull;
        let collection = catalog.collection(pulled.name(), &tag_of(pulled));
        let document = match &case.given.source {
            GivenSource::Usual if collection.is_some() => None,
            GivenSource::Usual => {
                let usual = GivenImage {
                    layers: 1,
                    ..GivenImage::default()
                };
                Some(self.put_index_or_image(catalog, pulled, &[usual]).await?)
            }
            GivenSource::Image(image) => {
                let images = std::slice::from_ref(&**image);
                Some(self.put_index_or_image(catalog, pulled, images).await?)
            }
            GivenSource::Manifests(images) => Some(self.put_index(catalog, pulled, images).await?),
        };
        let mut tags = Vec::new();
        for tag in &case.given.tags {
            tags.extend(tag.parse::<Tag>().ok());
        }
        if let Some(document) = document {
            tags.push(tag_of(pulled));
            self.put_document(pulled, &document, tags).await?;
        }
        Ok(())
    }

    /// A single image; one with requirements is in an index of one, which states them.
    async fn put_index_or_image(
        &mut self,
        catalog: &Catalog,
        at: &ImageReference,
        images: &[GivenImage],
    ) -> Result<Document, OperationError> {
        match images {
            [image] if image.features.is_empty() => {
                let name = image.name.clone().unwrap_or_else(|| at.to_string());
                let platform = platform_of(catalog, image);
                Ok(self.put_image(at, &name, image, &platform).await?.into())
            }
            images => self.put_index(catalog, at, images).await,
        }
    }

    async fn put_index(
        &mut self,
        catalog: &Catalog,
        at: &ImageReference,
        images: &[GivenImage],
    ) -> Result<Document, OperationError> {
        let mut entries = Vec::with_capacity(images.len());
        for (position, image) in images.iter().enumerate() {
            let usual = || format!("image {} of {at}", position + 1);
            let name = image.name.clone().unwrap_or_else(usual);
            let platform = platform_of(catalog, image);
            let manifest = self.put_image(at, &name, image, &platform).await?;
            let features = image.features.iter().map(ToString::to_string).collect();
            let platform = Platform {
                features,
                ..platform
            };
            entries.push(
                Document::from(manifest)
                    .descriptor()
                    .with_platform(&platform),
            );
        }
        Ok(Index::new(entries).into())
    }

    /// An image besides the source: a layer image, or an entry of a collection.
    async fn put_needed(&mut self, case: &TestCase, needed: &Needed) -> Result<(), OperationError> {
        let at = &needed.image;
        let name = at.to_string();
        let given = given_image(&case.given, at).cloned().unwrap_or(GivenImage {
            layers: 1,
            ..GivenImage::default()
        });
        let platforms = match &given.platform {
            Some(platform) => vec![platform.clone()],
            None => needed.platforms.clone(),
        };
        let mut images = Vec::with_capacity(platforms.len());
        for platform in &platforms {
            images.push((self.put_image(at, &name, &given, platform).await?, platform));
        }
        let document: Document = match images.as_slice() {
            [(only, _)] => only.clone().into(),
            images => {
                let entries = images.iter().map(|(manifest, platform)| {
                    let descriptor = Document::from(manifest.clone()).descriptor();
                    descriptor.with_platform(platform)
                });
                Index::new(entries.collect()).into()
            }
        };
        self.put_document(at, &document, vec![tag_of(&unpinned(at))])
            .await
    }

    /// Stores an image's manifest and configuration.
    async fn put_image(
        &mut self,
        at: &ImageReference,
        name: &str,
        image: &GivenImage,
        platform: &Platform,
    ) -> Result<Manifest, OperationError> {
        let (manifest, config) = made(name, image, platform)?;
        let repository = storage_of(at)?;
        let store = self.registry.store();
        let stored = store.put_blob(&repository, config.digest(), config.bytes().clone());
        stored
            .await
            .map_err(|error| OperationError::Registry(RegistryError::Broken(error.to_string())))?;
        self.put_document(at, &manifest.clone().into(), Vec::new())
            .await?;
        let names = self.names.entry(manifest.digest().clone()).or_default();
        names.push(name.to_owned());
        Ok(manifest)
    }

    async fn put_document(
        &self,
        at: &ImageReference,
        document: &Document,
        tags: Vec<Tag>,
    ) -> Result<(), OperationError> {
        let options = PutManifest {
            require_references: false,
            origin: if at.host().is_some() {
                metahub_store::Origin::Upstream
            } else {
                metahub_store::Origin::Pushed
            },
            ..PutManifest::pushed(tags)
        };
        let repository = storage_of(at)?;
        let store = self.registry.store();
        let put = store.put_manifest(&repository, document, options).await;
        put.map_err(|error| OperationError::Registry(error.into()))
    }
}

/// An image that is needed besides the source.
struct Needed {
    image: ImageReference,
    /// Its platforms, if the test does not state them.
    platforms: Vec<Platform>,
}

/// The images of the collection, the layer images, and those that are given by name, each once.
fn needed(catalog: &Catalog, case: &TestCase, profile: &Composed) -> Vec<Needed> {
    let mut all: Vec<Needed> = Vec::new();
    let mut add = |image: &ImageReference, platforms: Vec<Platform>| {
        if !all.iter().any(|known| known.image == *image) {
            all.push(Needed {
                image: image.clone(),
                platforms,
            });
        }
    };
    let tag = tag_of(&case.pull);
    let collection = match case.given.source {
        GivenSource::Usual => catalog.collection(case.pull.name(), &tag),
        _ => None,
    };
    let mut platforms: Vec<Platform> = Vec::new();
    for entry in collection.into_iter().flat_map(|c| &c.entries) {
        let platform = platform_of_entry(catalog, entry);
        platforms.push(platform.clone());
        add(&entry.image, vec![platform]);
    }
    match &case.given.source {
        GivenSource::Usual => {}
        GivenSource::Image(image) => platforms.push(platform_of(catalog, image)),
        GivenSource::Manifests(images) => {
            platforms.extend(images.iter().map(|image| platform_of(catalog, image)));
        }
    }
    platforms.push(Platform::linux_amd64());
    let mut machines: Vec<Platform> = Vec::new();
    for platform in platforms {
        let machine = Platform::new(&platform.os, &platform.architecture);
        if !machines.contains(&machine) {
            machines.push(machine);
        }
    }
    for action in profile.actions() {
        match &action.args {
            Args::ManifestAdd(adds) => {
                for layer in &adds.layers {
                    add(layer, machines.clone());
                }
            }
            Args::Redirect(redirect) => {
                let name = redirect.to.as_ref().unwrap_or(case.pull.name()).clone();
                let tag = redirect.to_tag.as_ref().unwrap_or(&tag).clone();
                // As clients name it: it may begin with a host.
                let Ok(target) = format!("{name}:{tag}").parse::<ImageReference>() else {
                    continue;
                };
                let is_source = (target.host(), target.name())
                    == (case.pull.host(), case.pull.name())
                    && tag == tag_of(&case.pull);
                if !is_source {
                    add(&target, machines.clone());
                }
            }
            _ => {}
        }
    }
    for (image, _) in &case.given.images {
        add(image, machines.clone());
    }
    all
}

fn given_image<'g>(given: &'g Given, at: &ImageReference) -> Option<&'g GivenImage> {
    let same = |image: &ImageReference| {
        (image.host(), image.name(), image.reference()) == (at.host(), at.name(), at.reference())
    };
    let found = given.images.iter().find(|(image, _)| same(image));
    found.map(|(_, image)| image)
}

/// The reference of the image that is made for `image`: an image named by digest gets a tag of that
/// digest, since its content is unknown here.
fn unpinned(image: &ImageReference) -> ImageReference {
    let tag = image.digest().and_then(|digest| digest.hex().parse().ok());
    match tag {
        Some(tag) => {
            let (host, name) = (image.host().cloned(), image.name().clone());
            ImageReference::new(host, name, Reference::Tag(tag))
        }
        None => image.clone(),
    }
}

fn tag_of(image: &ImageReference) -> Tag {
    match image.reference() {
        Reference::Tag(tag) => tag,
        Reference::Digest(_) => Tag::latest(),
    }
}

/// The platform of a given image: as written, else that of the CPU target that it requires.
fn platform_of(catalog: &Catalog, image: &GivenImage) -> Platform {
    let of_target = || {
        let target = image.features.iter().find_map(|feature| feature.target())?;
        let platform = catalog.graph().oci_platform(target);
        Some(Platform::new("linux", &platform.architecture))
    };
    let written = image.platform.clone();
    written
        .or_else(of_target)
        .unwrap_or_else(Platform::linux_amd64)
}

/// The same of a collection's entry.
fn platform_of_entry(catalog: &Catalog, entry: &Entry) -> Platform {
    let target = entry.requires.iter().find_map(|feature| feature.target());
    let of_target = target.map(|target| catalog.graph().oci_platform(target).architecture);
    let written = entry.platform.as_ref();
    let os = written.and_then(|platform| platform.os.as_deref());
    let architecture = written.and_then(|platform| platform.architecture.clone());
    let architecture = architecture.or(of_target);
    Platform {
        variant: written.and_then(|platform| platform.variant.clone()),
        os_version: written.and_then(|platform| platform.os_version.clone()),
        ..Platform::new(
            os.unwrap_or("linux"),
            architecture.as_deref().unwrap_or("amd64"),
        )
    }
}
