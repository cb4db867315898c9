//! Single images: refused where the hardware cannot run them, told of where it is not known.

use super::*;

/// A world of one image and what is said of it.
async fn one(policy: Policy, architecture: &str, labels: Value, env: &[&str]) -> World {
    let world = World::new(policy).await;
    let config = json!({
        "os": "linux", "architecture": architecture,
        "config": {"Labels": labels, "Env": env}, "rootfs": {"type": "layers", "diff_ids": []},
    });
    let config = world
        .blob(config.to_string().into_bytes(), MediaType::OCI_CONFIG)
        .await;
    let manifest = json!({
        "schemaVersion": 2, "mediaType": MediaType::OCI_MANIFEST, "config": config, "layers": [],
    });
    world.push(&manifest, Some("one")).await;
    world
}

async fn asked(world: &World, login: &str) -> Result<Option<String>, String> {
    let profile = world
        .registry
        .catalog()
        .interpret(login, &|_| false)
        .unwrap()
        .profile;
    let (name, tag) = (REPOSITORY.parse().unwrap(), "one".parse().unwrap());
    let answer = world
        .registry
        .operator()
        .read(&name)
        .tagged(&tag, &profile, Accepts::Index)
        .await;
    answer
        .map(|served| served.warning)
        .map_err(|error| error.to_string())
}

/// How a single image is answered for a login: policy, the image's architecture, labels and
/// environment, the login, and what the warning (nothing for none) or the refusal says.
type Case = (
    Policy,
    &'static str,
    Value,
    &'static [&'static str],
    &'static str,
    Result<&'static str, &'static str>,
);

const CUDA: [&str; 1] = ["NVIDIA_REQUIRE_CUDA=cuda>=12.4"];

fn cases() -> Vec<Case> {
    let zen4 = json!({"io.archspec.cpu.target": "zen4"});
    let refuse = Policy {
        unstated: Unsure::Refuse,
        ..Policy::default()
    };
    let serve = Policy {
        unknown: Unsure::Serve,
        ..Policy::default()
    };
    let odd = json!({"io.archspec.cpu.target": "zenn3"});
    let usual = Policy::default();
    vec![
        (usual, "amd64", json!({}), &[][..], "haswell", Ok("")),
        (usual, "x86_64", json!({}), &[], "haswell", Ok("")),
        (
            usual,
            "arm64",
            json!({}),
            &[],
            "haswell",
            Err("is for arm64, and the machine is amd64"),
        ),
        (
            usual,
            "amd64",
            zen4.clone(),
            &[],
            "haswell",
            Err("arch:zen4 is not met by arch:haswell"),
        ),
        (usual, "amd64", zen4, &[], "zen5", Ok("")),
        (
            usual,
            "amd64",
            json!({}),
            &CUDA,
            "haswell",
            Ok("states nothing"),
        ),
        (
            refuse,
            "amd64",
            json!({}),
            &CUDA,
            "haswell",
            Err("no image fits"),
        ),
        (
            usual,
            "amd64",
            json!({}),
            &CUDA,
            "haswell+cuda=12.8",
            Ok(""),
        ),
        (
            usual,
            "amd64",
            json!({}),
            &CUDA,
            "haswell+cuda=11.8",
            Err("no image fits"),
        ),
        (usual, "amd64", odd.clone(), &[], "zen3", Err("zenn3")),
        (serve, "amd64", odd.clone(), &[], "zen3", Ok("zenn3")),
        (serve, "arm64", odd, &[], "zen3", Err("is for arm64")),
    ]
}

/// A label that is no text, or labels that are none, cannot be read.
fn unread_cases() -> Vec<Case> {
    let usual = Policy::default();
    vec![
        (
            usual,
            "amd64",
            json!({"io.archspec.cpu.target": ["zen4"]}),
            &[],
            "zen3",
            Err("target says \"["),
        ),
        (
            usual,
            "amd64",
            json!({"io.archspec.cpu.target": null}),
            &[],
            "zen3",
            Err("null"),
        ),
        (
            usual,
            "amd64",
            json!(["zen4"]),
            &[],
            "zen3",
            Err("no object"),
        ),
        (usual, "amd64", json!({"version": 5}), &[], "zen3", Ok("")),
        (usual, "amd64", Value::Null, &[], "zen3", Ok("")),
    ]
}

#[tokio::test]
async fn a_single_image_is_judged_by_what_it_says() {
    for (policy, architecture, labels, env, login, expected) in
        cases().into_iter().chain(unread_cases())
    {
        let world = one(policy, architecture, labels, env).await;
        let answer = asked(&world, login).await;
        match (&answer, expected) {
            (Ok(None), Ok("")) => {}
            (Ok(Some(text)), Ok(says)) if !says.is_empty() => {
                assert!(text.contains(says), "{login}: {text}");
            }
            (Err(text), Err(says)) => assert!(text.contains(says), "{login}: {text}"),
            _ => panic!("{architecture} as {login}: {answer:?}, expected {expected:?}"),
        }
    }
}

#[tokio::test]
async fn the_login_any_gets_everything_as_it_is() {
    let zen4 = json!({"io.archspec.cpu.target": "zen4"});
    let world = one(
        Policy::default(),
        "arm64",
        zen4,
        &["NVIDIA_REQUIRE_CUDA=cuda>=12.4"],
    )
    .await;
    assert_eq!(asked(&world, "any").await, Ok(None));
    let loaded = Catalog::from_documents(&[(
        "any.yaml",
        "profile:\n  name: any\n  features: [arch:zen3]\n".to_owned(),
    )]);
    assert!(loaded.problems.iter().any(|problem| problem.is_error()));
}

#[tokio::test]
async fn a_single_images_platform_is_told_as_it_is() {
    let world = one(Policy::default(), "arm64", json!({}), &[]).await;
    let image: ImageReference = format!("{REPOSITORY}:one").parse().unwrap();
    for login in ["neoverse_v1", "none"] {
        let profile = match login {
            "none" => Arc::default(),
            login => {
                world
                    .registry
                    .catalog()
                    .interpret(login, &|_| false)
                    .unwrap()
                    .profile
            }
        };
        let resolution = world
            .registry
            .operator()
            .read(image.name())
            .resolve(&image, &profile, None)
            .await
            .unwrap();
        assert_eq!(resolution.platform.to_string(), "linux/arm64", "{login}");
    }
}
