//! Whether a profile changes anything about a pull.

use metahub_catalog::{Args, Composed};
use metahub_oci::RepositoryName;

use super::image::image_actions;

/// Whether `profile` changes images pulled from `repository`. If not, documents of `repository` are
/// served unchanged, byte for byte.
#[must_use]
pub fn applies(profile: &Composed, repository: &RepositoryName) -> bool {
    let chooses = |args: &Args| matches!(args, Args::ManifestFilter(_) | Args::ManifestSelect(_));
    !profile.provided().is_empty()
        || profile.actions().iter().any(|action| chooses(&action.args))
        || !image_actions(profile, repository).is_empty()
}
