//! Images in full: warming, export and import.

pub(crate) mod contents;
pub(crate) mod gather;
pub(crate) mod import;
pub(crate) mod import_check;
pub(crate) mod merge;
pub(crate) mod parts;
pub(crate) mod plan;
