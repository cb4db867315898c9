//! The sources of a catalog's documents, and how they are joined: files and folders first, then
//! sources of other kinds, such as followed catalogs, in the order of their slots. Where two
//! sources define one name, the first takes precedence, with a warning. `documents` puts the joined
//! catalog in use.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use metahub_catalog::{Catalog, Loaded, Loader, Problem, Severity};
use metahub_hardware::Microarchitectures;
use metahub_operations::{DOCUMENTS_PATH, JoinedCatalog, imported_folder};
use tokio::sync::watch;

use crate::args::graph;
use crate::config::{Config, paths};

/// A document that does not come from a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Text {
    /// Its name in problems.
    pub(crate) name: String,
    /// The YAML.
    pub(crate) text: String,
}

/// The current documents of a source without files.
pub(crate) type Texts = Arc<Vec<Text>>;

/// All sources of a catalog. Clones share them.
#[derive(Clone)]
pub(crate) struct Sources {
    /// The CPU targets that documents may name.
    graph: Arc<Microarchitectures>,
    paths: Vec<PathBuf>,
    /// The folder of imported documents, once there are some.
    imported: PathBuf,
    others: watch::Sender<Vec<Texts>>,
}

/// The slot of a source other than files. Clones share it.
#[derive(Clone)]
pub(crate) struct Slot {
    at: usize,
    sources: Sources,
}

impl Sources {
    /// The files and folders of `config`, and what was imported into the data folder `data`.
    pub(crate) fn of(config: &Config, data: &Path) -> miette::Result<Self> {
        Ok(Self::new(graph(config)?, &paths(&config.catalog), data))
    }

    /// The documents at `paths` and those that were imported into the data folder `data`.
    pub(crate) fn new(graph: Arc<Microarchitectures>, paths: &[PathBuf], data: &Path) -> Self {
        Self {
            graph,
            paths: paths.to_vec(),
            imported: imported_folder(data),
            others: watch::Sender::default(),
        }
    }

    /// Adds a source after all others, with its first documents.
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

    /// Signals changes of sources without files.
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

    /// Reads and joins all of them. A document of the API with an error is left out, with a
    /// warning: it was valid when it was pushed, and must not invalidate all others. Blocks.
    pub(crate) fn load(&self) -> Loaded {
        let mut others = self.others.borrow().clone();
        let mut left_out: Vec<Problem> = Vec::new();
        loop {
            let mut loaded = self.join(&others);
            let wrong = |problem: &&Problem| problem.is_error() && is_of_the_api(problem);
            let wrong: Vec<Problem> = loaded.problems.iter().filter(wrong).cloned().collect();
            if wrong.is_empty() {
                loaded.problems.extend(left_out);
                return loaded;
            }
            for texts in &mut others {
                let is_wrong = |text: &Text| {
                    let mut all = wrong.iter();
                    all.any(|problem| *problem.location.file == *text.name)
                };
                if texts.iter().any(is_wrong) {
                    let right = texts.iter().filter(|text| !is_wrong(text));
                    *texts = Arc::new(right.cloned().collect());
                }
            }
            left_out.extend(wrong.into_iter().map(|mut problem| {
                problem.severity = Severity::Warning;
                problem.message.insert_str(0, "this document is left out: ");
                problem
            }));
        }
    }

    /// Names and texts of documents without files, source by source.
    pub(crate) fn others(&self) -> Vec<Vec<(String, String)>> {
        let others = self.others.borrow();
        let files = |texts: &Texts| {
            let files = texts.iter();
            files
                .map(|file| (file.name.clone(), file.text.clone()))
                .collect()
        };
        others.iter().map(files).collect()
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

/// Whether a problem is one of a document of the API.
fn is_of_the_api(problem: &Problem) -> bool {
    problem.location.file.starts_with(DOCUMENTS_PATH)
}

/// The documents of the API, as texts of a source.
pub(crate) fn texts_of(documents: Vec<(String, String)>) -> Texts {
    let documents = documents.into_iter();
    Arc::new(documents.map(|(name, text)| Text { name, text }).collect())
}

impl JoinedCatalog for Slot {
    fn problems_with(&self, texts: &[(String, String)]) -> Vec<Problem> {
        let mut others = self.sources.others.borrow().clone();
        if let Some(slot) = others.get_mut(self.at) {
            *slot = texts_of(texts.to_vec());
        }
        self.sources.join(&others).problems
    }

    fn publish(&self, texts: Vec<(String, String)>) {
        Slot::publish(self, texts_of(texts));
    }
}

impl Slot {
    /// The new errors that the joined catalog would have with `texts` in this slot. Blocks.
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

    /// Puts `texts` in this slot, and signals the change.
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
    fn a_document_of_the_api_that_no_longer_loads_is_left_out_alone() {
        let folder = tempfile::tempdir().unwrap();
        let base = folder.path().join("base.yaml");
        std::fs::write(&base, profile("site/base", "arch:zen3")).unwrap();
        let paths = [folder.path().to_owned()];
        let sources = Sources::new(Microarchitectures::builtin(), &paths, Path::new("/none"));
        let above =
            |name: &str, base: &str| format!("profile:\n  name: {name}\n  extends: [{base}]\n");
        sources.add(texts(&[
            ("api:profiles/site/a", &above("site/a", "site/base")),
            ("api:profiles/site/b", &above("site/b", "site/a")),
            ("api:profiles/site/c", &profile("site/c", "arch:zen4")),
        ]));
        assert!(sources.load().problems.is_empty());
        std::fs::write(&base, "profile: {name: site/other, features: [arch:zen2]}").unwrap();
        let loaded = sources.load();
        assert!(!loaded.has_errors(), "{:?}", loaded.problems);
        assert!(provides(&loaded, "site/c").contains("zen4"));
        assert!(loaded.catalog.interpret("site/a", &|_| false).is_err());
        let told: Vec<String> = loaded.problems.iter().map(ToString::to_string).collect();
        assert_eq!(told.len(), 2, "{told:?}");
        assert!(
            told.iter()
                .all(|line| line.contains("this document is left out: ")),
            "{told:?}"
        );
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
