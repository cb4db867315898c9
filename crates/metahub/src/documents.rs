//! The catalog of a server: loaded at startup, and again when its documents change.
//!
//! A catalog with an error is never put in use: a server that silently left a profile out would
//! serve its users something else.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use metahub_catalog::{Catalog, Loaded, Problem};
use miette::miette;
use serde_json::Value;
use tokio::sync::watch;

use crate::reload::{Reload, Why};
use crate::sources::{Sources, Texts};

/// The documents of a server.
pub(crate) struct Documents {
    sources: Sources,
    changes: watch::Receiver<Vec<Texts>>,
    in_force: watch::Sender<Arc<Catalog>>,
    /// The last problems, so that they are logged once.
    told: Vec<String>,
}

impl Documents {
    /// Reads the documents of `sources`. Errors in them fail the start.
    pub(crate) fn read(sources: Sources) -> miette::Result<Self> {
        let changes = sources.changes();
        let Loaded {
            catalog, problems, ..
        } = sources.load();
        for problem in &problems {
            anstream::eprintln!("{problem}");
        }
        let errors = problems.iter().filter(|problem| problem.is_error()).count();
        if errors > 0 {
            return Err(miette!(
                help = "metahub check PATH... shows each with its place in the document",
                "the catalog has {errors} errors"
            ));
        }
        Ok(Self {
            sources,
            changes,
            in_force: watch::Sender::new(Arc::new(catalog)),
            told: lines(&problems),
        })
    }

    /// Loads the current documents of sources other than files.
    pub(crate) fn take_up(&mut self) {
        self.changes.mark_unchanged();
        self.reload(Why::Changed);
    }

    /// The current catalog, and later ones.
    pub(crate) fn catalog(&self) -> watch::Receiver<Arc<Catalog>> {
        self.in_force.subscribe()
    }
}

impl Reload for Documents {
    fn paths(&self) -> Vec<PathBuf> {
        self.sources.paths()
    }

