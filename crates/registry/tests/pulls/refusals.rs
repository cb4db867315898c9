//! What is refused, and what the refusal says.

use super::*;

#[tokio::test]
async fn where_nothing_fits_the_error_names_what_was_wanted_and_what_there_is() {
    let world = World::new(Settings::default()).await;
    let image: ImageReference = "gromacs:2021.5".parse().unwrap();
    let profile = world.profile("cpu=power9le");
    let error = world
        .registry
        .operator()
        .read(image.name())
        .resolve(&image, &profile, None)
        .await
        .unwrap_err();
    assert!(
        matches!(error.root(), RegistryError::NothingFits { .. }),
        "{error}"
    );
    let text = error.to_string();
    assert!(
        text.contains("arch:power9le") && text.contains("arch:zen3"),
        "{text}"
    );
}

#[tokio::test]
async fn an_upstream_that_cannot_be_asked_hides_no_tags_of_a_collection() {
    // Nobody listens there.
    let upstreams = serde_json::json!({"upstreams": [{
        "host": "docker.io", "url": "http://127.0.0.1:1", "plain_http": true, "default": true
    }]});
    let upstreams = serde_json::from_value(upstreams).unwrap();
    let world = World::with_upstreams(Settings::default(), &upstreams).await;
    let image: ImageReference = "gromacs:2022".parse().unwrap();
    let repository = world.registry.operator();
    let repository = repository.read(image.name());
    let answer = repository
        .tagged(&tag("2022"), &world.profile("zen3"), Accepts::Index)
        .await;
    let error = answer.unwrap_err();
    assert!(
        matches!(error.root(), RegistryError::Upstream(_)),
        "{error}"
    );
    assert!(error.retry_after().is_some());
    let text = error.to_string();
    assert!(
        text.ends_with("; the collection of that name has the tags 2021.5"),
        "{text}"
    );
}

#[tokio::test]
async fn knowing_a_digest_opens_nothing() {
    let world = World::new(Settings::default()).await;
    let secret = Bytes::from_static(b"alice's own");
    let digest = Digest::sha256(&secret);
    world.push_blob("alice/private", &digest, secret).await;
    let (own, other) = (name("alice/private"), name("bob/public"));
    assert!(
        world
            .registry
            .operator()
            .read(&own)
            .blob_size(&digest)
            .await
            .is_ok()
    );
    assert!(matches!(
        world.registry.operator().read(&other).blob(&digest).await,
        Err(RegistryError::BlobUnknown(..))
    ));
    // A manifest that names it does not open it either.
    let manifest = format!(
        r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{{"mediaType":"application/vnd.oci.empty.v1+json","digest":"{digest}","size":11}},"layers":[]}}"#
    );
    let reference = Reference::Tag(tag("steal"));
    let refused = world
        .registry
        .operator()
        .push(&other)
        .unwrap()
        .push_manifest(&reference, None, manifest.into(), vec![])
        .await;
    assert!(
        matches!(refused, Err(RegistryError::MissingReference(_))),
        "{refused:?}"
    );
    assert!(
        world
            .registry
            .operator()
            .read(&other)
            .blob(&digest)
            .await
            .is_err()
    );
    // Nor does a mount out of a repository that the caller may not read.
    let repository = world.registry.operator().push(&other).unwrap();
    let mounted = repository.mount_from_anywhere(&digest, &|_| None).await;
    assert!(!mounted.unwrap());
}

#[tokio::test]
async fn one_switch_guards_every_way_to_delete() {
    let world = World::new(Settings {
        delete: false,
        ..Settings::default()
    })
    .await;
    let repository = name("qnib/featuretest");
    let nobody = Composed::none();
    let latest = tag("latest");
    let served = world
        .registry
        .operator()
        .read(&repository)
        .tagged(&latest, &nobody, Accepts::Index)
        .await
        .unwrap();
    // Without the handle that every way to delete needs, nothing is deleted.
    let refused = world.registry.operator().delete(&repository).err();
    assert!(
        matches!(refused, Some(RegistryError::Unsupported(_))),
        "{refused:?}"
    );
    assert!(
        world
            .registry
            .operator()
            .read(&repository)
            .manifest(&served.digest)
            .await
            .is_ok()
    );
}

#[tokio::test]
async fn an_offline_registry_says_what_is_not_there_rather_than_who_cannot_be_asked() {
    let world = World::new(Settings::default()).await;
    let nobody = Composed::none();
    let error = world
        .registry
        .operator()
        .read(&name("nobody/has-this"))
        .tagged(&tag("latest"), &nobody, Accepts::Index)
        .await
        .unwrap_err();
    assert!(
        matches!(error, RegistryError::ManifestUnknown { .. }),
        "{error}"
    );
}
