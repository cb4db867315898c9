//! The steps of work that must survive an interruption, so that tests can interrupt each.

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;

use crate::StoreError;

type Told = dyn Fn(&'static str) -> io::Result<()> + Send + Sync;

/// Called at each step; an error that it returns makes the step fail. The default does nothing.
#[derive(Clone, Default)]
pub struct Steps(Option<Arc<Told>>);

impl fmt::Debug for Steps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Steps").field(&self.0.is_some()).finish()
    }
}

impl Steps {
    /// Calls `told`.
    pub fn new(told: impl Fn(&'static str) -> io::Result<()> + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(told)))
    }

    /// `step`, which works on `path`, is about to be done.
    pub(crate) fn before(&self, step: &'static str, path: &Path) -> Result<(), StoreError> {
        match &self.0 {
            Some(told) => told(step).map_err(|error| StoreError::io(step, path, error)),
            None => Ok(()),
        }
    }
}
