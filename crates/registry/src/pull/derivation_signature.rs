//! Signatures of derived content, as referrers beside its provenance. They are made once, when an
//! outcome is stored, on a blocking thread, and are the same each time: nothing piles up.

use bytes::Bytes;
use metahub_oci::{Descriptor, Digest, Document};
use metahub_signature::Signer;

use crate::Registry;
use crate::pull::derivation::digest_over;

/// A signature, and the referrer by which it is found.
pub(crate) struct Signature {
    pub(crate) bundle: Bytes,
    pub(crate) bundle_digest: Digest,
    pub(crate) referrer: Document,
}

impl Signature {
    /// Its size in the database.
    pub(crate) fn bytes(&self) -> u64 {
        (self.bundle.len() + self.referrer.bytes().len()) as u64
    }
}

/// A manifest could not be signed.
pub(crate) struct Unsigned;

impl Registry {
    /// The key of an outcome with signed manifests: an outcome that was stored without a signature,
    /// or with one by another key, is not found by it and is stored again.
    pub(crate) fn signed_key(&self, outcome: &Digest) -> Digest {
        match &self.settings().signer {
            Some(signer) => digest_over(&(outcome.as_str(), signer.fingerprint().as_str())),
            None => outcome.clone(),
        }
    }

    /// Signs `subjects`: a signature for each, or none without a key. A failure is logged and fails
    /// no pull.
    pub(crate) async fn signatures(
        &self,
        subjects: Vec<Descriptor>,
    ) -> Result<Vec<Signature>, Unsigned> {
        let signer = self.settings().signer.as_ref();
        let Some(signer) = signer.filter(|_| !subjects.is_empty()).cloned() else {
            return Ok(Vec::new());
        };
        let digests = subjects.iter().map(|subject| subject.digest().to_string());
        let digests = digests.collect::<Vec<_>>().join(" ");
        let signed = tokio::task::spawn_blocking(move || {
            subjects
                .iter()
                .map(|subject| sign(&*signer, subject))
                .collect::<Result<Vec<_>, _>>()
        });
        let signed = signed.await.unwrap_or_else(|error| Err(error.to_string()));
        let counters = self.counters();
        match signed {
            Ok(signatures) => {
                counters.signed.inc_by(signatures.len() as u64);
                Ok(signatures)
            }
            Err(problem) => {
                counters.sign_failures.inc();
                tracing::error!(
                    %digests, %problem,
                    "derived manifests are served without a signature: signing failed"
                );
                Err(Unsigned)
            }
        }
    }
}

fn sign(signer: &dyn Signer, subject: &Descriptor) -> Result<Signature, String> {
    let signed = signer.sign(subject).map_err(|error| error.to_string())?;
    let referrer = Document::parse(signed.manifest, None).map_err(|error| error.to_string())?;
    Ok(Signature {
        bundle_digest: Digest::sha256(&signed.bundle),
        bundle: signed.bundle,
        referrer,
    })
}
