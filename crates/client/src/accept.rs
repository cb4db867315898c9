//! The `Accept` headers of requests: a registry converts or refuses media types that they do not
//! name.

/// `Accept` with the media types of all manifests and indexes that are read: those of image-spec,
/// and Docker's before it.
pub const MANIFESTS: &str = "application/vnd.oci.image.index.v1+json, \
     application/vnd.oci.image.manifest.v1+json, \
     application/vnd.docker.distribution.manifest.list.v2+json, \
     application/vnd.docker.distribution.manifest.v2+json";

#[cfg(test)]
mod tests {
    use metahub_oci::MediaType;

    use super::*;

    #[test]
    fn every_manifest_and_index_that_is_read_is_asked_for() {
        let named: Vec<MediaType> = MANIFESTS
            .split(", ")
            .map(|text| text.parse().unwrap())
            .collect();
        let expected = [
            MediaType::OCI_INDEX,
            MediaType::OCI_MANIFEST,
            MediaType::DOCKER_LIST,
            MediaType::DOCKER_MANIFEST,
        ];
        let texts: Vec<&str> = named.iter().map(MediaType::as_str).collect();
        assert_eq!(texts, expected);
        assert!(named.iter().all(|one| one.is_index() || one.is_manifest()));
    }
}
