//! The actions beside choosing and adding layers: what is asked for, how an image is run, what is
//! listed.

use metahub_registry::NotAllowed;

use super::*;

const ACTIONS: &str = "
profiles:
  - name: moved
    actions:
      - {name: redirect, event: pre-manifest-get, args: {repository: lab/old, to: lab/app}}
      - {name: redirect, event: pre-manifest-get, args: {repository: lab/app, tag: stable, to_tag: latest}}
      - {name: redirect, event: pre-manifest-get, args: {repository: lab/lost, to: lab/nowhere}}
      - {name: redirect, event: pre-manifest-get, args: {repository: lab/signed, to: lab/artifact}}
  - name: closed
    actions:
      - {name: deny, event: pre-manifest-get, when: {repository: lab/app}, args: {message: ask the site's staff}}
  - name: led
    actions:
      - {name: redirect, event: pre-manifest-get, args: {repository: lab/old, to: lab/blue}}
      - {name: redirect, event: pre-manifest-get, args: {repository: lab/older, to: lab/app}}
      - {name: deny, event: pre-manifest-get, when: {repository: lab/app}, args: {message: ask the site's staff}}
      - {name: config-set, event: post-manifest-get, when: {repository: lab/blue}, args: {user: '7'}}
  - name: run
    actions:
      - name: config-set
        event: post-manifest-get
        when: {label: {site: blue}}
        args: {env: {set: {SIMD: AVX2}}, wrap: [/launch, --]}
      - {name: annotate, event: post-manifest-get, when: {not: {label: {site: blue}}}, args: {annotations: {org.example.site: other}}}
  - name: maybe
    actions:
      - {name: manifest-add, event: post-manifest-get, when: {label: {site: blue}}, args: {layers: [lab/absent]}}
  - name: tags
    actions:
      - {name: tags-filter, event: post-tags-list-get, args: {repository: lab/many, drop: '.*-debug', add: [stable]}}
";

async fn world() -> World {
    let world = World::of_documents(ACTIONS).await.filled().await;
    world.labelled("lab/blue", "blue").await;
    world.labelled("lab/red", "red").await;
    world
}

fn config_of(served: &Served) -> Digest {
    let Document::Manifest(manifest) = Document::parse(served.bytes.clone(), None).unwrap() else {
        panic!("an index");
    };
    manifest.config().unwrap().digest().clone()
}

async fn blob(world: &World, repository: &str, digest: &Digest) -> Value {
    let repository = name(repository);
    let blob = world
        .registry
        .operator()
        .read(&repository)
        .blob(digest)
        .await
        .unwrap();
    serde_json::from_slice(&blob.read(1 << 20).await.unwrap()).unwrap()
}

#[tokio::test]
async fn a_redirected_tag_is_served_whole_under_the_name_that_was_asked_for() {
    let world = world().await;
    // Under hardware one image is left; without, the index as it is.
    for login in ["moved", "moved+zen3", "zen3+moved"] {
        let direct = login.replace("moved+", "").replace("+moved", "");
        let expected = match direct.as_str() {
            "moved" => "any".to_owned(),
            login => login.to_owned(),
        };
        let expected = world
            .pull_as(&expected, "lab/app:latest", Accepts::IndexOnly)
            .await
            .unwrap();
        for image in ["lab/old:latest", "lab/old:stable", "lab/app:stable"] {
            let served = world
                .pull_as(login, image, Accepts::IndexOnly)
                .await
                .unwrap();
            assert_eq!(served.digest, expected.digest, "{login} {image}");
            let repository = name(image.split_once(':').unwrap().0);
            let operator = world.registry.operator();
            let repository = operator.read(&repository);
            let Document::Index(index) = Document::parse(served.bytes, None).unwrap() else {
                panic!("no index");
            };
            // What it leads to is there, too.
            for entry in index.manifests() {
                let child = repository.manifest(entry.digest()).await.unwrap();
                let config = config_of(&child);
                repository.blob(&config).await.unwrap();
            }
        }
    }
    // Others, and requests by digest, are not redirected.
    let error = world
        .pull_as("zen3", "lab/old:latest", Accepts::Index)
        .await
        .unwrap_err();
    assert!(
        matches!(error, RegistryError::ManifestUnknown { .. }),
        "{error}"
    );
    let error = world
        .pull_as("moved", "lab/lost:v1", Accepts::Index)
        .await
        .unwrap_err();
    assert!(
        error.to_string().contains("redirects it to lab/nowhere:v1"),
        "{error}"
    );
}

#[tokio::test]
async fn what_is_no_image_is_redirected_to_as_it_is() {
    let world = world().await;
    let layer = world.blob("lab/artifact", b"a model".to_vec()).await;
    let empty = world.blob("lab/artifact", b"{}".to_vec()).await;
    let document = manifest(MediaType::OCI_EMPTY, &empty, "application/x-model", &layer);
    let (digest, _) = world.push("lab/artifact", "latest", &document).await;
    let served = world.pull("moved+zen3", "lab/signed:latest").await;
    assert_eq!(served.digest, digest);
    assert_eq!(blob(&world, "lab/signed", &empty.0).await, json!({}));
}

#[tokio::test]
async fn a_denied_tag_is_refused_with_its_message_and_digests_are_not() {
    let world = world().await;
    let error = world
        .pull_as("closed+zen3", "lab/app:latest", Accepts::Index)
        .await
        .unwrap_err();
    assert!(matches!(
        error,
        RegistryError::NotAllowed(NotAllowed::Profile { .. })
    ));
    assert!(
        error.to_string().contains("ask the site's staff"),
        "{error}"
    );
    assert_eq!(world.registry.counts().denied_by_profile, 1);
    // Nothing was read for it, and a tag that is not there is denied as well.
    let error = world
        .pull_as("closed", "lab/app:none", Accepts::Index)
        .await
        .unwrap_err();
    assert!(matches!(
        error,
        RegistryError::NotAllowed(NotAllowed::Profile { .. })
    ));
    let served = world.pull("zen3", "lab/app:latest").await;
    let repository = name("lab/app");
    let operator = world.registry.operator();
    operator
        .read(&repository)
        .manifest(&served.digest)
        .await
        .unwrap();
    world.pull("closed", "lab/one:latest").await;
}

#[tokio::test]
async fn what_comes_after_a_redirection_is_for_the_name_that_it_leads_to() {
    let world = world().await;
    let served = world.pull("led", "lab/old:latest").await;
    let config = blob(&world, "lab/old", &config_of(&served)).await;
    assert_eq!(config["config"]["User"], "7");
    let denied = world
        .pull_as("led", "lab/older:latest", Accepts::Index)
        .await;
    assert!(matches!(
        denied.unwrap_err(),
        RegistryError::NotAllowed(NotAllowed::Profile { .. })
    ));
}

#[tokio::test]
async fn a_condition_on_a_label_decides_how_an_image_is_run() {
    let world = world().await;
    let plain = world.pull("any", "lab/blue:latest").await;
    let served = world.pull("run", "lab/blue:latest").await;
    assert_ne!(served.digest, plain.digest);
    let config = blob(&world, "lab/blue", &config_of(&served)).await;
    assert_eq!(config["config"]["Env"], json!(["SIMD=AVX2"]));
    assert_eq!(config["config"]["Entrypoint"], json!(["/launch", "--"]));
    let served = world.pull("run", "lab/red:latest").await;
    let manifest: Value = serde_json::from_slice(&served.bytes).unwrap();
    assert_eq!(manifest["annotations"]["org.example.site"], "other");
    // Once more from memory, and once more from the store, to the same bytes.
    assert_eq!(
        world.pull("run", "lab/red:latest").await.digest,
        served.digest
    );
    assert_eq!(
        world.pull("run+site=x", "lab/red:latest").await.digest,
        served.digest
    );
}

#[tokio::test]
async fn a_layer_image_that_is_not_there_matters_only_where_it_is_needed() {
    let world = world().await;
    let plain = world.pull("any", "lab/red:latest").await;
    assert_eq!(
        world.pull("maybe", "lab/red:latest").await.digest,
        plain.digest
    );
    let error = world
        .pull_as("maybe", "lab/blue:latest", Accepts::Index)
        .await
        .unwrap_err();
    assert!(error.to_string().contains("lab/absent"), "{error}");
}

#[tokio::test]
async fn a_list_of_tags_is_paged_by_what_a_login_sees() {
    let world = world().await;
    for number in 0..30 {
        world
            .image("lab/many", &format!("v{number:02}"), "amd64", "same")
            .await;
        world
            .image("lab/many", &format!("v{number:02}-debug"), "amd64", "same")
            .await;
    }
    let seen = async |login: &str, limit: usize| {
        let profile = world.catalog.interpret(login, &|_| false).unwrap().profile;
        let repository = name("lab/many");
        let operator = world.registry.operator();
        let repository = operator.read(&repository);
        let (mut seen, mut last, mut pages) = (Vec::new(), None::<String>, 0);
        loop {
            let list = repository
                .tags(&profile, last.as_deref(), limit)
                .await
                .unwrap();
            assert!(list.page.items.len() <= limit);
            seen.extend(list.page.items.iter().cloned());
            pages += 1;
            if !list.page.more {
                return (seen, pages);
            }
            last = list.page.after.or(list.page.items.last().cloned());
        }
    };
    let (shown, pages) = seen("tags", 7).await;
    let mut expected: Vec<String> = (0..30).map(|number| format!("v{number:02}")).collect();
    expected.insert(0, "stable".to_owned());
    assert_eq!(shown, expected);
    assert_eq!(pages, 5);
    assert_eq!(seen("zen3", 100).await.0.len(), 60);
}
