//! Paths of the distribution API, built from references that are valid by construction, so that
//! none of them leads anywhere else.

use metahub_oci::{Digest, Reference, RepositoryName, Tag};

/// Where a registry says that it is one, and how it wants to be spoken to (end-1).
pub const BASE: &str = "/v2/";

/// `/v2/NAME/manifests/REFERENCE` (end-3).
#[must_use]
pub fn manifest(name: &RepositoryName, reference: &Reference) -> String {
    format!("/v2/{name}/manifests/{reference}")
}

/// `/v2/NAME/blobs/DIGEST` (end-2).
#[must_use]
pub fn blob(name: &RepositoryName, digest: &Digest) -> String {
    format!("/v2/{name}/blobs/{digest}")
}

/// `/v2/NAME/blobs/uploads/` (end-4a).
#[must_use]
pub fn uploads(name: &RepositoryName) -> String {
    format!("/v2/{name}/blobs/uploads/")
}

/// `/v2/NAME/tags/list` (end-8a).
#[must_use]
pub fn tags(name: &RepositoryName) -> String {
    format!("/v2/{name}/tags/list")
}

/// `/v2/NAME/referrers/DIGEST` (end-12a).
#[must_use]
pub fn referrers(name: &RepositoryName, digest: &Digest) -> String {
    format!("/v2/{name}/referrers/{digest}")
}

/// The tag under which clients keep what refers to `digest` where a registry does not offer the
/// referrers API: `ALGORITHM-HEX`, cut to the limits of a tag (specification, "Referrers Tag
/// Schema").
#[must_use]
pub fn referrers_tag(digest: &Digest) -> Option<Tag> {
    let hex = digest.hex();
    let hex = hex.get(..64).unwrap_or(hex);
    format!("{}-{hex}", digest.algorithm()).parse().ok()
}

#[cfg(test)]
mod tests {
    use metahub_oci::Algorithm;

    use super::*;

    #[test]
    fn a_reference_becomes_the_path_of_the_specification() {
        let name: RepositoryName = "a/b".parse().unwrap();
        let digest = Digest::sha256(b"");
        let tag = Reference::Tag("v1".parse().unwrap());
        assert_eq!(manifest(&name, &tag), "/v2/a/b/manifests/v1");
        assert_eq!(
            manifest(&name, &Reference::Digest(digest.clone())),
            format!("/v2/a/b/manifests/{digest}")
        );
        assert_eq!(blob(&name, &digest), format!("/v2/a/b/blobs/{digest}"));
        assert_eq!(uploads(&name), "/v2/a/b/blobs/uploads/");
        assert_eq!(tags(&name), "/v2/a/b/tags/list");
        assert_eq!(
            referrers(&name, &digest),
            format!("/v2/a/b/referrers/{digest}")
        );
    }

    #[test]
    fn the_referrers_tag_is_the_digest_cut_to_the_limits_of_a_tag() {
        let tag = |algorithm| {
            referrers_tag(&Digest::of(algorithm, b""))
                .unwrap()
                .to_string()
        };
        assert_eq!(
            tag(Algorithm::Sha256),
            "sha256-e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
        assert_eq!(tag(Algorithm::Sha512).len(), "sha512-".len() + 64);
    }
}
