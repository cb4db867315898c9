//! Followed catalogs of other registries: each is polled, fetched when its tag names another
//! digest, and put in use if the joined catalog gets no error by it. The version in use is stored
//! in the data folder, so that it survives a restart while the other registry is down. A version
//! that cannot be used, for whatever reason, replaces nothing.

mod follower;
mod start;
mod stored;

pub(crate) use self::follower::public_key;
pub(crate) use self::start::{first_look, keep, prepare, stored};
pub(crate) use self::stored::Status;

#[cfg(test)]
mod tests;
