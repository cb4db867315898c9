//! Signatures of what is derived: made once for each manifest and index that was made here, and the
//! same each time.

use std::sync::atomic::{AtomicBool, Ordering};

use metahub_oci::Descriptor;
use metahub_registry::{SignError, Signer};
use metahub_signature::{BUNDLE_TYPE, PrivateKey, PublicKey, Referrer, verify_bundle};

use super::*;

const KEY: &str = include_str!("../../../signature/tests/keys/plain.pem");
const OTHER: &str = include_str!("../../../signature/tests/keys/cosign.key");

fn key() -> PrivateKey {
    PrivateKey::from_pem(KEY, None).unwrap()
}

fn signing(signer: impl Signer + 'static) -> Settings {
    Settings {
        signer: Some(Arc::new(signer)),
        ..Settings::default()
    }
}

/// Signs when it can.
#[derive(Debug)]
struct Broken {
    key: PrivateKey,
    panics: bool,
    mended: Arc<AtomicBool>,
}

impl Signer for Broken {
    fn fingerprint(&self) -> &Digest {
        self.key.public().fingerprint()
    }

    fn sign(&self, subject: &Descriptor) -> Result<Referrer, SignError> {
        if self.mended.load(Ordering::SeqCst) {
            return Referrer::sign(&self.key, subject);
        }
        assert!(!self.panics, "the signer panics");
        Err(SignError("the smart card is gone".to_owned()))
    }
}

impl World {
    /// The bundles that refer to a manifest of `lab/app`.
    async fn bundles(&self, subject: &Digest) -> Vec<Vec<u8>> {
        self.bundles_in("lab/app", subject).await
    }

    async fn bundles_in(&self, place: &str, subject: &Digest) -> Vec<Vec<u8>> {
        let (app, operator) = (name(place), self.registry.operator());
        let repository = operator.read(&app);
        let listed = repository.referrers(subject, Some(BUNDLE_TYPE), None, 100);
        let mut found = Vec::new();
        for entry in listed.await.unwrap().manifests {
            let digest: Digest = entry["digest"].as_str().unwrap().parse().unwrap();
            let served = repository.manifest(&digest).await.unwrap();
            let manifest: Value = serde_json::from_slice(&served.bytes).unwrap();
            assert_eq!(manifest["subject"]["digest"], subject.as_str());
            let layer = manifest["layers"][0]["digest"].as_str().unwrap();
            found.push(self.read(place, layer).await);
        }
        found
    }

    /// How many signatures of a manifest there are; each has to be one of `key`.
    async fn signed(&self, subject: &Digest, key: &PublicKey) -> usize {
        let bundles = self.bundles(subject).await;
        let verified = |bundle: &&Vec<u8>| verify_bundle(bundle, subject, key).is_ok();
        bundles.iter().filter(verified).count()
    }

    /// The same store, as another process has it.
    async fn again(&self, settings: Settings) -> Self {
        Self::with(self.registry.store().clone(), settings).await
    }
}

#[tokio::test]
async fn what_is_derived_is_signed_once_and_nothing_else_is() {
    let world = World::with(Store::temporary().await.unwrap(), signing(key()));
    let world = world.await.filled().await;
    let (index, children) = world.index_of("zen3+one+two").await;
    let all = || children.iter().chain([&index]);
    for derived in all() {
        assert_eq!(world.signed(derived, key().public()).await, 1, "{derived}");
        assert_eq!(world.bundles(derived).await.len(), 1, "{derived}");
    }
    let signed = world.registry.counts().signed;
    assert_eq!(signed, all().count() as u64);
    let rows = world.rows().await;
    for _ in 0..3 {
        world.index_of("zen3+one+two").await;
        world
            .again(signing(key()))
            .await
            .index_of("zen3+one+two")
            .await;
    }
    assert_eq!(world.rows().await, rows, "nothing piles up");
    assert_eq!(world.registry.counts().signed, signed);
    // What its publisher made is the publisher's to sign.
    let app = name("lab/app");
    for tag in ["latest", "zen3", "clx"] {
        let tag: Tag = tag.parse().unwrap();
        let stored = world.registry.store().tag(&app, &tag).await.unwrap();
        let digest = stored.unwrap().digest.clone();
        assert!(world.bundles(&digest).await.is_empty(), "{tag}");
    }
    // One image that is left of an index, as it is.
    let served = world.pull("zen3", "lab/app:latest").await;
    assert!(!is_index(&served));
    assert!(world.bundles(&served.digest).await.is_empty());
}

#[tokio::test]
async fn what_is_redirected_to_as_it_is_is_not_signed() {
    const DOCUMENTS: &str = "
profile:
  name: moved
  actions: [{name: redirect, event: pre-manifest-get, args: {repository: lab/old, to: lab/app}}]
";
    let store = Store::temporary().await.unwrap();
    let world = World::of(store, signing(key()), DOCUMENTS).filled().await;
    let served = world.pull("moved", "lab/old:latest").await;
    assert!(is_index(&served));
    assert!(world.bundles_in("lab/old", &served.digest).await.is_empty());
    // Of the same index, what is left for a machine was made here.
    let narrowed = world
        .pull_as("zen3+moved", "lab/old:latest", Accepts::IndexOnly)
        .await
        .unwrap();
    assert_ne!(narrowed.digest, served.digest);
    let bundles = world.bundles_in("lab/old", &narrowed.digest).await;
    assert_eq!(bundles.len(), 1);
    assert_eq!(
        verify_bundle(&bundles[0], &narrowed.digest, key().public()),
        Ok(())
    );
}

#[tokio::test]
async fn a_key_that_comes_later_or_is_exchanged_signs_what_is_there() {
    let world = World::new().await.filled().await;
    let (index, children) = world.index_of("zen3+one").await;
    assert!(world.bundles(&index).await.is_empty());
    let with_key = world.again(signing(key())).await;
    assert_eq!(with_key.index_of("zen3+one").await.0, index);
    assert_eq!(world.signed(&index, key().public()).await, 1);
    let other = PrivateKey::from_pem(OTHER, Some("hunter2")).unwrap();
    let exchanged = world.again(signing(other.clone())).await;
    assert_eq!(exchanged.index_of("zen3+one").await.0, index);
    for derived in children.iter().chain([&index]) {
        assert_eq!(world.signed(derived, other.public()).await, 1);
        assert_eq!(world.bundles(derived).await.len(), 2, "{derived}");
    }
}

#[tokio::test]
async fn a_signer_that_fails_stops_no_pull_and_signs_later() {
    for panics in [false, true] {
        let mended = Arc::new(AtomicBool::new(false));
        let broken = || Broken {
            key: key(),
            panics,
            mended: Arc::clone(&mended),
        };
        let world = World::with(Store::temporary().await.unwrap(), signing(broken()));
        let world = world.await.filled().await;
        let (index, _) = world.index_of("zen3+one").await;
        assert!(world.bundles(&index).await.is_empty());
        assert_eq!(world.registry.counts().sign_failures, 1);
        mended.store(true, Ordering::SeqCst);
        let again = world.again(signing(broken())).await;
        assert_eq!(again.index_of("zen3+one").await.0, index);
        assert_eq!(world.signed(&index, key().public()).await, 1);
    }
}
