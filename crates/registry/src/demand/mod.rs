//! Counts what the machines of logins got for images, to show which builds are missing.
//!
//! A pull notes its outcome in memory (`counts`), and once a minute that is added to the records of
//! the day (`records`). Only images that were served, known targets and a fixed list of GPU kinds
//! are counted, within a bound. No user name and no address is recorded; nodes only as keyed
//! hashes.

pub(crate) mod counts;
pub(crate) mod got;
pub(crate) mod records;
pub(crate) mod report;
pub(crate) mod settings;
