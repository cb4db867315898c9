//! The names of this process's ancestors, from `/proc`.

use std::fs;
use std::path::Path;

/// No chain of processes is longer.
const MOST: usize = 64;

/// Names (`comm`, at most 15 bytes) of the processes above this one, nearest first.
pub(crate) fn of_this(proc: &Path) -> Vec<String> {
    let mut names = Vec::new();
    let mut process = "self".to_owned();
    while names.len() < MOST {
        let Some((_, parent)) = stat(proc, &process) else {
            break;
        };
        let Some((name, _)) = stat(proc, &parent) else {
            break;
        };
        names.push(name);
        process = parent;
    }
    names
}

/// A process's name and its parent (proc(5), `/proc/pid/stat`). The name is in parentheses and may
/// have any character.
fn stat(proc: &Path, process: &str) -> Option<(String, String)> {
    let text = fs::read(proc.join(process).join("stat")).ok()?;
    let text = String::from_utf8_lossy(&text);
    let (_, rest) = text.split_once('(')?;
    let (name, rest) = rest.rsplit_once(')')?;
    let parent = rest.split_ascii_whitespace().nth(1)?;
    let is_number = parent.bytes().all(|byte| byte.is_ascii_digit());
    (is_number && parent != "0").then(|| (name.to_owned(), parent.to_owned()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests may assert by panicking")]
mod tests {
    use super::*;

    #[test]
    fn the_names_above_are_those_of_parents() {
        let folder = tempfile::tempdir().unwrap();
        let process = |folder_name: &str, stat: &str| {
            let place = folder.path().join(folder_name);
            fs::create_dir(&place).unwrap();
            fs::write(place.join("stat"), stat).unwrap();
        };
        process("self", "90 (metahub-node) S 80 90 1");
        process("80", "80 (a (odd) name) S 70 80 1");
        process("70", "70 (srun) S 1 70 1");
        process("1", "1 (init) S 0 1 1");
        assert_eq!(of_this(folder.path()), ["a (odd) name", "srun"]);
        assert_eq!(of_this(&folder.path().join("none")), [""; 0]);
    }

    #[test]
    fn a_circle_ends() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("self");
        fs::create_dir(&place).unwrap();
        fs::write(place.join("stat"), "7 (x) S self 1").unwrap();
        assert_eq!(of_this(folder.path()), [""; 0]);
        fs::create_dir(folder.path().join("7")).unwrap();
        fs::write(folder.path().join("7/stat"), "7 (x) S 7 1").unwrap();
        fs::write(place.join("stat"), "7 (x) S 7 1").unwrap();
        assert_eq!(of_this(folder.path()).len(), MOST);
    }
}
