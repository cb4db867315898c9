//! Files of which one is chosen by the processor: those below `glibc-hwcaps`, and those whose paths
//! differ by a level only, in the name of the file or of a folder.

use std::collections::BTreeSet;

/// Levels as they stand in paths, as words of their own; longer ones before those that they hold.
const LEVELS: &[&str] = &[
    "avx512f",
    "avx512bw",
    "avx512_knl",
    "avx512",
    "avx_512_knl",
    "avx_512",
    "avx2_256",
    "avx2_128",
    "avx2",
    "avx_128_fma",
    "avx_256",
    "avx",
    "sse4_2",
    "sse4.2",
    "sse42",
    "sse4_1",
    "sse4.1",
    "sse41",
    "sse4",
    "ssse3",
    "sse3",
    "haswell",
    "skylakex",
    "skx",
    "alderlake",
    "cannonlake",
    "cascadelake",
    "cooperlake",
    "icelake",
    "ivybridge",
    "sandybridge",
    "sapphirerapids",
    "piledriver",
    "zen2",
    "zen3",
    "zen4",
    "zen5",
    "zen",
    "znver2",
    "znver3",
    "znver4",
    "znver5",
    "fma",
    "x86_64_v2",
    "x86_64_v3",
    "x86_64_v4",
    "x86-64-v2",
    "x86-64-v3",
    "x86-64-v4",
];
/// Words that stand in the place of a level for every processor of 64-bit x86.
const PLAIN: &[&str] = &[
    "generic", "baseline", "base", "compat", "default", "def", "lts", "scalar", "basic", "sse2",
    "x64",
];
/// The same, but also a part of many names that say nothing of a choice, as in
/// `a.cpython-311-x86_64-linux-gnu.so`.
const ARCHITECTURE: &[&str] = &["x86_64"];

/// The paths that are chosen only where the processor fits.
pub(crate) fn alternatives<'p>(paths: impl Iterator<Item = &'p str>) -> BTreeSet<&'p str> {
    let mut chosen = BTreeSet::new();
    let mut for_one: Vec<(String, &str)> = Vec::new();
    let mut for_every: BTreeSet<String> = BTreeSet::new();
    for path in paths {
        if path.contains("/glibc-hwcaps/") {
            chosen.insert(path);
            continue;
        }
        let lower = path.to_ascii_lowercase();
        if let Some(stem) = without(&lower, LEVELS) {
            for_one.push((stem, path));
            continue;
        }
        for_every.extend(without(&lower, PLAIN));
        for_every.extend(without(&lower, ARCHITECTURE));
        for_every.insert(lower);
    }
    // There is one for every other processor.
    let found = for_one
        .into_iter()
        .filter(|(stem, _)| for_every.contains(stem));
    chosen.extend(found.map(|(_, path)| path));
    chosen
}

/// What a path for one level has in common with those for others.
pub(crate) fn stem_for_one(path: &str) -> Option<String> {
    without(&path.to_ascii_lowercase(), LEVELS)
}

/// What a path has in common with those for single levels, if it says itself that it is for every
/// processor.
pub(crate) fn stem_for_every(path: &str) -> Option<String> {
    let lower = path.to_ascii_lowercase();
    match without(&lower, LEVELS) {
        Some(_) => None,
        None => without(&lower, PLAIN),
    }
}

/// A path without the first of `words` that it has.
fn without(path: &str, words: &[&str]) -> Option<String> {
    const BETWEEN: [char; 4] = ['/', '-', '_', '.'];
    words.iter().find_map(|word| {
        let at = path.rfind(word)?;
        let before = path.get(..at)?;
        let after = path.get(at + word.len()..)?;
        let ends = after.is_empty() || after.starts_with(BETWEEN);
        let stem = before.strip_suffix(BETWEEN)?;
        ends.then(|| format!("{stem}{after}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_alternatives_only_where_one_is_for_every_processor() {
        // The path, and whether it is one.
        let paths = [
            ("opt/libfoo.so", false),
            ("opt/libfoo_avx2.so", true),
            ("opt/libbar_avx2.so", false),
            ("opt/avx2.so", false),
            ("usr/lib/glibc-hwcaps/x86-64-v3/libz.so.1", true),
            ("usr/lib/libz.so.1", false),
            // llama.cpp
            ("opt/libggml-cpu-haswell.so", true),
            ("opt/libggml-cpu-cascadelake.so", true),
            ("opt/libggml-cpu-x64.so", false),
            // RapidFuzz
            ("py/fuzz_cpp.cpython-311-x86_64-linux-gnu.so", false),
            ("py/fuzz_cpp_avx2.cpython-311-x86_64-linux-gnu.so", true),
            ("py/lone_avx2.cpython-311-x86_64-linux-gnu.so", false),
            // MKL
            ("mkl/libmkl_def.so.2", false),
            ("mkl/libmkl_avx512.so.2", true),
            // The images that GROMACS publishes
            ("gromacs/bin.SSE2/gmx", false),
            ("gromacs/bin.AVX2_256/gmx", true),
            ("gromacs/bin.AVX_512/gmx", true),
            ("gromacs/bin.AVX_512/alone", false),
            // Folders by processors, beside those for all
            ("usr/lib/x86_64-linux-gnu/haswell/libfftw3.so.3", true),
            ("usr/lib/x86_64-linux-gnu/libfftw3.so.3", false),
            ("opt/spack/linux-x86_64_v3/libm.so", false),
        ];
        let found = alternatives(paths.iter().map(|(path, _)| *path));
        for (path, expected) in paths {
            assert_eq!(found.contains(path), expected, "{path}");
        }
    }

    #[test]
    fn what_is_for_every_processor_meets_what_is_for_one() {
        let every = stem_for_every("gromacs/bin.SSE2/gmx");
        assert_eq!(every, stem_for_one("gromacs/bin.AVX2_256/gmx"));
        assert!(every.is_some());
        for path in ["usr/lib/x86_64-linux-gnu/libm.so", "opt/a_avx2.so"] {
            assert_eq!(stem_for_every(path), None, "{path}");
        }
    }
}
