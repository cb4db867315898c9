//! `manifest-add`: adds the layers of another image on top of an image. Only documents are
//! rewritten; no layer is opened, and the image's own layers keep their digests, so a client that
//! has them fetches only the added ones.

use std::collections::VecDeque;

use metahub_catalog::actions::Position;
use metahub_oci::{
    Descriptor, Digest, Document, DocumentError, ImageConfig, JsonMap, Manifest, MediaType,
    Platform,
};
use serde_json::Value;

use crate::add_error::{AddError, Role};
use crate::annotation::{BASE_DIGEST, BASE_NAME};
use crate::layers::MAX_LAYERS;
use crate::rewrite::document;

/// The image `base` with the layers of `added` on top: its manifest and its configuration.
///
/// Only layers are added. The configuration of `added` — environment, entry point, user, labels —
/// is not: a layer image provides files, the pulled image says how it is run. The derived documents
/// keep every other field of `base` in its place, `created` included, so that they depend on their
/// inputs alone; `subject` is dropped, since a statement about `base` is not one about the derived
/// image. A layer that `base` has already is added again, which does no harm: the topmost files
/// win, and clients fetch it once. History gets one entry for each added layer, with `created_by`,
/// if `base` has a history.
///
/// `base` must be an image ([`Manifest::is_image`]); other artifacts pass a profile unchanged,
/// which is the caller's to see to. What makes the result unusable or unsafe is an [`AddError`]:
/// images for different machines, layers to be fetched from elsewhere, layers that the format of
/// `base` has no name for.
pub fn add_layers(
    base: &Manifest,
    base_config: &ImageConfig,
    added: &Manifest,
    added_config: &ImageConfig,
    created_by: &str,
) -> Result<(Manifest, ImageConfig), AddError> {
    let mut additions = Additions::new(Position::After);
    additions.add((base, base_config), (added, added_config), created_by)?;
    additions.finish(base, base_config)
}

/// Layers on their way to either end of an image, of one layer image or of several: its documents
/// are made once. Layers below the image's own are hidden by its files.
pub(crate) struct Additions {
    position: Position,
    /// In their order, as are the others.
    layers: VecDeque<Descriptor>,
    diff_ids: VecDeque<Digest>,
    /// By what each was made.
    created_by: VecDeque<String>,
}

impl Additions {
    /// Nothing yet.
    pub(crate) fn new(position: Position) -> Self {
        Self {
            position,
            layers: VecDeque::new(),
            diff_ids: VecDeque::new(),
            created_by: VecDeque::new(),
        }
    }

    /// Whether the image will have the layers of `added` anyway, side by side.
    pub(crate) fn has(&self, base: &ImageConfig, added: &ImageConfig) -> bool {
        let added = added.diff_ids();
        let own = base.diff_ids().iter();
        let all: Vec<&Digest> = match self.position {
            Position::After => own.chain(&self.diff_ids).collect(),
            Position::Before => self.diff_ids.iter().chain(own).collect(),
        };
        !added.is_empty()
            && all
                .windows(added.len())
                .any(|own| own.iter().copied().eq(added))
    }

    /// The layers of `added`, beyond those that came before. Returns how many.
    pub(crate) fn add(
        &mut self,
        (base, base_config): (&Manifest, &ImageConfig),
        (added, added_config): (&Manifest, &ImageConfig),
        created_by: &str,
    ) -> Result<usize, AddError> {
        check(Role::Base, base, base_config)?;
        check(Role::Layer, added, added_config)?;
        check_platforms(base_config, added_config)?;
        let count = added.layers().len();
        if count == 0 {
            return Err(AddError::NoLayers);
        }
        let layers = added.layers().iter();
        let layers = layers.map(|layer| added_layer(layer, base.media_type()));
        let layers = layers.collect::<Result<Vec<_>, _>>()?;
        let all = base.layers().len() + self.layers.len() + count;
        if all > MAX_LAYERS {
            return Err(AddError::TooManyLayers(all));
        }
        let diff_ids = added_config.diff_ids().iter().cloned();
        let created_by = std::iter::repeat_n(created_by.to_owned(), count);
        match self.position {
            Position::After => {
                self.layers.extend(layers);
                self.diff_ids.extend(diff_ids);
                self.created_by.extend(created_by);
            }
            Position::Before => {
                prepend(&mut self.layers, layers.into_iter());
                prepend(&mut self.diff_ids, diff_ids);
                prepend(&mut self.created_by, created_by);
            }
        }
        Ok(count)
    }

