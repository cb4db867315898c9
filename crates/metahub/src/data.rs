//! Opens the data folder for commands: an error names the settings that chose the folder, and a
//! misspelled one is not created silently.

use std::path::Path;

use metahub_store::StoreError;
use miette::{Report, miette};

const HELP: &str = "--data, METAHUB_DATA or `data` of the configuration names the folder; it must \
                    be a folder that this user may write";

/// The error for a data folder that cannot be opened.
pub(crate) fn failed(folder: &Path, error: &StoreError) -> Report {
    miette!(
        help = HELP,
        "cannot open the data folder {}: {error}",
        folder.display()
    )
}

/// For commands that read an existing folder: creating an empty one would hide that its name is
/// wrong.
pub(crate) fn must_exist(folder: &Path) -> miette::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    Err(miette!(
        help = HELP,
        "there is no data folder {}: `metahub serve` and `metahub account add` make one",
        folder.display()
    ))
}
