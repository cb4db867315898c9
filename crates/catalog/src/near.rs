//! Which known names a misspelled one was probably meant to be.
//! It only ever suggests; nothing is chosen by likeness.

/// How alike two names must be to be suggested, from 0 to 1.
const ALIKE: f64 = 0.6;

/// Letters that matter when names are compared: lower case, without `-` and `_`.
pub(crate) fn fold(name: &str) -> String {
    name.chars()
        .filter(|c| !matches!(c, '-' | '_'))
        .map(|c| c.to_ascii_lowercase())
        .collect()
}

fn likeness(wanted: &str, known: &str) -> f64 {
    let known = fold(known);
    let alike = strsim::normalized_damerau_levenshtein(wanted, &known);
    // A name that someone began to write is meant even if much is missing.
    let begun = wanted.len() >= 3 && (known.starts_with(wanted) || wanted.starts_with(&known));
    if begun { alike.max(0.7) } else { alike }
}

/// The known name that is most like `name`.
pub(crate) fn nearest<'k>(name: &str, known: impl Iterator<Item = &'k str>) -> Option<&'k str> {
    ranked(name, known, 1).into_iter().next()
}

/// The `most` known names that are most like `name`, best first, equals by name.
pub(crate) fn ranked<'k>(
    name: &str,
    known: impl Iterator<Item = &'k str>,
    most: usize,
) -> Vec<&'k str> {
    let wanted = fold(name);
    let mut scored: Vec<(f64, &str)> = known
        .map(|known| (likeness(&wanted, known), known))
        .filter(|(alike, _)| *alike >= ALIKE)
        .collect();
    scored.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.cmp(b.1)));
    scored.dedup_by(|a, b| a.1 == b.1);
    scored.truncate(most);
    scored.into_iter().map(|(_, known)| known).collect()
}