    /// The image with all of them: its manifest and its configuration.
    pub(crate) fn finish(
        self,
        base: &Manifest,
        base_config: &ImageConfig,
    ) -> Result<(Manifest, ImageConfig), AddError> {
        let descriptor = check(Role::Base, base, base_config)?;
        let config = self.config(base_config)?;
        let descriptor = descriptor.with_content(
            descriptor.media_type().clone(),
            config.digest().clone(),
            config.bytes().len() as u64,
        );
        let own = base.layers().iter();
        let layers: Vec<&Descriptor> = match self.position {
            Position::After => own.chain(&self.layers).collect(),
            Position::Before => self.layers.iter().chain(own).collect(),
        };
        let manifest = derived_manifest(base, &descriptor, &layers)?;
        Ok((manifest, config))
    }

    fn config(&self, base: &ImageConfig) -> Result<ImageConfig, AddError> {
        let mut map = base.as_json().clone();
        let own = base.diff_ids().iter();
        let diff_ids: Vec<&Digest> = match self.position {
            Position::After => own.chain(&self.diff_ids).collect(),
            Position::Before => self.diff_ids.iter().chain(own).collect(),
        };
        let diff_ids = diff_ids.into_iter().map(|id| id.as_str().into()).collect();
        match map.get_mut("rootfs").and_then(Value::as_object_mut) {
            Some(rootfs) => {
                rootfs.insert("diff_ids".into(), Value::Array(diff_ids));
            }
            // An image without layers may have none.
            None => {
                let mut rootfs = JsonMap::new();
                rootfs.insert("type".into(), "layers".into());
                rootfs.insert("diff_ids".into(), Value::Array(diff_ids));
                map.insert("rootfs".into(), Value::Object(rootfs));
            }
        }
        let created = map.get("created").filter(|c| c.is_string()).cloned();
        if let Some(history) = map.get_mut("history").and_then(Value::as_array_mut) {
            // A history gets entries for the added layers only if it has entries for layers.
            if !history.is_empty() || base.diff_ids().is_empty() {
                let entries = self.created_by.iter().map(|created_by| {
                    let mut entry = JsonMap::new();
                    entry.extend(created.clone().map(|c| ("created".to_owned(), c)));
                    entry.insert("created_by".into(), created_by.as_str().into());
                    Value::Object(entry)
                });
                let at = match self.position {
                    Position::After => history.len(),
                    Position::Before => 0,
                };
                history.splice(at..at, entries);
            }
        }
        Ok(ImageConfig::from_map(map)?)
    }
}

fn prepend<T>(list: &mut VecDeque<T>, items: impl DoubleEndedIterator<Item = T>) {
    for item in items.rev() {
        list.push_front(item);
    }
}

/// Checks that manifest and configuration are one image's.
fn check<'a>(
    role: Role,
    manifest: &'a Manifest,
    config: &ImageConfig,
) -> Result<&'a Descriptor, AddError> {
    let descriptor = match manifest.config() {
        Some(descriptor) if manifest.is_image() => descriptor,
        _ => return Err(AddError::NotAnImage(role)),
    };
    if descriptor.digest() != config.digest() {
        return Err(AddError::OtherConfig {
            role,
            expected: descriptor.digest().clone(),
            found: config.digest().clone(),
        });
    }
    let (layers, diff_ids) = (manifest.layers().len(), config.diff_ids().len());
    if layers != diff_ids {
        return Err(AddError::LayerCount {
            role,
            layers,
            diff_ids,
        });
    }
    Ok(descriptor)
}

