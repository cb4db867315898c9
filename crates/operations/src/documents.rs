//! Documents of an imported bundle: stored in the folder `catalog` of the data folder, which is
//! read besides the configured ones. One file each, named by what it defines, so that a later
//! import replaces it.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use metahub_catalog::{Catalog, Loader, Location, Problem};
use metahub_oci::Digest;
use serde::Serialize;
use serde_json::Value;

/// The folder's name in the data folder.
const FOLDER: &str = "catalog";
/// File systems take names of 255 bytes.
const MAX_NAME: usize = 200;

/// The folder of imported documents.
#[must_use]
pub fn imported_folder(data: &Path) -> PathBuf {
    data.join(FOLDER)
}

/// Why documents of a bundle were not imported.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum DocumentsError {
    /// One has an error.
    #[error("{0}")]
    Wrong(Box<Problem>),
    /// One conflicts with a document of this site.
    #[error("the bundle defines the {name} otherwise than {file} does")]
    #[diagnostic(help("remove that definition, or import with --without-documents"))]
    Conflict {
        /// What is defined, such as `profile site/a:latest`.
        name: String,
        /// The site's document.
        file: String,
    },
    /// There is no folder for them.
    #[error("cannot make the folder {folder}")]
    Folder {
        /// The folder.
        folder: PathBuf,
        /// Why not.
        #[source]
        error: std::io::Error,
    },
    /// One could not be written.
    #[error("cannot write {file}")]
    Write {
        /// The file.
        file: PathBuf,
        /// Why not.
        #[source]
        error: std::io::Error,
    },
}

/// Documents that may be put in use.
#[derive(Debug)]
pub struct ImportedDocuments {
    folder: PathBuf,
    /// File name and text.
    files: Vec<(String, String)>,
    /// What they define.
    names: Vec<String>,
}

impl ImportedDocuments {
    /// Checks `texts` before anything is written: each must be valid, and none may conflict with a
    /// document of this site.
    ///
    /// # Errors
    /// An error in a document, or a conflict with this site's.
    pub fn check(data: &Path, catalog: &Catalog, texts: &[String]) -> Result<Self, DocumentsError> {
        let mut imported = Self {
            folder: imported_folder(data),
            files: Vec::new(),
            names: Vec::new(),
        };
        for (number, text) in texts.iter().enumerate() {
            let mut loader = Loader::new(Catalog::in_graph(catalog.graph().clone()));
            loader.add_text(&format!("the bundle's document {}", number + 1), text);
            let loaded = loader.finish();
            let mut problems = loaded.problems.into_iter();
            if let Some(problem) = problems.find(Problem::is_error) {
                return Err(DocumentsError::Wrong(Box::new(problem)));
            }
            imported.add(catalog, &loaded.catalog, text)?;
        }
        Ok(imported)
    }

    fn add(&mut self, here: &Catalog, there: &Catalog, text: &str) -> Result<(), DocumentsError> {
        let mut news = false;
        let mut names = Vec::new();
        for collection in there.collections() {
            let name = format!("collection {}:{}", collection.name, collection.tag);
            let known = here.collection(&collection.name, &collection.tag);
            let known = known.map(|known| (meaning(known), Some(&known.location)));
            news |= self.is_news(&name, &meaning(collection), known)?;
            names.push(name);
        }
        for profile in there.profiles().filter(|p| p.location.is_some()) {
            let name = format!("profile {}", profile.name);
            let known = here.profile(&profile.name).filter(|p| p.location.is_some());
            let known = known.map(|known| (meaning(known), known.location.as_ref()));
            news |= self.is_news(&name, &meaning(profile), known)?;
            names.push(name);
        }
        if news && let Some(first) = names.first() {
            self.files.push((file_name(first), text.to_owned()));
            self.names.extend(names);
        }
        Ok(())
    }

    /// Whether to write a definition: it is new, or from an earlier import.
    fn is_news(
        &self,
        name: &str,
        meaning: &Value,
        known: Option<(Value, Option<&Location>)>,
    ) -> Result<bool, DocumentsError> {
        let Some((known, location)) = known else {
            return Ok(true);
        };
        if known == *meaning {
            return Ok(false);
        }
        let file = location.map(|location| location.file.as_ref());
        if file.is_some_and(|file| Path::new(file).starts_with(&self.folder)) {
            return Ok(true);
        }
        Err(DocumentsError::Conflict {
            name: name.to_owned(),
            file: file.unwrap_or("this site").to_owned(),
        })
    }

