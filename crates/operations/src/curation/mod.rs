//! The documents of the API: checked as `metahub check` does, together with all others that the
//! server has; stored with their former versions; merged with the documents of folders into one
//! catalog. Documents of folders take precedence, and are never replaced from here.

mod bounds;
mod check;
mod error;
mod kind;
mod version;

use std::sync::Arc;

use metahub_catalog::{Catalog, Location, Problem};
use metahub_hardware::Microarchitectures;
use metahub_store::{
    DocumentChange, DocumentOutcome, DocumentVersion, Precondition, Store, StoreError,
};
use tokio::sync::watch;

pub use bounds::{DOCUMENT_BOUNDS, MAX_DOCUMENT_BYTES};
pub use check::JoinedCatalog;
use check::{Checks, location};
pub use error::CurationError;
use kind::problem_file;
pub use kind::{DOCUMENTS_PATH, DocumentKind};
pub use version::{Changed, Expects, Listed, Shown, VersionInfo};
use version::{etag, info};

/// The documents of the API. Cheap to clone.
#[derive(Clone)]
pub struct Curation {
    inner: Arc<Inner>,
}

struct Inner {
    store: Store,
    checks: Checks,
    /// Held while a document is changed, so that each change is checked against all before it.
    changing: tokio::sync::Mutex<()>,
}

impl Curation {
    /// The documents in `store`; `in_force` is the catalog that they are part of.
    #[must_use]
    pub fn new(
        store: Store,
        graph: Arc<Microarchitectures>,
        in_force: watch::Receiver<Arc<Catalog>>,
        joined: Box<dyn JoinedCatalog>,
    ) -> Self {
        Self {
            inner: Arc::new(Inner {
                store,
                checks: Checks {
                    graph,
                    in_force,
                    joined: Arc::from(joined),
                },
                changing: tokio::sync::Mutex::default(),
            }),
        }
    }

