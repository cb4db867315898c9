//! What is served without deriving anything: what cannot run, and the one image that is left of an
//! index.

use super::*;

const COSIGN: &str = "application/vnd.dev.cosign.simplesigning.v1+json";

/// What cannot run, by tag: the media types of its configuration and of its layer.
const KINDS: [(&str, &str, &str); 9] = [
    // A signature of cosign has an image's configuration.
    ("sig", MediaType::OCI_CONFIG, COSIGN),
    ("sbom", MediaType::OCI_CONFIG, "text/spdx+json"),
    (
        "attestation",
        MediaType::OCI_CONFIG,
        "application/vnd.in-toto+json",
    ),
    (
        "ollama",
        MediaType::DOCKER_CONFIG,
        "application/vnd.ollama.image.model",
    ),
    (
        "model",
        "application/vnd.cncf.model.config.v1+json",
        "application/vnd.cncf.model.weight.v1.tar",
    ),
    (
        "chart",
        "application/vnd.cncf.helm.config.v1+json",
        "application/vnd.cncf.helm.chart.content.v1.tar+gzip",
    ),
    (
        "cache",
        "application/vnd.buildkit.cacheconfig.v0",
        MediaType::OCI_LAYER_GZIP,
    ),
    ("artifact", MediaType::OCI_EMPTY, MediaType::OCI_LAYER_GZIP),
    (
        "wasm",
        "application/vnd.wasm.config.v0+json",
        "application/wasm",
    ),
];

#[tokio::test]
async fn what_cannot_run_passes_untouched_under_every_profile() {
    let world = World::new().await.filled().await;
    let mut all = Vec::new();
    let mut listed = Vec::new();
    for (tag, config_type, layer_type) in KINDS {
        let config = world.blob("lab/app", b"{}".to_vec()).await;
        let layer = world.blob("lab/app", tag.as_bytes().to_vec()).await;
        let document = manifest(config_type, &config, layer_type, &layer);
        let (digest, size) = world.push("lab/app", tag, &document).await;
        let entry =
            json!({"mediaType": MediaType::OCI_MANIFEST, "digest": digest.as_str(), "size": size});
        listed.push(entry);
        all.push((tag, digest));
    }
    // The referrers tag, which says what each is; an index that says nothing; and none at all.
    let said = listed.iter().map(|entry| {
        let mut entry = entry.clone();
        entry["artifactType"] = json!(COSIGN);
        entry
    });
    all.push((
        "sha256-00",
        world.index("lab/app", "sha256-00", said.collect()).await,
    ));
    all.push(("silent", world.index("lab/app", "silent", listed).await));
    all.push(("none", world.index("lab/app", "none", Vec::new()).await));
    // A build cache of BuildKit is an index of layers.
    let layer = world.blob("lab/app", b"a cached layer".to_vec()).await;
    let cached = json!({"mediaType": MediaType::OCI_LAYER_GZIP, "digest": layer.0.as_str(), "size": layer.1});
    all.push((
        "buildcache",
        world.index("lab/app", "buildcache", vec![cached]).await,
    ));
    for (tag, digest) in &all {
        for login in [
            "one",
            "zen3",
            "zen3+one",
            "absent",
            "zen3+absent",
            "one+cuda=12.4",
        ] {
            for accepts in [Accepts::Index, Accepts::IndexOnly] {
                let served = world
                    .pull_as(login, &format!("lab/app:{tag}"), accepts)
                    .await;
                let served = served.unwrap_or_else(|error| panic!("{tag} as {login}: {error}"));
                assert_eq!(served.digest, *digest, "{tag} as {login}");
            }
        }
    }
    let total = world.registry.store().derived_total().await.unwrap();
    assert_eq!(total.records, 0);
    // An image gets its layer all the same, and its lack is told.
    assert_ne!(
        world.pull("one", "lab/app:base").await.digest,
        world.pull("zen3", "lab/app:base").await.digest
    );
    assert!(
        world
            .pull_as("absent", "lab/app:base", Accepts::Index)
            .await
            .is_err()
    );
}

