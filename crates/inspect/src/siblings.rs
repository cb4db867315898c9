//! Files of which one is chosen by the processor: those below `glibc-hwcaps`, and those whose names
//! differ by a level only.

use std::collections::{BTreeMap, BTreeSet};

/// Levels as they stand in names of files, from the start of a word on.
const LEVELS: &[&str] = &[
    "avx512f",
    "avx512bw",
    "avx512",
    "avx2",
    "avx",
    "sse4_2",
    "sse4.2",
    "sse42",
    "sse4_1",
    "sse41",
    "sse4",
    "ssse3",
    "sse3",
    "sse2",
    "haswell",
    "skylakex",
    "skx",
    "alderlake",
    "icelake",
    "sandybridge",
    "sapphirerapids",
    "zen2",
    "zen3",
    "zen4",
    "zen",
    "znver2",
    "znver3",
    "znver4",
    "fma",
    "x86_64_v2",
    "x86_64_v3",
    "x86_64_v4",
    "x86-64-v2",
    "x86-64-v3",
    "x86-64-v4",
    "x64",
];
/// Words that stand in the place of a level for every processor.
const PLAIN: &[&str] = &[
    "generic", "baseline", "base", "compat", "lts", "scalar", "basic", "x86_64",
];

/// The paths that are chosen only where the processor fits.
pub(crate) fn alternatives<'p>(paths: impl Iterator<Item = &'p str>) -> BTreeSet<&'p str> {
    let mut chosen = BTreeSet::new();
    let mut groups: BTreeMap<String, Vec<(&str, bool)>> = BTreeMap::new();
    for path in paths {
        if path.contains("/glibc-hwcaps/") {
            chosen.insert(path);
            continue;
        }
        let name_at = path.rfind('/').map_or(0, |at| at + 1);
        let (folder, name) = path.split_at_checked(name_at).unwrap_or(("", path));
        let (stem, leveled) = stem(name);
        groups
            .entry(format!("{folder}{stem}"))
            .or_default()
            .push((path, leveled));
    }
    for files in groups.into_values() {
        // There is one for every other processor.
        if files.iter().any(|(_, leveled)| !leveled) {
            chosen.extend(
                files
                    .iter()
                    .filter(|(_, leveled)| *leveled)
                    .map(|(path, _)| path),
            );
        }
    }
    chosen
}

/// A name without its level, and whether it had one.
fn stem(name: &str) -> (String, bool) {
    let lower = name.to_ascii_lowercase();
    let find = |words: &[&str]| {
        words.iter().find_map(|word| {
            let at = lower.rfind(word)?;
            let before = lower.get(..at)?.strip_suffix(['-', '_', '.'])?;
            let after = lower.get(at + word.len()..)?;
            let ends = after.is_empty() || after.starts_with(['-', '_', '.']);
            ends.then(|| format!("{before}{after}"))
        })
    };
    match find(LEVELS) {
        Some(stem) => (stem, true),
        None => (find(PLAIN).unwrap_or(lower.clone()), false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_alternatives_only_where_one_is_for_every_processor() {
        let paths = [
            "opt/libfoo.so",
            "opt/libfoo_avx2.so",
            "opt/libbar_avx2.so",
            "opt/libggml-cpu-haswell.so",
            "opt/libggml-cpu-base.so",
            "usr/lib/glibc-hwcaps/x86-64-v3/libz.so.1",
            "usr/lib/libz.so.1",
            "opt/avx2.so",
        ];
        let found: Vec<_> = alternatives(paths.into_iter()).into_iter().collect();
        assert_eq!(
            found,
            [
                "opt/libfoo_avx2.so",
                "opt/libggml-cpu-haswell.so",
                "usr/lib/glibc-hwcaps/x86-64-v3/libz.so.1"
            ]
        );
    }
}