    /// Writes them where the server finds them. Returns what they define.
    ///
    /// # Errors
    /// When the folder or a file cannot be written.
    pub fn write(self) -> Result<Vec<String>, DocumentsError> {
        if self.files.is_empty() {
            return Ok(Vec::new());
        }
        fs::create_dir_all(&self.folder).map_err(|error| DocumentsError::Folder {
            folder: self.folder.clone(),
            error,
        })?;
        for (name, text) in &self.files {
            let file = self.folder.join(name);
            let written = self.write_file(name, &file, text);
            written.map_err(|error| DocumentsError::Write { file, error })?;
        }
        Ok(self.names)
    }

    fn write_file(&self, name: &str, path: &Path, text: &str) -> std::io::Result<()> {
        // Hidden until it is whole: the catalog reads no hidden file.
        let hidden = self.folder.join(format!(".{name}"));
        let mut file = File::create(&hidden)?;
        file.write_all(b"# Written by metahub import; a later import may replace it.\n")?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&hidden, path)?;
        File::open(&self.folder)?.sync_all()
    }
}

/// The meaning of a document, without its place.
fn meaning(document: impl Serialize) -> Value {
    let mut value = serde_json::to_value(document).unwrap_or_default();
    if let Some(fields) = value.as_object_mut() {
        fields.remove("location");
    }
    value
}

/// A file name for what a document defines, unique for each name.
fn file_name(name: &str) -> String {
    let short: String = name.chars().take(MAX_NAME).collect();
    let safe = short.replace('/', "+").replace(':', "@").replace(' ', "-");
    if short.len() == name.len() {
        return format!("{safe}.yaml");
    }
    let digest = Digest::sha256(name.as_bytes());
    format!("{safe}-{}.yaml", digest.hex().get(..16).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use metahub_catalog::Catalog;

    use super::*;

    fn collection(image: &str) -> String {
        format!("manifests:\n  - name: site/app\n    tag: 1\n    manifests: [{{image: {image}}}]\n")
    }

    fn in_force(data: &Path, others: &[PathBuf]) -> Catalog {
        let mut paths = others.to_vec();
        paths.extend(Some(imported_folder(data)).filter(|folder| folder.exists()));
        Catalog::load(&paths).catalog
    }

    #[test]
    fn what_an_import_brought_is_replaced_by_the_next_and_written_only_if_it_says_another_thing() {
        let data = tempfile::tempdir().unwrap();
        let import = |image: &str| {
            let here = in_force(data.path(), &[]);
            let checked = ImportedDocuments::check(data.path(), &here, &[collection(image)]);
            checked.unwrap().write().unwrap()
        };
        assert_eq!(import("x/a"), ["collection site/app:1"]);
        assert!(import("x/a").is_empty());
        assert_eq!(import("x/b"), ["collection site/app:1"]);
        let now = in_force(data.path(), &[]);
        assert_eq!(now.collections().count(), 1);
        let entry = &now.collections().next().unwrap().entries[0];
        assert_eq!(entry.image.to_string(), "x/b");
    }

    #[test]
    fn what_the_site_defines_otherwise_is_refused_by_name() {
        let (data, site) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::write(site.path().join("own.yaml"), collection("x/own")).unwrap();
        let here = in_force(data.path(), &[site.path().to_owned()]);
        let other = ImportedDocuments::check(data.path(), &here, &[collection("x/other")]);
        let message = other.unwrap_err().to_string();
        assert!(
            message.contains("site/app:1") && message.contains("own.yaml"),
            "{message}"
        );
        let same = ImportedDocuments::check(data.path(), &here, &[collection("x/own")]).unwrap();
        assert!(same.write().unwrap().is_empty());
    }

    #[test]
    fn a_document_with_an_error_is_refused() {
        let data = tempfile::tempdir().unwrap();
        let wrong = ["profile: {nme: x}".to_owned()];
        assert!(ImportedDocuments::check(data.path(), &Catalog::builtin(), &wrong).is_err());
    }

    #[test]
    fn each_name_has_a_file_of_its_own() {
        assert_eq!(file_name("collection a/b:1.0"), "collection-a+b@1.0.yaml");
        let long = |end: &str| file_name(&format!("collection {}{end}", "x".repeat(300)));
        assert_ne!(long("a"), long("b"));
        assert!(long("a").len() < 255);
    }
}
