//! Where verification reads images from.

use crate::image_reader::ImageReader;
use crate::local_images::LocalImages;

/// The source of the images that are compared with collections.
#[derive(Clone, Debug)]
pub struct Verification {
    /// Files with images: with these nothing is fetched.
    pub files: Vec<LocalImages>,
    /// Without any, the upstreams.
    pub reader: ImageReader,
}
