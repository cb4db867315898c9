//! The source images of stored manifests: what they were fetched or derived from.

use metahub_oci::ImageReference;

pub(crate) fn parse_sources(images: &[String]) -> impl Iterator<Item = ImageReference> {
    images.iter().filter_map(|image| image.parse().ok())
}
