//! Loads the catalog from files and stored copies, for operations that read documents without a
//! server.

use std::path::PathBuf;
use std::sync::Arc;

use metahub_catalog::{Catalog, Loaded, Loader, Problem};
use metahub_hardware::Microarchitectures;

use crate::error::OperationError;

/// The documents at `paths`, then those of catalogs that are followed, each with a name; they must
/// have no error.
pub(crate) fn load(
    graph: Arc<Microarchitectures>,
    paths: &[PathBuf],
    followed: &[Vec<(String, String)>],
) -> Result<Catalog, OperationError> {
    let mut loader = Loader::new(Catalog::in_graph(graph));
    for path in paths {
        loader.add_path(path);
    }
    for files in followed.iter().filter(|files| !files.is_empty()) {
        loader.next_source();
        for (name, text) in files {
            loader.add_text(name, text);
        }
    }
    let Loaded {
        catalog, problems, ..
    } = loader.finish();
    let errors = problems.iter().filter(|problem| problem.is_error());
    let errors: Vec<String> = errors.map(Problem::to_string).collect();
    if errors.is_empty() {
        Ok(catalog)
    } else {
        Err(OperationError::Catalog(errors.join("\n")))
    }
}
