//! Catalogs of other registries that this MetaHub follows: each is asked for every so often,
//! fetched when its tag names another one, and put in use if the joined catalog gets no error by
//! it. What is in use is stored in the data folder, so that it is there after a restart while the
//! other registry is away. What cannot be used, for whatever reason, replaces nothing.

mod follower;
mod start;
mod stored;

pub(crate) use self::follower::public_key;
pub(crate) use self::start::{first_look, keep, prepare, stored};
pub(crate) use self::stored::Status;

#[cfg(test)]
mod tests;
