//! Bundles: OCI image layouts (image specification, `image-layout.md`) in one tar file.
//!
//! An interrupted write can be resumed. A bundle is never unpacked to paths: the archive is scanned
//! once, and only content whose digest is verified is returned. Images in folders and archives of
//! `docker save` can be read as well, and a layer image is made of a folder or a tar file. Only
//! `unpack` writes the contents of layers, into a folder of its own. Nothing
//! here knows registries, stores or networks.

mod annotation;
mod docker;
mod documents;
mod error;
mod folder;
mod images;
mod layer;
mod read;
mod scan;
mod stream;
mod unpack;
mod write;

pub use annotation::{ORIGIN, PARTIAL, REF_NAME};
pub use docker::{DockerArchive, DockerImage};
pub use documents::Documents;
pub use error::BundleError;
pub use images::ImageFiles;
pub use layer::{
    BuiltLayer, Compression, LayerError, LayerFile, LayerImage, LayerSettings, write_layout,
    write_layout_archive,
};
pub use read::{Bundle, Content};
pub use stream::ContentReader;
pub use unpack::{UnpackError, UnpackLimits, Unpacked};
pub use write::{BundleWriter, partial};

/// The file that says what an archive is (image specification, "oci-layout file").
const LAYOUT_FILE: &str = "oci-layout";
/// The file that lists the images.
const INDEX_FILE: &str = "index.json";
/// The content of [`LAYOUT_FILE`].
const LAYOUT: &[u8] = br#"{"imageLayoutVersion":"1.0.0"}"#;
/// Where the content is.
const BLOBS: &str = "blobs";
