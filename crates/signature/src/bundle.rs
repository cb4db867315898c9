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
use crate::sign_error::SignError;

/// The media type of a bundle, and the artifact type of a manifest with one.
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
///
/// # Errors
/// A key that cannot be used.
pub fn sign(key: &PrivateKey, manifest: &Digest) -> Result<Vec<u8>, SignError> {
    let payload = statement(manifest);
    let signature = key.sign(&pre_authentication(&payload))?;
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
    serde_json::to_vec(&bundle).map_err(|error| SignError(error.to_string()))
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
        let bundle = sign(&key(), &digest).unwrap();
        assert_eq!(bundle, sign(&key(), &digest).unwrap(), "deterministic");
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
        let mut bundle: Value = serde_json::from_slice(&sign(&key(), &digest).unwrap()).unwrap();
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
        let sig = key().sign(&pre_authentication(&payload)).unwrap();
        let mut bundle: Value = serde_json::from_slice(&sign(&key(), &digest).unwrap()).unwrap();
        bundle["dsseEnvelope"]["payload"] = STANDARD.encode(payload).into();
        bundle["dsseEnvelope"]["signatures"][0]["sig"] = STANDARD.encode(sig).into();
        let bundle = serde_json::to_vec(&bundle).unwrap();
        assert!(matches!(
            verify_bundle(&bundle, &digest, key().public()),
            Err(Unverified::Form(_))
        ));
    }

    /// Every way in which a bundle may be wrong, from one that is right.
    #[test]
    fn what_is_not_known_is_not_verified() {
        type Change = fn(&mut Value);
        let digest = Digest::sha256(b"a");
        let right: Value = serde_json::from_slice(&sign(&key(), &digest).unwrap()).unwrap();
        let verify = |bundle: &Value| {
            let bytes = serde_json::to_vec(bundle).unwrap();
            verify_bundle(&bytes, &digest, key().public())
        };
        assert_eq!(verify(&right), Ok(()));
        let cases: &[(&str, Change)] = &[
            ("no media type", |b| drop(b["mediaType"].take())),
            ("another media type", |b| {
                b["mediaType"] = "application/json".into();
            }),
            ("no envelope", |b| drop(b["dsseEnvelope"].take())),
            ("a message signature", |b| {
                b["messageSignature"] = b["dsseEnvelope"].take();
            }),
            ("another payload type", |b| {
                b["dsseEnvelope"]["payloadType"] = "text/plain".into();
            }),
            ("no payload", |b| b["dsseEnvelope"]["payload"] = "".into()),
            ("no base64", |b| b["dsseEnvelope"]["payload"] = "{}".into()),
            ("a payload that is a number", |b| {
                b["dsseEnvelope"]["payload"] = 1.into();
            }),
            ("no signatures", |b| {
                b["dsseEnvelope"]["signatures"] = Value::Array(Vec::new());
            }),
            ("an empty signature", |b| {
                b["dsseEnvelope"]["signatures"][0]["sig"] = "".into();
            }),
            ("a signature of zeros", |b| {
                let zeros = STANDARD.encode([0x30, 6, 2, 1, 0, 2, 1, 0]);
                b["dsseEnvelope"]["signatures"][0]["sig"] = zeros.into();
            }),
            ("a signature that is cut", |b| {
                let sig = &mut b["dsseEnvelope"]["signatures"][0]["sig"];
                let whole = STANDARD.decode(sig.as_str().unwrap()).unwrap();
                *sig = STANDARD.encode(&whole[..whole.len() - 1]).into();
            }),
            ("a signature with more behind it", |b| {
                let sig = &mut b["dsseEnvelope"]["signatures"][0]["sig"];
                let mut whole = STANDARD.decode(sig.as_str().unwrap()).unwrap();
                whole.push(0);
                *sig = STANDARD.encode(&whole).into();
            }),
            ("a list", |b| *b = Value::Array(vec![b.take()])),
            ("null", |b| *b = Value::Null),
        ];
        for (what, change) in cases {
            let mut bundle = right.clone();
            change(&mut bundle);
            assert!(verify(&bundle).is_err(), "{what}: {bundle}");
        }
        // What else a bundle says does not count: the key alone does.
        let mut hinted = right;
        hinted["verificationMaterial"]["publicKey"]["hint"] = "another".into();
        hinted["unknown"] = true.into();
        assert_eq!(verify(&hinted), Ok(()));
    }

    /// Payloads that the key has signed, and that say nothing, or something else.
    #[test]
    fn a_signed_payload_counts_for_what_it_states_only() {
        let (digest, other) = (Digest::sha256(b"a"), Digest::sha256(b"b"));
        let verify = |payload: &str| {
            let sig = key().sign(&pre_authentication(payload.as_bytes())).unwrap();
            let bundle = serde_json::json!({
                "mediaType": BUNDLE_TYPE,
                "dsseEnvelope": {
                    "payload": STANDARD.encode(payload),
                    "payloadType": PAYLOAD_TYPE,
                    "signatures": [{"sig": STANDARD.encode(sig)}],
                },
            });
            verify_bundle(bundle.to_string().as_bytes(), &digest, key().public())
        };
        let right = String::from_utf8(statement(&digest)).unwrap();
        assert_eq!(verify(&right), Ok(()));
        let hex = digest.hex();
        for (what, payload) in [
            ("nothing", String::new()),
            ("no JSON", "x".to_owned()),
            ("an empty object", "{}".to_owned()),
            ("another digest", right.replace(hex, other.hex())),
            (
                "a digest in capitals",
                right.replace(hex, &hex.to_uppercase()),
            ),
            ("a part of the digest", right.replace(hex, &hex[..32])),
            ("another algorithm", right.replace("sha256", "sha512")),
            (
                "another type of statement",
                right.replace("Statement/v1", "Statement/v0.1"),
            ),
            ("no subject", right.replace("\"subject\"", "\"subjects\"")),
            (
                "an attestation",
                right.replace("cosign/sign/v1", "cosign/attest/v1"),
            ),
            ("more behind it", format!("{right}{right}")),
        ] {
            assert!(verify(&payload).is_err(), "{what}: {payload}");
        }
    }

    proptest! {
        #[test]
        fn an_envelope_of_anything_verifies_nothing(
            payload in "\\PC{0,60}", sig in "[A-Za-z0-9+/=]{0,100}", kind in "\\PC{0,30}"
        ) {
            let bundle = serde_json::json!({
                "mediaType": BUNDLE_TYPE,
                "dsseEnvelope": {
                    "payload": STANDARD.encode(payload),
                    "payloadType": kind,
                    "signatures": [{"sig": sig}],
                },
            });
            let digest = Digest::sha256(b"a");
            let bytes = bundle.to_string();
            prop_assert!(verify_bundle(bytes.as_bytes(), &digest, key().public()).is_err());
        }

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
            let mut bundle = sign(&key(), &digest).unwrap();
            let at = at.index(bundle.len());
            bundle[at] = with;
            prop_assert!(verify_bundle(&bundle, &other, key().public()).is_err());
        }
    }
}
