//! Runs one test: does its pull, and lists tags where it expects some.

use metahub_catalog::{Composed, Expected, TestCase};
use metahub_oci::{Document, ImageConfig, ImageReference, Reference, RepositoryName};
use metahub_registry::{NotAllowed, RegistryError};
use metahub_resolve::Before;

use super::given::World;
use super::outcome::{Came, Pull, Pulled};
use crate::error::OperationError;
use crate::offline::storage_of;

/// Largest configuration that is read, in bytes: a test's are small.
const MAX_CONFIG_BYTES: u64 = 4 * 1024 * 1024;

/// Most tags of a list: more than a test can give.
const MOST_TAGS: usize = 10_000;

/// Does the pull of the case, and lists the repository's tags if it expects some.
pub(super) async fn run(
    world: &World,
    case: &TestCase,
    profile: &Composed,
) -> Result<Came, OperationError> {
    let name = storage_of(&case.pull)?;
    let lists = |(expected, _): &(Expected, _)| matches!(expected, Expected::Tags(_));
    let tags = if case.expect.all.iter().any(lists) {
        Some(tags(world, &name, profile).await?)
    } else {
        None
    };
    Ok(Came {
        pull: pull(world, &name, case, profile).await?,
        redirect: answered_with(&case.pull, &name, profile),
        tags,
    })
}

/// The tags that a client of the profile sees, or why there are none.
async fn tags(
    world: &World,
    name: &RepositoryName,
    profile: &Composed,
) -> Result<Result<Vec<String>, String>, OperationError> {
    let repository = world.registry.operator().read(name);
    match repository.tags(profile, None, MOST_TAGS).await {
        Ok(listed) => Ok(Ok(listed.page.items)),
        Err(error @ (RegistryError::Store(_) | RegistryError::Broken(_))) => Err(error.into()),
        Err(error) => Ok(Err(error.to_string())),
    }
}

async fn pull(
    world: &World,
    name: &RepositoryName,
    case: &TestCase,
    profile: &Composed,
) -> Result<Pull, OperationError> {
    let repository = world.registry.operator().read(name);
    let resolved = repository.resolve(&case.pull, profile, case.platform.as_ref());
    let resolution = match resolved.await {
        Ok(resolution) => resolution,
        Err(error @ (RegistryError::Store(_) | RegistryError::Broken(_))) => {
            return Err(error.into());
        }
        Err(error) => {
            return Ok(Pull::Refused {
                denied: matches!(
                    error.root(),
                    RegistryError::NotAllowed(NotAllowed::Profile { .. })
                ),
                message: error.to_string(),
            });
        }
    };
    let served = repository.manifest(&resolution.manifest).await?;
    let document = Document::parse_as(served.bytes, served.digest, Some(&served.media_type));
    let Ok(Document::Manifest(manifest)) = document else {
        return Ok("what came is no image".to_owned().into());
    };
    let config = match manifest.config() {
        Some(config) => repository.blob(config.digest()).await?,
        None => return Ok("what came is no image".to_owned().into()),
    };
    let config = match ImageConfig::parse(config.read(MAX_CONFIG_BYTES).await?) {
        Ok(config) => config,
        Err(error) => return Ok(error.to_string().into()),
    };
    let children = &resolution.explanation.children;
    let child = children
        .iter()
        .find(|one| one.digest == resolution.manifest);
    let source = child
        .and_then(|child| child.derived_from.as_ref())
        .unwrap_or(&resolution.manifest);
    Ok(Pull::Image(Box::new(Pulled {
        names: world.names.get(source).cloned().unwrap_or_default(),
        resolution,
        manifest,
        config,
    })))
}

/// The image that answers a pull of `image` from the repository `name`; `None` if it is denied.
fn answered_with(
    image: &ImageReference,
    name: &RepositoryName,
    profile: &Composed,
) -> Option<ImageReference> {
    let Reference::Tag(tag) = image.reference() else {
        return Some(image.clone());
    };
    match metahub_resolve::before(profile, name, &tag).0 {
        Before::Unchanged => Some(image.clone()),
        // As clients name it: it may begin with a host.
        Before::Redirected(name, tag) => format!("{name}:{tag}").parse().ok(),
        Before::Denied(_) => None,
    }
}
