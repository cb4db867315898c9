//! One file per noun of the distribution API. A handler parses, calls the registry, and answers;
//! it decides nothing.

pub(crate) mod base;
pub(crate) mod blobs;
pub(crate) mod curation;
pub(crate) mod demand;
pub(crate) mod hardware;
pub(crate) mod lists;
pub(crate) mod manifests;
pub(crate) mod multipart;
pub(crate) mod nodes;
pub(crate) mod resolve;
pub(crate) mod token;
pub(crate) mod uploads;
