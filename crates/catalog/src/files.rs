//! The document files below paths, as a catalog artifact names them.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use bytes::Bytes;

use crate::artifact::{CatalogFile, MAX_FILES};
use crate::load::{MAX_FOLDERS, is_document, list};
use crate::yaml::MAX_FILE_BYTES;

/// A file or folder that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("{}: {problem}", .path.display())]
pub struct FileError {
    /// The file or folder.
    pub path: PathBuf,
    /// What is wrong with it.
    pub problem: String,
}

/// Reads the document files at `paths`: a file is named by its own name, a file in a folder by its
/// path below that folder. As much is read as [`artifact`](crate::artifact) takes, and a little
/// more, so that passing its bounds shows.
///
/// # Errors
/// A file or folder that cannot be read, or more files than a catalog has.
pub fn files<P: AsRef<Path>>(paths: &[P]) -> Result<Vec<CatalogFile>, FileError> {
    let mut files = Vec::new();
    for path in paths {
        let path = path.as_ref();
        let found = fs::metadata(path).map_err(|error| failed(path, &error))?;
        if found.is_dir() {
            add_folder(path, "", 0, &mut files)?;
        } else {
            let name = path.file_name().map(|name| name.to_string_lossy());
            add_file(path, name.unwrap_or_default().into_owned(), &mut files)?;
        }
    }
    Ok(files)
}

fn add_folder(
    folder: &Path,
    prefix: &str,
    depth: usize,
    files: &mut Vec<CatalogFile>,
) -> Result<(), FileError> {
    if depth > MAX_FOLDERS {
        let problem = format!("more than {MAX_FOLDERS} folders within each other");
        let path = folder.to_owned();
        return Err(FileError { path, problem });
    }
    let mut paths = list(folder).map_err(|error| failed(folder, &error))?;
    paths.sort();
    for path in paths {
        let name = path.file_name().map(|name| name.to_string_lossy());
        let title = format!("{prefix}{}", name.unwrap_or_default());
        let found = fs::metadata(&path).map_err(|error| failed(&path, &error))?;
        if found.is_dir() {
            add_folder(&path, &format!("{title}/"), depth + 1, files)?;
        } else if found.is_file() && is_document(&path) {
            add_file(&path, title, files)?;
        }
    }
    Ok(())
}

fn add_file(path: &Path, title: String, files: &mut Vec<CatalogFile>) -> Result<(), FileError> {
    if files.len() > MAX_FILES {
        let problem = format!("more than {MAX_FILES} files");
        let path = path.to_owned();
        return Err(FileError { path, problem });
    }
    let mut bytes = Vec::new();
    let limit = MAX_FILE_BYTES as u64 + 1;
    fs::File::open(path)
        .and_then(|file| file.take(limit).read_to_end(&mut bytes))
        .map_err(|error| failed(path, &error))?;
    files.push(CatalogFile {
        title,
        bytes: Bytes::from(bytes),
    });
    Ok(())
}

fn failed(path: &Path, error: &std::io::Error) -> FileError {
    FileError {
        path: path.to_owned(),
        problem: error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_named_below_their_folder_and_hidden_ones_left_out() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("gpu")).unwrap();
        for name in ["a.yaml", "gpu/b.yml", ".c.yaml", "readme.md"] {
            fs::write(folder.path().join(name), name).unwrap();
        }
        let single = folder.path().join("gpu/b.yml");
        let titles = |paths: &[&Path]| -> Vec<String> {
            let found = files(paths).unwrap();
            found.into_iter().map(|file| file.title).collect()
        };
        assert_eq!(titles(&[folder.path()]), ["a.yaml", "gpu/b.yml"]);
        assert_eq!(titles(&[&single]), ["b.yml"]);
        let error = files(&[folder.path().join("none")]).unwrap_err();
        assert!(error.to_string().contains("none: "), "{error}");
    }
}