/// Both images are for the same operating system and architecture. Windows layers belong to one
/// version of the system, too.
fn check_platforms(base: &ImageConfig, added: &ImageConfig) -> Result<(), AddError> {
    let (base, layer) = (base.platform(), added.platform());
    let same_version = base.os != "windows" || base.os_version == layer.os_version;
    if base.same_machine(&layer) && same_version {
        return Ok(());
    }
    let text = |platform: &Platform| match &platform.os_version {
        Some(version) => format!("{platform} {version}"),
        None => platform.to_string(),
    };
    Err(AddError::Platform {
        base: text(&base),
        layer: text(&layer),
    })
}

/// A layer's descriptor in a manifest of the type `manifest`.
fn added_layer(layer: &Descriptor, manifest: &MediaType) -> Result<Descriptor, AddError> {
    if layer.has_urls() || layer.media_type().is_foreign_layer() {
        return Err(AddError::Foreign(layer.digest().clone()));
    }
    let media_type = layer.media_type().layer_in_family_of(manifest);
    let docker = manifest.as_str() == MediaType::DOCKER_MANIFEST;
    let known = match media_type.as_str() {
        MediaType::DOCKER_LAYER_GZIP => docker,
        MediaType::OCI_LAYER_GZIP
        | "application/vnd.oci.image.layer.v1.tar"
        | "application/vnd.oci.image.layer.v1.tar+zstd" => !docker,
        _ => false,
    };
    if !known {
        return Err(AddError::LayerType {
            digest: layer.digest().clone(),
            layer: layer.media_type().clone(),
            manifest: manifest.clone(),
            advice: if docker {
                "compress the layer image with gzip, or publish the pulled image in the OCI format"
            } else {
                "publish the layer image with gzip or zstd layers"
            },
        });
    }
    Ok(layer.with_content(media_type, layer.digest().clone(), layer.size()))
}

fn derived_manifest(
    base: &Manifest,
    config: &Descriptor,
    layers: &[&Descriptor],
) -> Result<Manifest, AddError> {
    let mut map = base.as_json().clone();
    let layers = layers.iter();
    let layers = layers.map(|layer| Value::Object(layer.as_json().clone()));
    map.insert("config".into(), Value::Object(config.as_json().clone()));
    map.insert("layers".into(), layers.collect());
    map.shift_remove("subject");
    // Docker's format has no annotations.
    let is_oci = base.media_type().as_str() == MediaType::OCI_MANIFEST;
    // If its publisher names a base, that is another one: name and digest would not belong
    // together.
    if is_oci && annotation(&map, BASE_NAME).is_none() {
        annotate(&mut map, BASE_DIGEST, base.digest().as_str());
    }
    match document(map, base.media_type())? {
        Document::Manifest(manifest) => Ok(manifest),
        Document::Index(_) => Err(AddError::NotAnImage(Role::Base)),
    }
}

/// Records `source` as the base of a manifest that was derived from it: its digest, and `name`, a
/// reference to it. Changes nothing in Docker's format, which has no annotations, nor where the
/// publisher names another base.
pub fn name_base(
    derived: &Manifest,
    source: &Manifest,
    name: &str,
) -> Result<Manifest, DocumentError> {
    let own = [BASE_DIGEST, BASE_NAME].map(|key| annotation(source.as_json(), key));
    let is_oci = derived.media_type().as_str() == MediaType::OCI_MANIFEST;
    if !is_oci || own != [None, None] {
        return Ok(derived.clone());
    }
    let mut map = derived.as_json().clone();
    // Layers that were added to what another action had made named that.
    if let Some(annotations) = map.get_mut("annotations").and_then(Value::as_object_mut) {
        annotations.shift_remove(BASE_DIGEST);
    }
    annotate(&mut map, BASE_DIGEST, source.digest().as_str());
    annotate(&mut map, BASE_NAME, name);
    match document(map, derived.media_type())? {
        Document::Manifest(manifest) => Ok(manifest),
        // Its media type says that it is none.
        Document::Index(_) => Ok(derived.clone()),
    }
}

