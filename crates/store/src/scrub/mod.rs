//! Scrubbing: rereading all content.

pub(crate) mod blobs;
pub(crate) mod orphans;
pub(crate) mod report;
pub(crate) mod run;
