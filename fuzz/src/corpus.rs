//! What a target begins with: the seeds of `corpus/NAME`, and files of this repository that are
//! read elsewhere, too.

use std::path::{Path, PathBuf};

use crate::Target;

/// Stands alone on the line between two seeds, where seeds have lines.
const BETWEEN: &str = "=====";

/// The seeds of `target`, in the same order everywhere.
pub(crate) fn seeds(target: &Target, corpus: &Path) -> Vec<Vec<u8>> {
    let mut seeds = of_file(&corpus.join(target.name));
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    for path in target.files {
        let path = repository.join(path);
        match path.extension() {
            Some(extension) if extension == "md" => seeds.extend(examples(&path)),
            Some(_) => seeds.push(read(&path)),
            None => seeds.extend(files(&path).iter().map(|file| read(file))),
        }
    }
    seeds
}

/// One seed a line; or, in a file that has such lines, all between [`BETWEEN`] and the next.
fn of_file(path: &Path) -> Vec<Vec<u8>> {
    let text = String::from_utf8(read(path)).expect("a corpus is UTF-8");
    let text = text.strip_suffix('\n').unwrap_or(&text);
    let between = format!("\n{BETWEEN}\n");
    let between = if text.contains(&between) {
        between.as_str()
    } else {
        "\n"
    };
    text.split(between)
        .map(|seed| seed.as_bytes().to_vec())
        .collect()
}

/// The YAML that a page shows.
fn examples(page: &Path) -> Vec<Vec<u8>> {
    let text = String::from_utf8(read(page)).expect("a page is UTF-8");
    let blocks = text.split("```yaml\n").skip(1);
    let blocks = blocks.filter_map(|rest| rest.split("```").next());
    blocks.map(|block| block.as_bytes().to_vec()).collect()
}

/// The documents of a folder and of those within it.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries =
        std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut entries: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    let files = entries.into_iter().flat_map(|entry| {
        if entry.is_dir() {
            return files(&entry);
        }
        let is_document = entry.extension().is_some_and(|name| name == "yaml");
        is_document.then_some(entry).into_iter().collect()
    });
    files.collect()
}

fn read(file: &Path) -> Vec<u8> {
    std::fs::read(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}
