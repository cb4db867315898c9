//! Makes a layer image of a folder or a tar file, for the action `manifest-add`. No engine is
//! needed, and the same content makes the same bytes on every machine: entries are in the order of
//! their paths, times and owners come from the settings, and parent folders of a file are always
//! included. A file type that layers cannot hold is an error that names the file; nothing is left
//! out.

mod archive;
mod built;
mod error;
mod folder;
mod image;
mod layout;
mod pack;
mod settings;
mod tree;

pub use built::{BuiltLayer, LayerFile};
pub use error::LayerError;
pub use image::LayerImage;
pub use layout::{write_layout, write_layout_archive};
pub use settings::{Compression, LayerSettings};
