//! What is touched in one place only: repositories, SQL, the files of content.

use super::*;

/// Files of `registry` outside `access` that may use the whole store: upkeep, which no client asks
/// for, and content before any repository has it.
const WHOLE_STORE: [&str; 9] = [
    "cache/derived.rs",
    "cache/eviction.rs",
    "cache/pins.rs",
    "cache/room.rs",
    "demand/records.rs",
    "lib.rs",
    "maintenance.rs",
    "pull/repositories.rs",
    "transfer/import.rs",
];

/// Every read and every change of a repository goes through a handle that `registry::access` makes
/// after its checks; that those cannot be made elsewhere is the compiler's to hold (`Repository`'s
/// documentation). What the compiler cannot see: nobody takes the whole store or looks for an
/// upstream's repository without such a handle, and no client's request acts as the operator.
#[test]
fn repositories_are_reached_through_authorised_handles_only() {
    let text = |path: &Path| std::fs::read_to_string(path).unwrap();
    let mut found = Vec::new();
    let src = root().join("crates/registry/src");
    let mut files = Vec::new();
    sources(&src, &mut files);
    assert!(files.len() > 40, "{src:?}");
    for file in &files {
        let name = file.strip_prefix(&src).unwrap().to_str().unwrap();
        if name.starts_with("access/") {
            continue;
        }
        let text: String = text(file).split_whitespace().collect();
        let whole = text.contains(".store()") || text.contains("inner.store");
        if whole && !WHOLE_STORE.contains(&name) {
            found.push(format!("{name} uses the whole store"));
        }
        for call in [".routes(", "pass_through_route", "UpstreamsConfig"] {
            if text.contains(call) {
                found.push(format!(
                    "{name} looks for an upstream's repository by {call}"
                ));
            }
        }
    }
    let mut files = Vec::new();
    sources(&root().join("crates/server/src"), &mut files);
    for file in files {
        if text(&file).contains(".operator()") {
            found.push(format!("{} acts as the operator", file.display()));
        }
    }
    assert_eq!(found, [""; 0]);
}

#[test]
fn sql_stands_in_one_place() {
    let mut files = Vec::new();
    for folder in crates().values() {
        sources(&folder.join("src"), &mut files);
    }
    let place = Path::new("store/src/records/sqlite");
    let (inside, outside): (Vec<PathBuf>, Vec<PathBuf>) = files
        .into_iter()
        .partition(|file| file.parent().is_some_and(|folder| folder.ends_with(place)));
    let speaks = |file: &PathBuf| {
        let text = std::fs::read_to_string(file).unwrap();
        let words = ["sqlx", "SELECT ", "INSERT INTO ", "DELETE FROM ", "PRAGMA "];
        words.iter().any(|word| text.contains(word))
    };
    assert!(inside.iter().filter(|file| speaks(file)).count() > 10);
    let found: Vec<PathBuf> = outside.into_iter().filter(speaks).collect();
    assert!(
        found.is_empty(),
        "{found:#?}: give `Records` a method for it, and put the statement into {}",
        place.display()
    );
}

#[test]
fn files_of_content_are_touched_in_one_place() {
    let src = root().join("crates/store/src");
    let mut files = Vec::new();
    sources(&src, &mut files);
    // Beside the content there are the lock, the lease and the reserve, and folders of backups.
    let places = ["content/files", "folder", "backup"];
    let (inside, outside): (Vec<PathBuf>, Vec<PathBuf>) = files.into_iter().partition(|file| {
        let folder = file.strip_prefix(&src).unwrap().parent().unwrap();
        places.iter().any(|place| folder == Path::new(place))
    });
    let touches = |file: &PathBuf| {
        let text = std::fs::read_to_string(file).unwrap();
        let text = text.split("#[cfg(test)]").next().unwrap();
        // To name the type of an open file touches none.
        let text = text.replace("use std::fs::File;", "");
        let words = [
            "std::fs",
            "tokio::fs",
            "rustix::fs",
            "unix::fs",
            "File::open",
            "File::create",
        ];
        words.iter().any(|word| text.contains(word))
    };
    assert!(inside.iter().filter(|file| touches(file)).count() > 10);
    let found: Vec<PathBuf> = outside
        .into_iter()
        .filter(touches)
        .filter(|file| !file.to_str().unwrap().contains("tests"))
        .collect();
    assert_eq!(
        found,
        Vec::<PathBuf>::new(),
        "give `Content` a method for it, and touch the files in crates/store/src/content/files"
    );
}
