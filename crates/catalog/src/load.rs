//! Loads files and folders into a catalog and collects all problems. It follows no link to a folder
//! twice, reads no hidden file, and writes nothing.

use std::collections::HashSet;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{fs, io};

use metahub_hardware::Microarchitectures;
use metahub_oci::{RepositoryName, Tag};

use crate::collection::Collection;
use crate::document::Document;
use crate::extends::{self, Extension};
use crate::problem::{Problem, Severity};
use crate::profile::Read as ReadProfile;
use crate::reader::Reader;
use crate::source::Source;
use crate::yaml::{self, MAX_FILE_BYTES, Mark};
use crate::{Catalog, Location, ProfileName, TestCase};

/// Folders within folders, at most.
pub(crate) const MAX_FOLDERS: usize = 32;

/// A catalog and what was wrong with the documents it was read from.
#[derive(Debug)]
#[must_use]
pub struct Loaded {
    /// Everything that could be read.
    pub catalog: Catalog,
    /// Errors and warnings; sorted by file, line and column.
    pub problems: Vec<Problem>,
    /// How many files or texts were read.
    pub files: usize,
    /// The cases for `metahub profile test`, in the order in which they were read.
    pub cases: Vec<TestCase>,
}

impl Catalog {
    /// Reads files, and in folders every `*.yaml` and `*.yml` file below them. Invalid parts are
    /// left out and reported in the problems; everything else is in the catalog.
    pub fn load<P: AsRef<Path>>(paths: &[P]) -> Loaded {
        Self::load_in(Microarchitectures::builtin(), paths)
    }

    /// The same with a site's own CPU targets.
    pub fn load_in<P: AsRef<Path>>(graph: Arc<Microarchitectures>, paths: &[P]) -> Loaded {
        let mut loader = Loader::new(Self::in_graph(graph));
        for path in paths {
            loader.add_path(path.as_ref());
        }
        loader.finish()
    }

    /// Reads texts, each with its name in problems.
    pub fn from_documents<N: AsRef<str>, T: AsRef<str>>(texts: &[(N, T)]) -> Loaded {
        let mut loader = Loader::new(Self::builtin());
        for (name, text) in texts {
            loader.add_text(name.as_ref(), text.as_ref());
        }
        loader.finish()
    }
}

/// Every problem in these files and folders, sorted by file and place, as `metahub check` reports
/// them.
#[must_use]
pub fn check<P: AsRef<Path>>(paths: &[P]) -> Vec<Problem> {
    Catalog::load(paths).problems
}

impl Loaded {
    /// Whether anything was left out of the catalog.
    #[must_use]
    pub fn has_errors(&self) -> bool {
        self.problems.iter().any(Problem::is_error)
    }
}

/// Adds documents to a catalog, one source after the other.
pub struct Loader {
    catalog: Catalog,
    problems: Vec<Problem>,
    files: usize,
    cases: Vec<TestCase>,
    extensions: Vec<Extension>,
    /// Files and folders that were read, by their real place.
    seen: HashSet<PathBuf>,
    earlier: Earlier,
}

/// What sources before the present one define.
#[derive(Default)]
struct Earlier {
    profiles: HashSet<ProfileName>,
    collections: HashSet<(RepositoryName, Tag)>,
}

impl std::fmt::Debug for Loader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Loader")
            .field("files", &self.files)
            .finish_non_exhaustive()
    }
}

impl Loader {
    /// Starts from a catalog, which says what CPU targets there are.
    #[must_use]
    pub fn new(catalog: Catalog) -> Self {
        Self {
            catalog,
            problems: Vec::new(),
            files: 0,
            cases: Vec::new(),
            extensions: Vec::new(),
            seen: HashSet::new(),
            earlier: Earlier::default(),
        }
    }

    /// Begins another source of documents. Where it defines a name that an earlier source has
    /// defined, the earlier one is used and a warning says so. Within one source that is an error.
    pub fn next_source(&mut self) {
        self.earlier.profiles = self.catalog.document_names().cloned().collect();
        let collections = self.catalog.collections();
        self.earlier.collections = collections
            .map(|collection| (collection.name.clone(), collection.tag.clone()))
            .collect();
    }

