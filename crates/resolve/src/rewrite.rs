//! Rewrites documents: all other fields stay unchanged and in place.

use metahub_oci::{Descriptor, Document, DocumentError, Index, JsonMap, MediaType};
use serde_json::Value;

/// The document that `map` makes, as compact JSON in the map's own order.
pub(crate) fn document(map: JsonMap, media_type: &MediaType) -> Result<Document, DocumentError> {
    let bytes = Value::Object(map).to_string().into();
    Document::parse(bytes, Some(media_type))
}

/// The same index with other entries. Returns it untouched if nothing changes, so that a document
/// that is fine as it is keeps its bytes. A derived index is about nothing that its source was
/// about, so it has no `subject`.
pub(crate) fn with_entries(index: &Index, entries: Vec<Descriptor>) -> Index {
    if entries == index.manifests() {
        return index.clone();
    }
    let derived = index.with_manifests(entries);
    if derived.subject().is_none() {
        return derived;
    }
    let mut map = derived.as_json().clone();
    map.shift_remove("subject");
    let media_type = Document::from(index.clone()).media_type().clone();
    match document(map, &media_type) {
        Ok(Document::Index(index)) => index,
        // It has been parsed before, with more in it.
        _ => derived,
    }
}

/// The same descriptor with its JSON changed.
pub(crate) fn edited(descriptor: &Descriptor, edit: impl FnOnce(&mut JsonMap)) -> Descriptor {
    let mut map = descriptor.as_json().clone();
    edit(&mut map);
    // What makes it a descriptor is not edited, so it stays one.
    Descriptor::from_json(&Value::Object(map)).unwrap_or_else(|_| descriptor.clone())
}

/// Takes one annotation out of a descriptor, and `annotations` itself when none is left.
pub(crate) fn remove_annotation(map: &mut JsonMap, key: &str) {
    let Some(annotations) = map.get_mut("annotations").and_then(Value::as_object_mut) else {
        return;
    };
    if annotations.shift_remove(key).is_some() && annotations.is_empty() {
        map.shift_remove("annotations");
    }
}
