//! The images that manifests were read or derived from, as the store has them.

use metahub_oci::ImageReference;

pub(crate) fn parse_sources(images: &[String]) -> impl Iterator<Item = ImageReference> {
    images.iter().filter_map(|image| image.parse().ok())
}
