//! Where the documents of a catalog come from, and how they are joined: files and folders first,
//! then sources of another kind, such as catalogs that are followed, in the order of their slots.
//! Where two sources define one name, the first counts and a warning says so. Nothing here says
//! what is done with the joined catalog: that is the work of `documents`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use metahub_catalog::{Catalog, Loaded, Loader, Problem};
use metahub_hardware::Microarchitectures;
use metahub_operations::imported_folder;
use tokio::sync::watch;

/// A document that does not come from a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Text {
    /// The name under which problems with it are told.
    pub(crate) name: String,
    /// The YAML.
    pub(crate) text: String,
}

/// What a source that is made of no files has at present.
pub(crate) type Texts = Arc<Vec<Text>>;

/// All sources of a catalog. Clones see the same.
#[derive(Clone)]
pub(crate) struct Sources {
    /// The CPU targets that documents may name.
    graph: Arc<Microarchitectures>,
    paths: Vec<PathBuf>,
    /// Where imports put theirs; there once something was imported.
    imported: PathBuf,
    others: watch::Sender<Vec<Texts>>,
}

/// Where a source of another kind than files puts what it has. Clones put it in the same place.
#[derive(Clone)]
#[allow(dead_code, reason = "only tests add sources yet")]
pub(crate) struct Slot {
    at: usize,
    sources: Sources,
}

impl Sources {
    /// The documents at `paths` and those that were imported into the data folder `data`.
    pub(crate) fn new(graph: Arc<Microarchitectures>, paths: &[PathBuf], data: &Path) -> Self {
        Self {
            graph,
            paths: paths.to_vec(),
            imported: imported_folder(data),
            others: watch::Sender::default(),
        }
    }

    #[allow(dead_code, reason = "only tests add sources yet")]
    /// Adds a source that comes after all that are there, with what it has at first.
    pub(crate) fn add(&self, texts: Texts) -> Slot {
        let mut at = 0;
        self.others.send_modify(|others| {
            at = others.len();
            others.push(texts);
        });
        Slot {
            at,
            sources: self.clone(),
        }
    }

    /// Completes after a source that is made of no files has changed.
    pub(crate) fn changes(&self) -> watch::Receiver<Vec<Texts>> {
        self.others.subscribe()
    }

    /// The files and folders among them.
    pub(crate) fn paths(&self) -> Vec<PathBuf> {
        let mut all = self.paths.clone();
        let imported = Some(&self.imported).filter(|folder| folder.exists());
        all.extend(imported.cloned());
        all
    }

    /// Reads all of them and joins them. Blocks.
    pub(crate) fn load(&self) -> Loaded {
        let others = self.others.borrow().clone();
        self.join(&others)
    }

    fn join(&self, others: &[Texts]) -> Loaded {
        let mut loader = Loader::new(Catalog::in_graph(Arc::clone(&self.graph)));
        for path in self.paths() {
            loader.add_path(&path);
        }
        for texts in others.iter().filter(|texts| !texts.is_empty()) {
            loader.next_source();
            for Text { name, text } in texts.iter() {
                loader.add_text(name, text);
            }
        }
        loader.finish()
    }
}

#[allow(dead_code, reason = "only tests add sources yet")]
impl Slot {
    /// The errors that the joined catalog would have with `texts` in this slot and does not have
    /// now. Blocks.
    pub(crate) fn errors_with(&self, texts: &Texts) -> Vec<Problem> {
        let mut others = self.sources.others.borrow().clone();
        let now = self.sources.join(&others);
        if let Some(slot) = others.get_mut(self.at) {
            *slot = Arc::clone(texts);
        }
        let known: Vec<String> = now.problems.iter().map(ToString::to_string).collect();
        let mut problems = self.sources.join(&others).problems;
        problems.retain(|problem| problem.is_error() && !known.contains(&problem.to_string()));
        problems
    }

    /// Puts `texts` in this slot, so that the catalog is read anew.
    pub(crate) fn publish(&self, texts: Texts) {
        self.sources.others.send_modify(|others| {
            if let Some(slot) = others.get_mut(self.at) {
                *slot = texts;
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(texts: &[(&str, &str)]) -> Texts {
        let text = |(name, text): &(&str, &str)| Text {
            name: (*name).to_owned(),
            text: (*text).to_owned(),
        };
        Arc::new(texts.iter().map(text).collect())
    }

    fn profile(name: &str, feature: &str) -> String {
        format!("profile:\n  name: {name}\n  features: [{feature}]\n")
    }

    fn provides(loaded: &Loaded, login: &str) -> String {
        let login = loaded.catalog.interpret(login, &|_| false).unwrap();
        format!("{:?}", login.profile.provided())
    }

    #[test]
    fn what_files_define_counts_before_other_sources_and_those_in_their_order() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a.yaml"), profile("site/a", "arch:zen3")).unwrap();
        let paths = [folder.path().to_owned()];
        let sources = Sources::new(Microarchitectures::builtin(), &paths, Path::new("/none"));
        let mut changes = sources.changes();
        let first = sources.add(Texts::default());
        let second = profile("site/a", "arch:zen4") + "---\n" + &profile("site/b", "arch:zen4");
        sources.add(texts(&[("second", &second)]));
        let loaded = sources.load();
        assert!(provides(&loaded, "site/a").contains("zen3"));
        assert!(provides(&loaded, "site/b").contains("zen4"));
        assert!(!loaded.has_errors());
        let told = loaded.problems[0].to_string();
        assert!(
            told.starts_with("second:2:") && told.contains("a.yaml:2:"),
            "{told}"
        );

        let _ = changes.borrow_and_update();
        first.publish(texts(&[("first", &profile("site/b", "arch:zen2"))]));
        assert!(changes.has_changed().unwrap());
        assert!(provides(&sources.load(), "site/b").contains("zen2"));
    }

    #[test]
    fn a_name_twice_in_one_source_is_an_error_of_that_source() {
        let sources = Sources::new(Microarchitectures::builtin(), &[], Path::new("/none"));
        let broken = profile("site/a", "nme");
        sources.add(texts(&[("before", "profile: {nme: x}")]));
        let slot = sources.add(Texts::default());
        let twice = profile("site/a", "arch:zen4") + "---\n" + &profile("site/a", "arch:zen4");
        let errors = slot.errors_with(&texts(&[("x", &twice)]));
        assert_eq!(errors.len(), 1, "only its own: {errors:?}");
        assert_eq!(errors[0].code, "duplicate-name");
        assert!(slot.errors_with(&texts(&[("x", &broken)])).len() == 1);
        let right = profile("site/a", "arch:zen4");
        assert!(slot.errors_with(&texts(&[("x", &right)])).is_empty());
    }
}