    async fn changed(&mut self) {
        if self.changes.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    fn reload(&mut self, why: Why) {
        let loaded = self.sources.load();
        let wrong = loaded.has_errors();
        let told = lines(&loaded.problems);
        let news = told != self.told;
        if why == Why::Asked || news {
            for problem in &loaded.problems {
                if problem.is_error() {
                    tracing::error!("{problem}");
                } else {
                    tracing::warn!("{problem}");
                }
            }
        }
        self.told = told;
        if wrong {
            if why == Why::Asked || news {
                tracing::error!("the catalog has errors: keeping the previous one");
            }
            return;
        }
        let changes = Changes::between(&self.in_force.borrow(), &loaded.catalog);
        if changes.is_empty() {
            // The defining document of a name may change while its meaning does not.
            if files(&self.in_force.borrow()) != files(&loaded.catalog) {
                self.in_force.send_replace(Arc::new(loaded.catalog));
            }
            if why == Why::Asked {
                tracing::info!("the catalog was read again: nothing in it changed");
            } else if news {
                tracing::info!("the catalog is right again");
            }
            return;
        }
        // Not `send`, which leaves the value as it is where nobody listens.
        self.in_force.send_replace(Arc::new(loaded.catalog));
        tracing::info!(
            added = changes.added.join(" "),
            removed = changes.removed.join(" "),
            changed = changes.changed.join(" "),
            "the catalog was reloaded"
        );
    }
}

fn lines(problems: &[Problem]) -> Vec<String> {
    problems.iter().map(ToString::to_string).collect()
}

/// The difference of two catalogs, by the names of profiles and collections.
#[derive(Debug, Default, PartialEq, Eq)]
struct Changes {
    added: Vec<String>,
    removed: Vec<String>,
    changed: Vec<String>,
}

impl Changes {
    fn between(former: &Catalog, latter: &Catalog) -> Self {
        let (former, mut latter) = (meanings(former), meanings(latter));
        let mut changes = Self::default();
        for (name, meaning) in former {
            match latter.remove(&name) {
                None => changes.removed.push(name),
                Some(now) if now != meaning => changes.changed.push(name),
                Some(_) => {}
            }
        }
        changes.added = latter.into_keys().collect();
        changes
    }

    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// The file or source that defines each name.
fn files(catalog: &Catalog) -> BTreeMap<String, Arc<str>> {
    let profiles = catalog.profiles().filter_map(|profile| {
        let location = profile.location.as_ref()?;
        Some((
            format!("profile {}", profile.name),
            Arc::clone(&location.file),
        ))
    });
    let collections = catalog.collections().map(|one| {
        let name = format!("collection {}:{}", one.name, one.tag);
        (name, Arc::clone(&one.location.file))
    });
    profiles.chain(collections).collect()
}

/// The meaning of each document, without its place.
fn meanings(catalog: &Catalog) -> BTreeMap<String, Value> {
    let profiles = catalog.profiles().map(|profile| {
        let name = format!("profile {}", profile.name);
        (name, serde_json::to_value(profile))
    });
    let collections = catalog.collections().map(|collection| {
        let name = format!("collection {}:{}", collection.name, collection.tag);
        (name, serde_json::to_value(collection))
    });
    profiles
        .chain(collections)
        .map(|(name, meaning)| {
            let mut meaning = meaning.unwrap_or_default();
            if let Some(fields) = meaning.as_object_mut() {
                fields.remove("location");
            }
            (name, meaning)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use metahub_hardware::Microarchitectures;

    use super::*;

    const ZEN: &str = "profile:\n  name: site/a\n  features: [arch:zen3]\n";
    const LAKE: &str = "profile:\n  name: site/a\n  features: [arch:cascadelake]\n";

    struct Site {
        folder: tempfile::TempDir,
        documents: Documents,
    }

    fn read(folder: &Path) -> miette::Result<Documents> {
        let (graph, data) = (Microarchitectures::builtin(), folder.join("data"));
        Documents::read(Sources::new(graph, &[folder.to_owned()], &data))
    }

    impl Site {
        fn new(text: &str) -> Self {
            let folder = tempfile::tempdir().unwrap();
            std::fs::write(folder.path().join("a.yaml"), text).unwrap();
            let documents = read(folder.path()).unwrap();
            Self { folder, documents }
        }

        fn write(&mut self, text: &str) -> Arc<Catalog> {
            std::fs::write(self.folder.path().join("a.yaml"), text).unwrap();
            self.documents.reload(Why::Changed);
            self.in_force()
        }

        fn in_force(&self) -> Arc<Catalog> {
            Arc::clone(&self.documents.catalog().borrow())
        }
    }

    fn provides(catalog: &Catalog, login: &str) -> String {
        let login = catalog.interpret(login, &|_| false).unwrap();
        format!("{:?}", login.profile.provided())
    }

    #[test]
    fn a_changed_document_is_put_in_force() {
        let mut site = Site::new(ZEN);
        let former = site.in_force();
        assert!(provides(&former, "site/a").contains("zen3"));
        let latter = site.write(LAKE);
        assert!(provides(&latter, "site/a").contains("cascadelake"));
        let changes = Changes::between(&former, &latter);
        assert_eq!(changes.changed, ["profile site/a:latest"]);
        assert_eq!((changes.added, changes.removed), (vec![], vec![]));
    }

    #[test]
    fn a_catalog_with_an_error_leaves_the_former_in_force() {
        let mut site = Site::new(ZEN);
        let former = site.in_force();
        for wrong in ["profile: [", &format!("{LAKE}---\nprofile:\n  nme: b\n")] {
            assert!(Arc::ptr_eq(&former, &site.write(wrong)), "{wrong}");
            assert!(site.documents.told[0].contains("a.yaml:"));
        }
        assert!(provides(&site.write(LAKE), "site/a").contains("cascadelake"));
    }

    #[test]
    fn what_only_moved_or_is_worded_otherwise_is_no_change() {
        let mut site = Site::new(ZEN);
        let former = site.in_force();
        assert!(Arc::ptr_eq(
            &former,
            &site.write(&format!("# a comment\n\n{ZEN}"))
        ));
    }

    #[test]
    fn profiles_and_collections_that_come_and_go_are_named() {
        let collection =
            "manifests:\n  - name: app\n    tag: 1\n    manifests:\n      - image: x/y:1\n";
        let mut site = Site::new(ZEN);
        let former = site.in_force();
        let changes = Changes::between(&former, &site.write(collection));
        assert_eq!(changes.removed, ["profile site/a:latest"]);
        assert_eq!(changes.added, ["collection app:1"]);
    }

    #[test]
    fn errors_stop_the_start() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a.yaml"), "profile: [").unwrap();
        assert!(read(folder.path()).is_err());
    }
}
