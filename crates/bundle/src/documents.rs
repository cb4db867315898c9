//! Profile and collection documents in a bundle: an artifact (image specification, "Guidelines
//! for Artifact Usage") whose layers are the documents.

use bytes::{Bytes, BytesMut};
use metahub_oci::{Descriptor, Digest, Document, Manifest, MediaType};
use serde_json::{Value, json};

use crate::annotation::{DOCUMENT_TYPE, DOCUMENTS_TYPE};
use crate::{Bundle, BundleError};

/// Longest document that is taken, in bytes; the catalog takes no longer file.
const MAX_DOCUMENT: u64 = 4 * 1024 * 1024;
/// Most documents in one bundle.
const MAX_DOCUMENTS: usize = 10_000;
const EMPTY_TYPE: &str = "application/vnd.oci.empty.v1+json";
const EMPTY: &[u8] = b"{}";

/// Documents as content of a bundle.
#[derive(Clone, Debug)]
pub struct Documents {
    /// The entry of the bundle's index.
    pub entry: Value,
    /// All content, each with its digest.
    pub contents: Vec<(Digest, Bytes)>,
}

impl Documents {
    /// Packs texts.
    #[must_use]
    pub fn pack(texts: &[String]) -> Self {
        let mut contents = vec![(Digest::sha256(EMPTY), Bytes::from_static(EMPTY))];
        let mut layers = Vec::new();
        for text in texts {
            let bytes = Bytes::copy_from_slice(text.as_bytes());
            let digest = Digest::sha256(&bytes);
            layers.push(descriptor(DOCUMENT_TYPE, &digest, &bytes));
            contents.push((digest, bytes));
        }
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": MediaType::OCI_MANIFEST,
            "artifactType": DOCUMENTS_TYPE,
            "config": descriptor(EMPTY_TYPE, &Digest::sha256(EMPTY), EMPTY),
            "layers": layers,
        });
        let bytes = Bytes::from(manifest.to_string());
        let digest = Digest::sha256(&bytes);
        let mut entry = descriptor(MediaType::OCI_MANIFEST, &digest, &bytes);
        if let Some(entry) = entry.as_object_mut() {
            entry.insert("artifactType".to_owned(), DOCUMENTS_TYPE.into());
        }
        contents.push((digest, bytes));
        contents.sort_by(|a, b| a.0.cmp(&b.0));
        contents.dedup_by(|a, b| a.0 == b.0);
        Self { entry, contents }
    }

    /// Whether an entry of a bundle's index is one of documents.
    #[must_use]
    pub fn is(entry: &Descriptor) -> bool {
        let kind = entry.as_json().get("artifactType");
        kind.and_then(Value::as_str) == Some(DOCUMENTS_TYPE)
    }

    /// The documents of such an entry, verified. Blocks.
    pub fn unpack(bundle: &Bundle, entry: &Descriptor) -> Result<Vec<String>, BundleError> {
        let missing = |what, digest: &Digest| BundleError::Missing {
            what,
            digest: digest.clone(),
            image: "its documents".to_owned(),
        };
        let document = bundle.document(entry)?;
        let Some(Document::Manifest(manifest)) = document else {
            return Err(missing("manifest", entry.digest()));
        };
        documents(bundle, &manifest)?
            .into_iter()
            .map(|(digest, text)| text.ok_or_else(|| missing("document", &digest)))
            .collect()
    }
}

type Found = (Digest, Option<String>);

fn documents(bundle: &Bundle, manifest: &Manifest) -> Result<Vec<Found>, BundleError> {
    let layers = manifest.layers();
    if layers.len() > MAX_DOCUMENTS {
        return Err(bundle.malformed(format!(
            "it has {} documents: at most {MAX_DOCUMENTS} are taken",
            layers.len()
        )));
    }
    let mut found = Vec::with_capacity(layers.len());
    for layer in layers {
        let digest = layer.digest();
        if bundle.size(digest).is_some_and(|size| size > MAX_DOCUMENT) {
            return Err(bundle.malformed(format!(
                "the document {digest} is too large: at most {MAX_DOCUMENT} bytes are taken"
            )));
        }
        let Some(mut content) = bundle.content(digest) else {
            found.push((digest.clone(), None));
            continue;
        };
        let mut bytes = BytesMut::new();
        while let Some(chunk) = content.next_chunk()? {
            bytes.extend_from_slice(&chunk);
        }
        let text = String::from_utf8(bytes.to_vec())
            .map_err(|_| bundle.malformed(format!("the document {digest} is no UTF-8")))?;
        found.push((digest.clone(), Some(text)));
    }
    Ok(found)
}

fn descriptor(kind: &str, digest: &Digest, bytes: &[u8]) -> Value {
    json!({ "mediaType": kind, "digest": digest, "size": bytes.len() })
}