fn annotation<'m>(map: &'m JsonMap, key: &str) -> Option<&'m str> {
    map.get("annotations")?.get(key)?.as_str()
}

/// Sets an annotation unless it is there: the publisher's statement about the base stays.
fn annotate(map: &mut JsonMap, key: &str, value: &str) {
    let annotations = map.entry("annotations").or_insert(Value::Null);
    if annotations.is_null() {
        *annotations = Value::Object(JsonMap::new());
    }
    if let Some(annotations) = annotations.as_object_mut() {
        annotations
            .entry(key)
            .or_insert_with(|| Value::String(value.to_owned()));
    }
}

#[cfg(test)]
mod tests {
    use metahub_oci::MediaType;
    use serde_json::json;

    use super::*;

    /// An image whose layers are called after `names`.
    fn image(names: &[&str], history: bool) -> (Manifest, ImageConfig) {
        let digests: Vec<Digest> = names.iter().map(|n| Digest::sha256(n.as_bytes())).collect();
        let mut config = json!({
            "architecture": "amd64", "os": "linux", "created": "2026-01-01T00:00:00Z",
            "rootfs": {"type": "layers", "diff_ids": digests}
        });
        if history {
            let entries = names.iter().map(|name| json!({"created_by": name}));
            config["history"] = entries.collect();
        }
        let Value::Object(config) = config else {
            unreachable!("an object was written")
        };
        let config = ImageConfig::from_map(config).unwrap();
        let layers = digests.iter().map(|digest| {
            let layer =
                json!({"mediaType": MediaType::OCI_LAYER_GZIP, "digest": digest, "size": 3});
            Descriptor::from_json(&layer).unwrap()
        });
        let descriptor = json!({
            "mediaType": MediaType::OCI_CONFIG, "digest": config.digest(),
            "size": config.bytes().len()
        });
        let descriptor = Descriptor::from_json(&descriptor).unwrap();
        (Manifest::new(descriptor, layers.collect()), config)
    }

    #[test]
    fn layers_that_are_added_at_once_come_to_what_they_come_to_one_after_another() {
        let base = ["a", "b"];
        for (bases, history, position) in [
            (&base[..], true, Position::After),
            (&base[..], true, Position::Before),
            (&base[..], false, Position::After),
            (&base[..0], true, Position::After),
            (&base[..0], true, Position::Before),
        ] {
            let base = image(bases, history);
            let added = [&["c"][..], &["d", "e"], &["f"]].map(|names| image(names, true));
            let mut together = Additions::new(position);
            let mut one_by_one = base.clone();
            for (number, added) in added.iter().enumerate() {
                let added = (&added.0, &added.1);
                let by = format!("by {number}");
                let whole = (&base.0, &base.1);
                let count = together.add(whole, added, &by).unwrap();
                assert_eq!(count, added.0.layers().len());
                assert!(together.has(&base.1, added.1));
                let mut alone = Additions::new(position);
                let present = (&one_by_one.0, &one_by_one.1);
                alone.add(present, added, &by).unwrap();
                one_by_one = alone.finish(present.0, present.1).unwrap();
            }
            let together = together.finish(&base.0, &base.1).unwrap();
            assert_eq!(together.1.bytes(), one_by_one.1.bytes());
            let both = [&together.0, &one_by_one.0].map(|m| Document::from(m.clone()));
            assert_eq!(both[0].bytes(), both[1].bytes());
            assert_eq!(together.0.layers().len(), bases.len() + 4);
        }
    }
}