    /// All documents of a kind, by name: those of the API, and those of files.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn list(&self, kind: DocumentKind) -> Result<Vec<Listed>, CurationError> {
        let catalog = Arc::clone(&self.inner.checks.in_force.borrow());
        let mut listed: Vec<Listed> = Vec::new();
        for document in self.inner.store.documents().await? {
            if document.kind != kind.as_str() {
                continue;
            }
            let used = location(&catalog, kind, &document.name);
            let own = problem_file(&document.kind, &document.name);
            let others = used.filter(|used| *used.file != *own);
            listed.push(Listed {
                name: document.name.clone(),
                source: "api".to_owned(),
                shadowed: others.map(ToString::to_string),
                left_out: used.is_none(),
                version: Some(info(&document)),
            });
        }
        let elsewhere = |location: &&Location| !location.file.starts_with(DOCUMENTS_PATH);
        let mut add = |name: String, location: Option<&Location>| {
            if let Some(location) = location.filter(elsewhere)
                && !listed.iter().any(|one| one.name == name)
            {
                listed.push(Listed {
                    name,
                    source: location.to_string(),
                    version: None,
                    shadowed: None,
                    left_out: false,
                });
            }
        };
        match kind {
            DocumentKind::Profile => {
                for profile in catalog.profiles() {
                    add(profile.name.to_string(), profile.location.as_ref());
                }
            }
            DocumentKind::Collection => {
                for one in catalog.collections() {
                    add(format!("{}:{}", one.name, one.tag), Some(&one.location));
                }
            }
        }
        listed.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(listed)
    }

    /// A document of the API; without a number its last version.
    ///
    /// # Errors
    /// [`CurationError::Missing`] where there is none, and when the store cannot be read.
    pub async fn show(
        &self,
        kind: DocumentKind,
        name: &str,
        version: Option<u64>,
    ) -> Result<Shown, CurationError> {
        let name = kind.name(name)?;
        let found = self.inner.store.document(kind.as_str(), &name, version);
        let text = found.await?.and_then(|found| {
            let etag = etag(&found)?;
            Some(Shown {
                text: found.text?,
                etag,
            })
        });
        text.ok_or_else(|| {
            CurationError::Missing(match version {
                Some(version) => format!("version {version} of the {} {name}", kind.as_str()),
                None => format!("{} {name}", kind.as_str()),
            })
        })
    }

    /// The versions of a document, newest first.
    ///
    /// # Errors
    /// [`CurationError::Missing`] where there never was one, and when the store cannot be read.
    pub async fn history(
        &self,
        kind: DocumentKind,
        name: &str,
    ) -> Result<Vec<VersionInfo>, CurationError> {
        let name = kind.name(name)?;
        let store = &self.inner.store;
        let versions = store.document_history(kind.as_str(), &name).await?;
        if versions.is_empty() {
            return Err(CurationError::Missing(format!("{} {name}", kind.as_str())));
        }
        let bare = |version: &DocumentVersion| VersionInfo {
            etag: None,
            ..info(version)
        };
        Ok(versions.iter().map(bare).collect())
    }

    /// Stores `text` as the document `name`.
    ///
    /// # Errors
    /// As [`CurationError`] says; nothing was changed then.
    pub async fn put(
        &self,
        kind: DocumentKind,
        name: &str,
        text: String,
        account: &str,
        expects: Option<Expects>,
    ) -> Result<Changed, CurationError> {
        let name = kind.name(name)?;
        let _turn = self.inner.changing.lock().await;
        let precondition = self.precondition(kind, &name, expects).await?;
        let warnings = self.check(kind, &name, Some(&text)).await?;
        let version = self.change(kind, &name, Some(text), account, precondition);
        Ok(Changed {
            version: info(&version.await?),
            name,
            warnings,
            created: precondition == Precondition::Absent,
        })
    }

    /// Deletes the document `name`.
    ///
    /// # Errors
    /// As [`CurationError`] says; nothing was changed then.
    pub async fn delete(
        &self,
        kind: DocumentKind,
        name: &str,
        account: &str,
        expects: Option<Expects>,
    ) -> Result<(), CurationError> {
        let name = kind.name(name)?;
        let _turn = self.inner.changing.lock().await;
        let precondition = self.precondition(kind, &name, expects).await?;
        if precondition == Precondition::Absent {
            return Err(CurationError::NoPrecondition);
        }
        self.check(kind, &name, None).await?;
        self.change(kind, &name, None, account, precondition)
            .await?;
        Ok(())
    }

    /// Checks a request's precondition on the document's text, and returns the one on its version:
    /// a version's text never changes.
    async fn precondition(
        &self,
        kind: DocumentKind,
        name: &str,
        expects: Option<Expects>,
    ) -> Result<Precondition, CurationError> {
        let last = self.inner.store.document(kind.as_str(), name, None).await?;
        let current = last.as_ref().filter(|last| last.text.is_some());
        let tag = current.and_then(etag);
        match (expects, current) {
            (None, _) => Err(CurationError::NoPrecondition),
            (Some(Expects::Nothing), None) => Ok(Precondition::Absent),
            (Some(Expects::Anything), Some(_)) => Ok(Precondition::Present),
            (Some(Expects::Tags(tags)), Some(current))
                if tag.as_ref().is_some_and(|tag| tags.contains(tag)) =>
            {
                Ok(Precondition::Version(current.version))
            }
            _ => Err(CurationError::Otherwise(tag)),
        }
    }

    async fn change(
        &self,
        kind: DocumentKind,
        name: &str,
        text: Option<String>,
        account: &str,
        precondition: Precondition,
    ) -> Result<DocumentVersion, CurationError> {
        let change = DocumentChange {
            kind: kind.as_str(),
            name: name.to_owned(),
            text,
            account: account.to_owned(),
            precondition,
        };
        let store = &self.inner.store;
        let version = match store.change_document(change, DOCUMENT_BOUNDS).await? {
            DocumentOutcome::Changed(version) => version,
            DocumentOutcome::Otherwise(there) => {
                return Err(CurationError::Otherwise(there.as_ref().and_then(etag)));
            }
            DocumentOutcome::Full => return Err(CurationError::Full),
        };
        let what = if version.text.is_some() {
            "put"
        } else {
            "deleted"
        };
        tracing::info!(
            kind = kind.as_str(), %name, version = version.version, %account,
            "a document was {what} through the API"
        );
        self.inner
            .checks
            .joined
            .publish(api_documents(store).await?);
        Ok(version)
    }

    async fn check(
        &self,
        kind: DocumentKind,
        name: &str,
        text: Option<&str>,
    ) -> Result<Vec<Problem>, CurationError> {
        let before = api_documents(&self.inner.store).await?;
        self.inner.checks.check(kind, name, text, before).await
    }
}

/// The documents of the API in `store`, each with its name in problems.
///
/// # Errors
/// When the store cannot be read.
pub async fn api_documents(store: &Store) -> Result<Vec<(String, String)>, StoreError> {
    Ok(texts(store.documents().await?))
}

fn texts(documents: Vec<DocumentVersion>) -> Vec<(String, String)> {
    let documents = documents.into_iter();
    documents
        .filter_map(|one| Some((problem_file(&one.kind, &one.name), one.text?)))
        .collect()
}
