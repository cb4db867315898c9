//! The form of cosign's signatures before bundles: a manifest under the tag `sha256-….sig`, whose
//! layers are payloads in the form "simple signing", each with its signature in an annotation.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use metahub_oci::{Digest, Tag};
use serde_json::Value;

use crate::Unverified;
use crate::key::PublicKey;

/// The media type of a layer that is signed.
pub const SIMPLE_SIGNING_TYPE: &str = "application/vnd.dev.cosign.simplesigning.v1+json";
/// The annotation of such a layer that holds its signature, in base64.
pub const SIGNATURE_ANNOTATION: &str = "dev.cosignproject.cosign/signature";

/// The tag under which signatures of a manifest are found.
#[must_use]
pub fn signature_tag(manifest: &Digest) -> Option<Tag> {
    let algorithm = manifest.algorithm().as_str();
    format!("{algorithm}-{}.sig", manifest.hex()).parse().ok()
}

/// Verifies that `signature`, in base64, is one of `payload` by `key`, and that the payload is
/// about `manifest`.
///
/// # Errors
/// A payload of another form, by another key, or about another manifest.
pub fn verify_simple(
    payload: &[u8],
    signature: &str,
    manifest: &Digest,
    key: &PublicKey,
) -> Result<(), Unverified> {
    let signature = STANDARD.decode(signature);
    let signature = signature.map_err(|_| Unverified::Form("expected base64"))?;
    if !key.verifies(payload, &signature) {
        return Err(Unverified::Key);
    }
    let payload: Value = serde_json::from_slice(payload)
        .map_err(|_| Unverified::Form("expected a payload in JSON"))?;
    if payload.pointer("/critical/type").and_then(Value::as_str)
        != Some("cosign container image signature")
    {
        return Err(Unverified::Form("expected a signature of an image"));
    }
    let signed = payload.pointer("/critical/image/docker-manifest-digest");
    if signed.and_then(Value::as_str) == Some(manifest.as_str()) {
        Ok(())
    } else {
        Err(Unverified::Subject)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::PrivateKey;

    #[test]
    fn a_payload_verifies_by_its_key_and_for_its_manifest_only() {
        let key = PrivateKey::from_pem(include_str!("../tests/keys/plain.pem"), None).unwrap();
        let stranger = PublicKey::from_pem(include_str!("../tests/keys/cosign.pub")).unwrap();
        let (digest, other) = (Digest::sha256(b"a"), Digest::sha256(b"b"));
        let payload = format!(
            r#"{{"critical":{{"identity":{{"docker-reference":"x"}},"image":{{"docker-manifest-digest":"{digest}"}},"type":"cosign container image signature"}},"optional":null}}"#
        );
        let signature = STANDARD.encode(key.sign(payload.as_bytes()).unwrap());
        let verify = |payload: &str, digest, key: &PublicKey| {
            verify_simple(payload.as_bytes(), &signature, digest, key)
        };
        assert_eq!(verify(&payload, &digest, key.public()), Ok(()));
        assert_eq!(
            verify(&payload, &other, key.public()),
            Err(Unverified::Subject)
        );
        assert_eq!(verify(&payload, &digest, &stranger), Err(Unverified::Key));
        let changed = payload.replace(digest.as_str(), other.as_str());
        assert_eq!(verify(&changed, &other, key.public()), Err(Unverified::Key));
        assert_eq!(
            signature_tag(&digest).unwrap().to_string(),
            format!("sha256-{}.sig", digest.hex())
        );
    }
}
