//! The signed content: an in-toto statement about one manifest, in a DSSE envelope.

use metahub_oci::Digest;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

pub(crate) const PAYLOAD_TYPE: &str = "application/vnd.in-toto+json";
const STATEMENT: &str = "https://in-toto.io/Statement/v1";
/// Says that the signature is one of `cosign sign`, which is for the image as a whole.
pub(crate) const PREDICATE: &str = "https://sigstore.dev/cosign/sign/v1";

#[derive(Deserialize)]
struct Statement {
    #[serde(rename = "_type")]
    kind: String,
    subject: Vec<Subject>,
    #[serde(rename = "predicateType")]
    predicate_type: String,
}

#[derive(Deserialize)]
struct Subject {
    #[serde(default)]
    digest: Map<String, Value>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Envelope {
    pub(crate) payload: String,
    pub(crate) payload_type: String,
    pub(crate) signatures: Vec<EnvelopeSignature>,
}

#[derive(Serialize, Deserialize)]
pub(crate) struct EnvelopeSignature {
    pub(crate) sig: String,
}

/// The statement that is signed for a manifest.
pub(crate) fn statement(manifest: &Digest) -> Vec<u8> {
    let statement = json!({
        "_type": STATEMENT,
        "subject": [{"digest": {(manifest.algorithm().as_str()): manifest.hex()}}],
        "predicateType": PREDICATE,
        "predicate": {},
    });
    statement.to_string().into_bytes()
}

/// Whether a payload is a statement that a manifest is signed; `None` if it is no such statement.
pub(crate) fn states(payload: &[u8], manifest: &Digest) -> Option<bool> {
    let statement: Statement = serde_json::from_slice(payload).ok()?;
    if statement.kind != STATEMENT || statement.predicate_type != PREDICATE {
        return None;
    }
    let algorithm = manifest.algorithm().as_str();
    Some(statement.subject.iter().any(|subject| {
        let digest = subject.digest.get(algorithm);
        digest.and_then(Value::as_str) == Some(manifest.hex())
    }))
}

/// The bytes that a signature of an envelope is over (DSSE, "PAE").
pub(crate) fn pre_authentication(payload: &[u8]) -> Vec<u8> {
    let (type_length, length) = (PAYLOAD_TYPE.len(), payload.len());
    let mut bytes = format!("DSSEv1 {type_length} {PAYLOAD_TYPE} {length} ").into_bytes();
    bytes.extend_from_slice(payload);
    bytes
}
