//! Checks a document before the API accepts it: it is valid by itself, it defines what its name
//! says and no file defines, and it causes no error in another document.

use std::sync::Arc;

use metahub_catalog::{Catalog, Loader, Location, Problem};
use metahub_hardware::Microarchitectures;
use tokio::sync::watch;

use super::error::CurationError;
use super::kind::{DOCUMENTS_PATH, DocumentKind, problem_file};

/// The catalog of the documents of all sources.
pub trait JoinedCatalog: Send + Sync {
    /// Its problems if these were the documents of the API, each with its name. Blocks.
    fn problems_with(&self, texts: &[(String, String)]) -> Vec<Problem>;

    /// Makes these the documents of the API.
    fn publish(&self, texts: Vec<(String, String)>);
}

/// What documents are checked against.
pub(super) struct Checks {
    /// The CPU targets that documents may name.
    pub(super) graph: Arc<Microarchitectures>,
    /// The current catalog.
    pub(super) in_force: watch::Receiver<Arc<Catalog>>,
    /// The catalog of all sources.
    pub(super) joined: Arc<dyn JoinedCatalog>,
}

impl Checks {
    /// Checks the document by itself and together with all others, which are `before` without the
    /// change. Returns its warnings.
    pub(super) async fn check(
        &self,
        kind: DocumentKind,
        name: &str,
        text: Option<&str>,
        before: Vec<(String, String)>,
    ) -> Result<Vec<Problem>, CurationError> {
        let own = problem_file(kind.as_str(), name);
        if let Some(text) = text {
            self.check_alone(kind, name, &own, text)?;
        }
        let mut after = before.clone();
        after.retain(|(file, _)| *file != own);
        after.extend(text.map(|text| (own.clone(), text.to_owned())));
        after.sort();
        let joined = Arc::clone(&self.joined);
        let work = tokio::task::spawn_blocking(move || {
            let problems = joined.problems_with(&after);
            let wrong = problems.iter().any(Problem::is_error);
            let known = if wrong {
                joined.problems_with(&before)
            } else {
                Vec::new()
            };
            (problems, known)
        });
        let (problems, known) = work.await.map_err(|_| CurationError::Stopped)?;
        let known: Vec<String> = known.iter().map(ToString::to_string).collect();
        let (mut of_it, of_others): (Vec<Problem>, Vec<Problem>) = problems
            .into_iter()
            .partition(|problem| *problem.location.file == *own);
        if of_it.iter().any(Problem::is_error) {
            of_it.retain(Problem::is_error);
            return Err(CurationError::Invalid(of_it));
        }
        let is_new =
            |problem: &Problem| problem.is_error() && !known.contains(&problem.to_string());
        let broken: Vec<Problem> = of_others.into_iter().filter(is_new).collect();
        if !broken.is_empty() {
            return Err(CurationError::Breaks(broken));
        }
        Ok(of_it)
    }

    fn check_alone(
        &self,
        kind: DocumentKind,
        name: &str,
        own: &str,
        text: &str,
    ) -> Result<(), CurationError> {
        let mut loader = Loader::new(Catalog::in_graph(Arc::clone(&self.graph)));
        loader.add_text(own, text);
        let (profiles, collections) = loader.names();
        // Profiles that it extends are checked together with the others.
        let alone = |problem: &Problem| problem.is_error() && problem.code != "unknown-profile";
        let problems = loader.finish().problems.into_iter();
        let errors: Vec<Problem> = problems.filter(alone).collect();
        if !errors.is_empty() {
            return Err(CurationError::Invalid(errors));
        }
        let profiles = profiles
            .into_iter()
            .map(|name| (DocumentKind::Profile, name));
        let collections = collections.into_iter();
        let collections = collections.map(|name| (DocumentKind::Collection, name));
        let defines: Vec<(DocumentKind, String)> = profiles.chain(collections).collect();
        let found = match defines.as_slice() {
            [(of, one)] if *of == kind && one == name => {
                return self.check_files(kind, name);
            }
            [] => "defines nothing".to_owned(),
            all => {
                let all = all
                    .iter()
                    .map(|(kind, name)| format!("the {} {name}", kind.as_str()));
                format!("defines {}", all.collect::<Vec<_>>().join(", "))
            }
        };
        Err(CurationError::Defines {
            expected: format!("the {} {name}", kind.as_str()),
            found,
        })
    }

    /// Refuses a name that a file defines.
    fn check_files(&self, kind: DocumentKind, name: &str) -> Result<(), CurationError> {
        let catalog = self.in_force.borrow();
        match location(&catalog, kind, name) {
            Some(file) if !is_text(&file.file) => Err(CurationError::InFile {
                name: name.to_owned(),
                file: file.clone(),
            }),
            _ => Ok(()),
        }
    }
}

/// Whether `name` is that of a document without a file: of the API, or of a followed catalog, which
/// the API may override.
fn is_text(name: &str) -> bool {
    name.starts_with(DOCUMENTS_PATH) || name.contains("://")
}

/// Where the current definition of a name was read.
pub(super) fn location<'c>(
    catalog: &'c Catalog,
    kind: DocumentKind,
    name: &str,
) -> Option<&'c Location> {
    match kind {
        DocumentKind::Profile => catalog.profile(&name.parse().ok()?)?.location.as_ref(),
        DocumentKind::Collection => {
            let (name, tag) = name.rsplit_once(':')?;
            let found = catalog.collection(&name.parse().ok()?, &tag.parse().ok()?);
            found.map(|collection| &collection.location)
        }
    }
}
