//! `manifest-add`: on top of an image, the layers of another. Only documents are rewritten; no
//! layer is opened, and the image's own layers keep their digests, so a client that has them
//! fetches only what was added.

use metahub_catalog::Position;
use metahub_oci::{
    Descriptor, Document, DocumentError, ImageConfig, JsonMap, Manifest, MediaType, Platform,
};
use serde_json::Value;

use crate::add_error::{AddError, Role};
use crate::annotation::{BASE_DIGEST, BASE_NAME};
use crate::layers::MAX_LAYERS;
use crate::rewrite::document;

/// The image `base` with the layers of `added` on top: its manifest and its configuration.
///
/// Only layers are added. The configuration of `added` — environment, entry point, user, labels —
/// is not: a layer image brings files, the pulled image says how it is run. The derived documents
/// keep every other field of `base` in its place, `created` included, so that they depend on
/// their inputs alone; `subject` is dropped, since what is said about `base` is not said about
/// what is derived from it. A layer that `base` has already is added again, which does no harm:
/// the topmost files win, and clients fetch it once. History gets one entry for each added layer,
/// with `created_by`, if `base` has a history.
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
    add_layers_at(
        (base, base_config),
        (added, added_config),
        Position::After,
        created_by,
    )
}

/// Whether an image has the layers of `added` already, side by side.
pub(crate) fn has_layers(base: &ImageConfig, added: &ImageConfig) -> bool {
    let added = added.diff_ids();
    !added.is_empty() && base.diff_ids().windows(added.len()).any(|own| own == added)
}

/// The same at either end. Layers below the base's own are hidden by its files.
pub(crate) fn add_layers_at(
    (base, base_config): (&Manifest, &ImageConfig),
    (added, added_config): (&Manifest, &ImageConfig),
    position: Position,
    created_by: &str,
) -> Result<(Manifest, ImageConfig), AddError> {
    let config_descriptor = check(Role::Base, base, base_config)?;
    check(Role::Layer, added, added_config)?;
    check_platforms(base_config, added_config)?;
    if added.layers().is_empty() {
        return Err(AddError::NoLayers);
    }
    let new = added.layers().iter();
    let mut new = new
        .map(|layer| added_layer(layer, base.media_type()))
        .collect::<Result<Vec<_>, _>>()?;
    let mut layers = base.layers().to_vec();
    match position {
        Position::After => layers.append(&mut new),
        Position::Before => {
            new.append(&mut layers);
            layers = new;
        }
    }
    if layers.len() > MAX_LAYERS {
        return Err(AddError::TooManyLayers(layers.len()));
    }
    let config = derived_config(base_config, added_config, position, created_by)?;
    let descriptor = config_descriptor.with_content(
        config_descriptor.media_type().clone(),
        config.digest().clone(),
        config.bytes().len() as u64,
    );
    let manifest = derived_manifest(base, descriptor, layers)?;
    Ok((manifest, config))
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

/// A layer as it stands in a manifest of the type `manifest`.
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
    config: Descriptor,
    layers: Vec<Descriptor>,
) -> Result<Manifest, AddError> {
    let mut map = base.with_image(config, layers).as_json().clone();
    map.shift_remove("subject");
    // Docker's format has no annotations.
    let is_oci = base.media_type().as_str() == MediaType::OCI_MANIFEST;
    // What its publisher says of a base is of another one: the two would not fit together.
    if is_oci && annotation(&map, BASE_NAME).is_none() {
        annotate(&mut map, BASE_DIGEST, base.digest().as_str());
    }
    match document(map, base.media_type())? {
        Document::Manifest(manifest) => Ok(manifest),
        Document::Index(_) => Err(AddError::NotAnImage(Role::Base)),
    }
}

/// Says in a manifest that was derived from `source` from which one it was: by its digest, and by
/// `name`, a reference that leads to it. Nothing is changed in Docker's format, which has no
/// annotations, nor where the publisher says of another base.
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

/// Sets an annotation unless it is there: what the publisher says of the base stays.
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

fn derived_config(
    base: &ImageConfig,
    added: &ImageConfig,
    position: Position,
    created_by: &str,
) -> Result<ImageConfig, AddError> {
    let mut map = base.as_json().clone();
    let (lower, upper) = match position {
        Position::After => (base, added),
        Position::Before => (added, base),
    };
    let diff_ids = lower.diff_ids().iter().chain(upper.diff_ids());
    let diff_ids: Vec<Value> = diff_ids.map(|id| id.as_str().into()).collect();
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
        // Only a history that speaks of layers goes on speaking of them.
        if !history.is_empty() || base.diff_ids().is_empty() {
            let mut entry = JsonMap::new();
            entry.extend(created.map(|c| ("created".to_owned(), c)));
            entry.insert("created_by".into(), created_by.into());
            let entries = added
                .diff_ids()
                .iter()
                .map(|_| Value::Object(entry.clone()));
            let at = match position {
                Position::After => history.len(),
                Position::Before => 0,
            };
            history.splice(at..at, entries);
        }
    }
    Ok(ImageConfig::from_map(map)?)
}