    /// The profiles and the collections, `NAME:TAG`, that were added so far.
    #[must_use]
    pub fn names(&self) -> (Vec<String>, Vec<String>) {
        let profiles = self.catalog.document_names();
        let collections = self.catalog.collections();
        (
            profiles.map(ToString::to_string).collect(),
            collections
                .map(|one| format!("{}:{}", one.name, one.tag))
                .collect(),
        )
    }

    /// The tests of what was added so far, which [`finish`](Self::finish) then leaves out.
    #[must_use]
    pub fn take_cases(&mut self) -> Vec<TestCase> {
        std::mem::take(&mut self.cases)
    }

    /// The catalog as far as it could be read.
    pub fn finish(mut self) -> Loaded {
        extends::check(&mut self.catalog, &self.extensions, &mut self.problems);
        self.problems
            .sort_by(|a, b| (&a.location, a.severity).cmp(&(&b.location, b.severity)));
        Loaded {
            catalog: self.catalog,
            problems: self.problems,
            files: self.files,
            cases: self.cases,
        }
    }

    /// Adds the documents of a text.
    pub fn add_text(&mut self, name: &str, text: &str) {
        self.files += 1;
        let source = Source::new(name, text);
        let (nodes, syntax) = yaml::parse(text);
        let graph = Arc::clone(self.catalog.graph());
        for node in &nodes {
            let mut reader = Reader::new(source.clone(), &graph, &mut self.problems);
            let document = Document::read(&mut reader, node);
            for (collection, mark) in document.collections {
                self.add_collection(&source, collection, mark);
            }
            for read in document.profiles {
                self.add_profile(&source, read);
            }
            self.cases.extend(document.cases);
        }
        if let Some(error) = syntax {
            let help = yaml::help(text, &error);
            self.problems.push(source.problem(
                Severity::Error,
                "bad-yaml",
                error.mark,
                error.message,
                help,
            ));
        }
    }

    fn add_collection(&mut self, source: &Arc<Source>, collection: Collection, mark: Mark) {
        let tags = self
            .catalog
            .collections
            .entry(collection.name.clone())
            .or_default();
        if let Some(first) = tags.get(&collection.tag) {
            let what = format!("the collection {}:{}", collection.name, collection.tag);
            let name = (collection.name, collection.tag);
            let shadowed = self.earlier.collections.contains(&name);
            let problem = again(source, mark, &what, Some(&first.location), shadowed);
            self.problems.push(problem);
        } else {
            tags.insert(collection.tag.clone(), collection);
        }
    }

    fn add_profile(&mut self, source: &Arc<Source>, read: ReadProfile) {
        let ReadProfile {
            profile,
            name: mark,
            extends,
        } = read;
        let extensions: Vec<Extension> = profile
            .extends
            .iter()
            .zip(extends)
            .map(|(base, mark)| Extension {
                profile: profile.name.clone(),
                base: base.clone(),
                source: Arc::clone(source),
                mark,
            })
            .collect();
        if let Some((profile, first)) = self.catalog.add_profile(profile) {
            let what = if profile.name.to_string() == first.name.to_string() {
                format!("the profile {}", profile.name)
            } else {
                format!("the profile {} (also written {})", profile.name, first.name)
            };
            let shadowed = self.earlier.profiles.contains(&profile.name);
            let problem = again(source, mark, &what, first.location.as_ref(), shadowed);
            self.problems.push(problem);
        } else {
            self.extensions.extend(extensions);
        }
    }

    /// Adds a file, or all documents below a folder in the order of their names.
    pub fn add_path(&mut self, path: &Path) {
        match fs::metadata(path) {
            Err(error) => self.unreadable(path, &error),
            Ok(found) if found.is_dir() => {
                let (read, seen) = (self.files, self.seen.len());
                self.add_folder(path, 0);
                // A folder that was read before has nothing new, and nothing wrong.
                if self.files == read && self.seen.len() > seen {
                    let message = "there is no *.yaml or *.yml file in this folder".to_owned();
                    let help = "name another file or folder, or put documents there";
                    self.file_problem(path, Severity::Warning, "no-documents", message, help);
                }
            }
            Ok(_) => self.add_file(path),
        }
    }

