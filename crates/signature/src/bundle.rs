//! Sigstore bundles, version 0.3, whose verification material is a public key.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use metahub_oci::Digest;
use serde::{Deserialize, Serialize};

use crate::Unverified;
use crate::envelope::{
    Envelope, EnvelopeSignature, PAYLOAD_TYPE, pre_authentication, statement, states,
};
use crate::key::{PrivateKey, PublicKey};

/// The media type of a bundle, and the artifact type of a manifest that holds one.
pub const BUNDLE_TYPE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
/// What the media type of every version begins with.
const ANY_VERSION: &str = "application/vnd.dev.sigstore.bundle";

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Bundle {
    media_type: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    verification_material: Option<Material>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dsse_envelope: Option<Envelope>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Material {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    public_key: Option<Hint>,
}

#[derive(Serialize, Deserialize)]
struct Hint {
    #[serde(default)]
    hint: String,
}

/// Signs a manifest: a bundle in JSON, the same for the same key and manifest.
#[must_use]
pub fn sign(key: &PrivateKey, manifest: &Digest) -> Vec<u8> {
    let payload = statement(manifest);
    let signature = key.sign(&pre_authentication(&payload));
    let bundle = Bundle {
        media_type: BUNDLE_TYPE.to_owned(),
        verification_material: Some(Material {
            public_key: Some(Hint {
                hint: hint(key.public()),
            }),
        }),
        dsse_envelope: Some(Envelope {
            payload: STANDARD.encode(payload),
            payload_type: PAYLOAD_TYPE.to_owned(),
            signatures: vec![EnvelopeSignature {
                sig: STANDARD.encode(signature),
            }],
        }),
    };
    // Texts and lists of texts only: this cannot fail.
    serde_json::to_vec(&bundle).unwrap_or_default()
}

/// As cosign writes it: the digest of the key's DER form, in base64.
fn hint(key: &PublicKey) -> String {
    let hex = key.fingerprint().hex().as_bytes();
    let bytes = hex.chunks(2).filter_map(|pair| {
        let pair = std::str::from_utf8(pair).ok()?;
        u8::from_str_radix(pair, 16).ok()
    });
    STANDARD.encode(bytes.collect::<Vec<u8>>())
}

/// Verifies that `bundle` is a signature of `manifest` by `key`.
///
/// # Errors
/// A bundle of another form, by another key, or of another manifest.
pub fn verify_bundle(bundle: &[u8], manifest: &Digest, key: &PublicKey) -> Result<(), Unverified> {
    let bundle: Bundle =
        serde_json::from_slice(bundle).map_err(|_| Unverified::Form("expected a bundle"))?;
    if !bundle.media_type.starts_with(ANY_VERSION) {
        return Err(Unverified::Form("expected a Sigstore bundle"));
    }
    let envelope = bundle.dsse_envelope;
    let envelope = envelope.ok_or(Unverified::Form("expected a DSSE envelope"))?;
    if envelope.payload_type != PAYLOAD_TYPE {
        return Err(Unverified::Form("expected an in-toto statement"));
    }
    let payload = STANDARD.decode(&envelope.payload);
    let payload = payload.map_err(|_| Unverified::Form("expected base64"))?;
    let signed = pre_authentication(&payload);
    let by_key = envelope.signatures.iter().any(|one| {
        let signature = STANDARD.decode(&one.sig);
        signature.is_ok_and(|signature| key.verifies(&signed, &signature))
    });
    if !by_key {
        return Err(Unverified::Key);
    }
    match states(&payload, manifest) {
        None => Err(Unverified::Form("expected a statement of cosign sign")),
        Some(false) => Err(Unverified::Subject),
        Some(true) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    /// Made by `openssl ecparam -name prime256v1 -genkey -noout | openssl pkcs8 -topk8 -nocrypt`.
    const KEY: &str = include_str!("../tests/keys/plain.pem");
    const PUBLIC: &str = include_str!("../tests/keys/plain.pub");
    const OTHER: &str = include_str!("../tests/keys/cosign.pub");

    fn key() -> PrivateKey {
        PrivateKey::from_pem(KEY, None).unwrap()
    }

    #[test]
    fn what_is_signed_verifies_by_its_key_and_for_its_manifest_only() {
        let (digest, other) = (Digest::sha256(b"a"), Digest::sha256(b"b"));
        let bundle = sign(&key(), &digest);
        assert_eq!(bundle, sign(&key(), &digest), "deterministic");
        let public = PublicKey::from_pem(PUBLIC).unwrap();
        assert_eq!(verify_bundle(&bundle, &digest, &public), Ok(()));
        assert_eq!(
            verify_bundle(&bundle, &other, &public),
            Err(Unverified::Subject)
        );
        let stranger = PublicKey::from_pem(OTHER).unwrap();
        assert_eq!(
            verify_bundle(&bundle, &digest, &stranger),
            Err(Unverified::Key)
        );
    }

    #[test]
    fn a_payload_that_was_exchanged_is_refused() {
        let (digest, other) = (Digest::sha256(b"a"), Digest::sha256(b"b"));
        let mut bundle: Value = serde_json::from_slice(&sign(&key(), &digest)).unwrap();
        bundle["dsseEnvelope"]["payload"] = STANDARD.encode(statement(&other)).into();
        let bundle = serde_json::to_vec(&bundle).unwrap();
        let verified = verify_bundle(&bundle, &other, key().public());
        assert_eq!(verified, Err(Unverified::Key));
    }

    #[test]
    fn a_statement_of_another_kind_is_no_signature_of_the_image() {
        let digest = Digest::sha256(b"a");
        let payload = String::from_utf8(statement(&digest)).unwrap();
        let payload = payload
            .replace("cosign/sign/v1", "attestation/v1")
            .into_bytes();
        let sig = key().sign(&pre_authentication(&payload));
        let mut bundle: Value = serde_json::from_slice(&sign(&key(), &digest)).unwrap();
        bundle["dsseEnvelope"]["payload"] = STANDARD.encode(payload).into();
        bundle["dsseEnvelope"]["signatures"][0]["sig"] = STANDARD.encode(sig).into();
        let bundle = serde_json::to_vec(&bundle).unwrap();
        assert!(matches!(
            verify_bundle(&bundle, &digest, key().public()),
            Err(Unverified::Form(_))
        ));
    }

    proptest! {
        #[test]
        fn no_bytes_verify_and_none_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let digest = Digest::sha256(b"a");
            prop_assert!(verify_bundle(&bytes, &digest, key().public()).is_err());
        }

        #[test]
        fn a_bundle_with_one_byte_changed_verifies_nothing_else(
            at in any::<prop::sample::Index>(), with in any::<u8>()
        ) {
            let (digest, other) = (Digest::sha256(b"a"), Digest::sha256(b"b"));
            let mut bundle = sign(&key(), &digest);
            let at = at.index(bundle.len());
            bundle[at] = with;
            prop_assert!(verify_bundle(&bundle, &other, key().public()).is_err());
        }
    }
}
