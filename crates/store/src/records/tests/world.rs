//! The names, digests and accounts that the random intents use.

use bytes::Bytes;
use metahub_oci::{Digest, Document, MediaType, RepositoryName, Tag};
use serde_json::{Value, json};

use crate::records::{Access, NewOutcome};
use crate::uploads::upload_id::UploadId;

pub(super) struct World {
    /// Two of an upstream, one of another, one without a host, one that is pushed to.
    pub(super) repositories: Vec<RepositoryName>,
    pub(super) tags: Vec<Tag>,
    /// Two small ones, and two in files.
    pub(super) blobs: Vec<(Digest, Access)>,
    /// Images, indexes over them, an artifact about one.
    pub(super) documents: Vec<Document>,
    /// Keys of outcomes.
    pub(super) keys: Vec<Digest>,
    pub(super) uploads: Vec<UploadId>,
}

fn descriptor(media_type: &str, digest: &Digest, size: u64) -> Value {
    json!({"mediaType": media_type, "digest": digest.as_str(), "size": size})
}

fn parse(document: &Value) -> Document {
    Document::parse(Bytes::from(document.to_string()), None).unwrap()
}

impl World {
    pub(super) fn new() -> Self {
        let blob = |bytes: &'static [u8], inline: bool| {
            let access = Access {
                size: bytes.len() as u64,
                body: inline.then(|| Bytes::from_static(bytes)),
            };
            (Digest::sha256(bytes), access)
        };
        let blobs = vec![
            blob(b"{}", true),
            blob(b"a configuration", true),
            blob(b"a layer in a file", false),
            blob(b"another layer in a file", false),
        ];
        let image = |config: usize, layers: &[usize]| {
            let of = |media_type: &str, at: usize| {
                descriptor(media_type, &blobs[at].0, blobs[at].1.size)
            };
            let layers = layers.iter().map(|at| of(MediaType::OCI_LAYER_GZIP, *at));
            parse(&json!({
                "schemaVersion": 2,
                "mediaType": MediaType::OCI_MANIFEST,
                "config": of(MediaType::OCI_CONFIG, config),
                "layers": layers.collect::<Vec<_>>(),
            }))
        };
        let mut documents = vec![image(0, &[2]), image(1, &[2, 3]), image(1, &[])];
        let index = |children: &[&Document]| {
            let children = children
                .iter()
                .map(|child| Value::Object(child.descriptor().as_json().clone()));
            parse(&json!({
                "schemaVersion": 2,
                "mediaType": MediaType::OCI_INDEX,
                "manifests": children.collect::<Vec<_>>(),
            }))
        };
        documents.push(index(&[&documents[0], &documents[1]]));
        documents.push(index(&[&documents[2]]));
        documents.push(parse(&json!({
            "schemaVersion": 2,
            "mediaType": MediaType::OCI_MANIFEST,
            "artifactType": "application/x-signature",
            "config": descriptor(MediaType::OCI_EMPTY, &blobs[0].0, blobs[0].1.size),
            "layers": [],
            "subject": Value::Object(documents[0].descriptor().as_json().clone()),
            "annotations": {"by": "somebody"},
        })));
        let names = ["quay.io/a", "quay.io/b", "ghcr.io/a", "lab", "lab/app"];
        let uploads = ["0", "1"].map(|digit| digit.repeat(32).parse().unwrap());
        Self {
            repositories: names.map(|name| name.parse().unwrap()).into(),
            tags: ["1", "latest"].map(|tag| tag.parse().unwrap()).into(),
            blobs,
            documents,
            keys: [b"1", b"2", b"3"].map(|key| Digest::sha256(key)).into(),
            uploads: uploads.into(),
        }
    }

    pub(super) fn digest(&self, document: usize) -> &Digest {
        self.documents[document].digest()
    }

    /// What a derived manifest was made from: nothing that is named by digest, one image, or two.
    pub(super) fn sources(&self, which: usize) -> Vec<String> {
        match which {
            0 => vec!["quay.io/a:1".to_owned()],
            1 => vec![format!("quay.io/a@{}", self.digest(0))],
            _ => vec![
                format!("quay.io/b@{}", self.digest(1)),
                format!("lab/app@{}", self.digest(2)),
            ],
        }
    }
}

/// An outcome of a manifest that is stored already.
pub(super) fn outcome(
    key: &Digest,
    repository: &RepositoryName,
    served: &Digest,
    bytes: u64,
) -> NewOutcome {
    NewOutcome {
        key: key.clone(),
        repository: repository.clone(),
        blobs: Vec::new(),
        manifests: Vec::new(),
        served: served.clone(),
        bytes,
    }
}
