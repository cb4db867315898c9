//! The manifest that makes a bundle a referrer of the manifest that it signs.

use std::fmt;

use bytes::Bytes;
use metahub_oci::{Descriptor, Digest, MediaType};
use serde_json::json;

use crate::bundle::{BUNDLE_TYPE, sign};
use crate::envelope::PREDICATE;
use crate::key::PrivateKey;
use crate::sign_error::SignError;

/// The configuration of a manifest that has none (image specification, "empty descriptor").
pub const EMPTY_CONFIG: &[u8] = b"{}";

/// A signature as a registry stores it: a manifest that refers to the signed one, and the bundle,
/// which is its only layer. Its configuration is [`EMPTY_CONFIG`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Referrer {
    /// The manifest (`application/vnd.oci.image.manifest.v1+json`).
    pub manifest: Bytes,
    /// The bundle.
    pub bundle: Bytes,
}

/// What signs manifests. May block.
pub trait Signer: fmt::Debug + Send + Sync {
    /// The key, by the digest of its public key's DER form.
    fn fingerprint(&self) -> &Digest;

    /// Signs the manifest that `subject` describes. The same for the same key and subject.
    ///
    /// # Errors
    /// A key that cannot be used now.
    fn sign(&self, subject: &Descriptor) -> Result<Referrer, SignError>;
}

impl Signer for PrivateKey {
    fn fingerprint(&self) -> &Digest {
        self.public().fingerprint()
    }

    fn sign(&self, subject: &Descriptor) -> Result<Referrer, SignError> {
        Referrer::sign(self, subject)
    }
}

impl Referrer {
    /// Signs the manifest that `subject` describes. The same for the same key and subject: it says
    /// no time.
    ///
    /// # Errors
    /// A key that cannot be used.
    pub fn sign(key: &PrivateKey, subject: &Descriptor) -> Result<Self, SignError> {
        let bundle = Bytes::from(sign(key, subject.digest())?);
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": MediaType::OCI_MANIFEST,
            "artifactType": BUNDLE_TYPE,
            "config": {
                "mediaType": MediaType::OCI_EMPTY,
                "digest": Digest::sha256(EMPTY_CONFIG),
                "size": EMPTY_CONFIG.len(),
            },
            "layers": [{
                "mediaType": BUNDLE_TYPE,
                "digest": Digest::sha256(&bundle),
                "size": bundle.len(),
            }],
            "subject": {
                "mediaType": subject.media_type().as_str(),
                "digest": subject.digest(),
                "size": subject.size(),
            },
            "annotations": {
                "dev.sigstore.bundle.content": "dsse-envelope",
                "dev.sigstore.bundle.predicateType": PREDICATE,
            },
        });
        Ok(Self {
            manifest: manifest.to_string().into(),
            bundle,
        })
    }
}

#[cfg(test)]
mod tests {
    use metahub_oci::Document;

    use super::*;

    #[test]
    fn a_signature_is_a_referrer_with_the_bundle_as_its_layer() {
        let key = PrivateKey::from_pem(include_str!("../tests/keys/plain.pem"), None).unwrap();
        let digest = Digest::sha256(b"a");
        let subject = Descriptor::new(MediaType::oci_index(), digest.clone(), 1);
        let signed = Referrer::sign(&key, &subject).unwrap();
        assert_eq!(signed, Signer::sign(&key, &subject).unwrap());
        let document = Document::parse(signed.manifest.clone(), None).unwrap();
        assert_eq!(document.artifact_type(), Some(BUNDLE_TYPE));
        assert_eq!(document.subject().unwrap().digest(), &digest);
        let Document::Manifest(manifest) = document else {
            panic!("a manifest");
        };
        assert_eq!(
            manifest.layers()[0].digest(),
            &Digest::sha256(&signed.bundle)
        );
    }
}
