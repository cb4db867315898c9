//! Which layers `manifest-add` puts on an image, and whether a profile does anything at all.

use metahub_catalog::{Args, Composed, ManifestAdd};
use metahub_oci::{ImageReference, RepositoryName};

/// Most layers of an image: Docker mounts no more than 125.
pub const MAX_LAYERS: usize = 125;

/// The images whose layers `profile` adds to the images of `repository`, in order.
#[must_use]
pub fn layers_for<'a>(
    profile: &'a Composed,
    repository: &RepositoryName,
) -> Vec<&'a ImageReference> {
    profile
        .actions()
        .iter()
        .filter_map(|action| match &action.args {
            Args::ManifestAdd(add) if is_for(add, repository) => Some(&add.layers),
            _ => None,
        })
        .flatten()
        .collect()
}

/// Whether `profile` changes what is pulled from `repository`. If not, documents of `repository`
/// are served as they are, byte for byte.
#[must_use]
pub fn applies(profile: &Composed, repository: &RepositoryName) -> bool {
    let changes_indexes = profile.actions().iter().any(|action| match &action.args {
        Args::ManifestAdd(add) => is_for(add, repository),
        // These change what is asked for, and lists.
        Args::Deny(_) | Args::Redirect(_) | Args::TagsFilter(_) => false,
        _ => true,
    });
    changes_indexes || !profile.provided().is_empty()
}

fn is_for(add: &ManifestAdd, repository: &RepositoryName) -> bool {
    let pattern = add.repository.as_ref();
    pattern.is_none_or(|pattern| pattern.matches(repository))
}
