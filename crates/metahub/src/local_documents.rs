//! The documents of a configuration, for commands that read them without a server: files, and the
//! stored copies of followed catalogs.

use std::path::PathBuf;

use crate::config::{CatalogEntry, Config, paths};
use crate::follow;
use crate::sources::Sources;

/// The documents of such a command.
pub(crate) struct LocalDocuments {
    /// Files and folders.
    pub(crate) paths: Vec<PathBuf>,
    /// The documents of each catalog that is followed, each with its name.
    pub(crate) followed: Vec<Vec<(String, String)>>,
}

impl LocalDocuments {
    /// The documents of `config`. A catalog without a stored copy is left out, with a warning on
    /// standard error.
    pub(crate) fn of(config: &Config) -> miette::Result<Self> {
        let sources = Sources::of(config, &config.data)?;
        for missing in follow::stored(config, &sources)? {
            anstream::eprintln!(
                "warning: there is no stored copy of {missing} in {}, so it is left out",
                config.data.display()
            );
        }
        Ok(Self {
            paths: paths(&config.catalog),
            followed: sources.others(),
        })
    }
}

/// `--catalog PATH...` as entries of the configuration; `None` if it is not given.
pub(crate) fn entries(paths: &[PathBuf]) -> Option<Vec<CatalogEntry>> {
    let entries = || paths.iter().cloned().map(CatalogEntry::Path).collect();
    (!paths.is_empty()).then(entries)
}
