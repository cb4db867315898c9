//! Why a request for documents of the API is refused.

use metahub_catalog::{Location, Problem};
use metahub_store::StoreError;

use super::bounds::DOCUMENT_BOUNDS;

/// Why a request for documents failed.
#[derive(Debug, thiserror::Error)]
pub enum CurationError {
    /// A text is no name.
    #[error("{0}")]
    Name(String),
    /// There is no such document, or not that version of it.
    #[error("the API has no {0}")]
    Missing(String),
    /// The request has no precondition.
    #[error(
        "say what is to be replaced: `If-Match: ETAG` with the entity tag of the document as it \
         was read, or `If-None-Match: *` to create it"
    )]
    NoPrecondition,
    /// The precondition does not hold.
    #[error("{}", otherwise(.0.as_deref()))]
    Otherwise(Option<String>),
    /// The document has errors.
    #[error("the document has errors: {}", first(.0))]
    Invalid(Vec<Problem>),
    /// The document does not define exactly what its name says.
    #[error("expected a document that defines {expected} and nothing else; this one {found}")]
    Defines {
        /// What the path names.
        expected: String,
        /// What the document does.
        found: String,
    },
    /// Other documents would have errors.
    #[error("other documents would have errors: {}", first(.0))]
    Breaks(Vec<Problem>),
    /// A file defines that name.
    #[error("{name} is defined by {file}, which counts before the API: change it there")]
    InFile {
        /// The name.
        name: String,
        /// File, line and column.
        file: Location,
    },
    /// There are too many documents.
    #[error(
        "there is no room: the API keeps at most {} documents of {} MiB together",
        DOCUMENT_BOUNDS.documents,
        DOCUMENT_BOUNDS.bytes / 1024 / 1024
    )]
    Full,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Work was stopped or panicked.
    #[error("the work was stopped before its end")]
    Stopped,
}

fn otherwise(current: Option<&str>) -> String {
    match current {
        Some(current) => format!(
            "the document is another one by now ({current}): read it again, and change that"
        ),
        None => "there is no such document: create it with `If-None-Match: *`".to_owned(),
    }
}

fn first(problems: &[Problem]) -> String {
    let more = problems.len().saturating_sub(1);
    match problems.first() {
        Some(problem) if more > 0 => format!("{problem} (and {more} more)"),
        Some(problem) => problem.to_string(),
        None => String::new(),
    }
}
