//! Where an image is that is inspected.

use std::path::PathBuf;

use metahub_oci::ImageReference;

use crate::image_reader::ImageReader;

/// Where images are that are inspected.
#[derive(Clone, Debug)]
pub enum Inspected {
    /// In a registry; read like a pull, into a temporary folder.
    Image(ImageReference, Box<ImageReader>),
    /// An OCI image layout: a folder, or a tar file of one.
    Layout(PathBuf),
    /// A tar file of `docker save`.
    DockerArchive(PathBuf),
}
