//! The part of a request that an action's condition can test.

use metahub_hardware::Provided;
use metahub_oci::{RepositoryName, Tag};

/// A request as actions see it.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The requested repository.
    pub repository: Option<&'a RepositoryName>,
    /// The requested tag.
    pub tag: Option<&'a Tag>,
    /// What the login provides.
    pub provided: &'a Provided,
}

impl<'a> Request<'a> {
    /// A request for a tag.
    #[must_use]
    pub fn of(repository: &'a RepositoryName, tag: &'a Tag, provided: &'a Provided) -> Self {
        Self {
            repository: Some(repository),
            tag: Some(tag),
            provided,
        }
    }

    /// A request of which only the login is known.
    #[must_use]
    pub fn by(provided: &'a Provided) -> Self {
        Self {
            repository: None,
            tag: None,
            provided,
        }
    }
}
