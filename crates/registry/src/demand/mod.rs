//! What the machines of logins got of images, counted: where a build for their processor lacks.
//!
//! A pull notes what was got in memory (`counts`), and once a minute that is added to the records
//! of the day (`records`). Only images that were answered, targets that are known and GPUs of a few
//! kinds are counted, within a bound. No user name and no address is recorded; nodes only as keyed
//! hashes.

pub(crate) mod counts;
pub(crate) mod got;
pub(crate) mod records;
pub(crate) mod report;
pub(crate) mod settings;
