//! Images in full: warming, export and import.

pub(crate) mod contents;
pub(crate) mod fetch_images;
pub(crate) mod import;
pub(crate) mod import_check;
pub(crate) mod import_error;
pub(crate) mod inventory;
pub(crate) mod merge;
pub(crate) mod walk;