#[tokio::test]
async fn the_one_image_that_is_left_is_served_itself_with_its_own_signature() {
    let world = World::new().await.filled().await;
    let source = world.pull("one", "lab/one:latest").await;
    assert!(!is_index(&source));
    let app = name("lab/app");
    let own = world
        .pull_as("zen3+cuda=12.4", "lab/app:latest", Accepts::Index)
        .await
        .unwrap();
    assert!(own.media_type.is_manifest());
    let zen3: Tag = "zen3".parse().unwrap();
    let pushed = world
        .registry
        .store()
        .tag(&app, &zen3)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(own.digest, pushed.digest, "byte for byte what was pushed");
    // A signature of it, as a referrer.
    let empty = world.blob("lab/app", b"{}".to_vec()).await;
    let mut signature = manifest(
        MediaType::OCI_EMPTY,
        &empty,
        "application/x-signature",
        &empty,
    );
    signature["artifactType"] = json!("application/x-signature");
    signature["subject"] = json!({"mediaType": MediaType::OCI_MANIFEST, "digest": own.digest.as_str(), "size": own.bytes.len()});
    let (signature, _) = world.push("lab/app", "signature", &signature).await;
    let listed = world
        .registry
        .operator()
        .read(&app)
        .referrers(&own.digest, None, None, 10)
        .await
        .unwrap();
    let digests: Vec<&Value> = listed
        .manifests
        .iter()
        .map(|entry| &entry["digest"])
        .collect();
    assert_eq!(digests, [signature.as_str()]);
    // One that is derived has its provenance alone.
    let layered = world.pull("zen3+cuda=12.4+one", "lab/app:latest").await;
    let listed = world
        .registry
        .operator()
        .read(&app)
        .referrers(&layered.digest, None, None, 10)
        .await
        .unwrap();
    let types = listed.manifests.iter().map(|entry| &entry["artifactType"]);
    assert_eq!(types.collect::<Vec<_>>(), [metahub_registry::DERIVATION]);
    // The source stays pullable under the same name, the caller.
    let nobody = metahub_catalog::Composed::none();
    let latest: Tag = "latest".parse().unwrap();
    let whole = world
        .registry
        .operator()
        .read(&app)
        .tagged(&latest, &nobody, Accepts::Index)
        .await
        .unwrap();
    let again = world
        .registry
        .operator()
        .read(&app)
        .manifest(&whole.digest)
        .await
        .unwrap();
    assert_eq!(again.bytes, whole.bytes);
    // Nothing was stored for it but what was derived.
    assert!(
        world
            .registry
            .store()
            .derived_total()
            .await
            .unwrap()
            .records
            <= 2
    );
}

#[tokio::test]
async fn an_index_stays_one_where_a_client_needs_it() {
    let world = World::new().await.filled().await;
    for (login, accepts, expected) in [
        ("zen3", Accepts::Index, false),
        ("zen3", Accepts::ManifestOnly, false),
        // It takes nothing else.
        ("zen3", Accepts::IndexOnly, true),
        // The machine may be of either architecture.
        ("cuda=12.4", Accepts::Index, true),
        ("cuda=12.4", Accepts::ManifestOnly, false),
        // The child is not what was pushed.
        ("zen3+one", Accepts::Index, true),
    ] {
        let served = world
            .pull_as(login, "lab/app:latest", accepts)
            .await
            .unwrap();
        assert_eq!(is_index(&served), expected, "{login} {accepts:?}");
    }
    // Both forms lead to the same image.
    let image = world
        .pull_as("zen3", "lab/app:latest", Accepts::Index)
        .await
        .unwrap();
    let index = world
        .pull_as("zen3", "lab/app:latest", Accepts::IndexOnly)
        .await
        .unwrap();
    let Document::Index(index) = Document::parse(index.bytes, None).unwrap() else {
        panic!("an index")
    };
    assert_eq!(*index.manifests()[0].digest(), image.digest);
}