    fn add_folder(&mut self, folder: &Path, depth: usize) {
        if depth > MAX_FOLDERS || !self.is_new(folder) {
            return;
        }
        let mut paths = match list(folder) {
            Ok(paths) => paths,
            Err(error) => return self.unreadable(folder, &error),
        };
        paths.sort();
        for path in paths {
            match fs::metadata(&path) {
                Err(error) => self.unreadable(&path, &error),
                Ok(found) if found.is_dir() => self.add_folder(&path, depth + 1),
                Ok(found) if found.is_file() && is_document(&path) => self.add_file(&path),
                Ok(_) => {}
            }
        }
    }

    /// Whether a file or folder was not read before, by this or another name.
    fn is_new(&mut self, path: &Path) -> bool {
        let place = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        self.seen.insert(place)
    }

    fn add_file(&mut self, path: &Path) {
        if !self.is_new(path) {
            return;
        }
        let mut bytes = Vec::new();
        // One byte more than is accepted, to know that there was more.
        let limit = u64::try_from(MAX_FILE_BYTES).unwrap_or(u64::MAX) + 1;
        let read = fs::File::open(path).and_then(|file| file.take(limit).read_to_end(&mut bytes));
        if let Err(error) = read {
            return self.unreadable(path, &error);
        }
        match String::from_utf8(bytes) {
            Ok(text) => self.add_text(&path.display().to_string(), &text),
            Err(error) => {
                let at = error.utf8_error().valid_up_to();
                let message = format!("this is not UTF-8 text: byte {at} is not");
                self.file_problem(
                    path,
                    Severity::Error,
                    "bad-text",
                    message,
                    "save it as UTF-8",
                );
            }
        }
    }

    fn unreadable(&mut self, path: &Path, error: &io::Error) {
        let (message, help) = match error.kind() {
            io::ErrorKind::NotFound => (
                "there is no such file or folder".to_owned(),
                "check the path; it is taken from the current folder unless it starts with /",
            ),
            _ => (
                format!("this cannot be read: {error}"),
                "check who may read it",
            ),
        };
        self.file_problem(path, Severity::Error, "unreadable", message, help);
    }

    fn file_problem(
        &mut self,
        path: &Path,
        severity: Severity,
        code: &'static str,
        message: String,
        help: &str,
    ) {
        let name = path.display().to_string();
        let problem = Problem::of_file(&name, severity, code, message, help);
        self.problems.push(problem);
    }
}

/// A name that is defined again: an error within one source, a warning where the `first` one is of
/// an earlier source.
fn again(
    source: &Arc<Source>,
    mark: Mark,
    what: &str,
    first: Option<&Location>,
    shadowed: bool,
) -> Problem {
    let place = first.map(|first| format!(": first at {first}"));
    let place = place.unwrap_or_default();
    let (severity, code, message) = if shadowed {
        (
            Severity::Warning,
            "shadowed-name",
            format!("{what} is not used, because a source that comes first defines it{place}"),
        )
    } else {
        (
            Severity::Error,
            "duplicate-name",
            format!("{what} is defined twice{place}"),
        )
    };
    let help = "rename or remove one of the two; the first one is used".to_owned();
    source.problem(severity, code, mark, message, Some(help))
}

/// What a folder holds, without hidden files: editors and mounts keep copies under such names.
pub(crate) fn list(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if !entry.file_name().as_encoded_bytes().starts_with(b".") {
            paths.push(entry.path());
        }
    }
    Ok(paths)
}

pub(crate) fn is_document(path: &Path) -> bool {
    path.extension()
        .is_some_and(|ext| ext.eq_ignore_ascii_case("yaml") || ext.eq_ignore_ascii_case("yml"))
}
