//! Where verification reads images from.

use crate::image_reader::ImageReader;
use crate::local_images::LocalImages;

/// Where the images come from that collections are held against.
#[derive(Clone, Debug)]
pub struct Verification {
    /// Files with images: with these nothing is fetched.
    pub files: Vec<LocalImages>,
    /// Without any, the upstreams.
    pub reader: ImageReader,
}
