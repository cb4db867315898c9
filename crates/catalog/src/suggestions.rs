//! The known names nearest to a misspelled one. Suggestions only; nothing is chosen by likeness.

/// How alike two names must be to be suggested, from 0 to 1.
const ALIKE: f64 = 0.6;

/// Longest selector for which similar names are looked for: nobody misspells more, and the
/// work grows with the length.
pub(crate) const MAX_NEAR_BYTES: usize = 64;

/// Letters that matter when names are compared: lower case, without `-` and `_`.
pub(crate) fn fold(name: &str) -> String {
    name.chars()
        .filter(|c| !matches!(c, '-' | '_'))
        .map(|c| c.to_ascii_lowercase())
        .collect()
}

/// How much less alike than the best another may be to be suggested beside it.
const SPREAD: f64 = 0.2;

/// How alike two folded names are, when they are alike enough to be suggested.
fn likeness(wanted: &str, known: &str) -> Option<f64> {
    // A name that someone began to write is meant even if much is missing.
    if wanted.len() >= 3 && (known.starts_with(wanted) || wanted.starts_with(known)) {
        return Some(strsim::normalized_damerau_levenshtein(wanted, known).max(0.7));
    }
    // Each letter that the other lacks is a change, so most pairs need not be compared.
    let longer = wanted.len().max(known.len());
    #[expect(clippy::cast_precision_loss, reason = "names have few letters")]
    let at_best = shared_letters(wanted, known) as f64 / longer.max(1) as f64;
    if at_best < ALIKE {
        return None;
    }
    Some(strsim::normalized_damerau_levenshtein(wanted, known)).filter(|alike| *alike >= ALIKE)
}

/// How many bytes two names have in common, in any order.
fn shared_letters(a: &str, b: &str) -> usize {
    let mut counts = [0_u16; 256];
    for byte in a.bytes() {
        if let Some(count) = counts.get_mut(usize::from(byte)) {
            *count += 1;
        }
    }
    b.bytes()
        .filter(|byte| match counts.get_mut(usize::from(*byte)) {
            Some(count) if *count > 0 => {
                *count -= 1;
                true
            }
            _ => false,
        })
        .count()
}

/// A name that may be suggested, and the form in which names are compared.
#[derive(Clone, Debug)]
pub(crate) struct Name<T> {
    shown: T,
    folded: String,
}

impl<T: AsRef<str>> Name<T> {
    pub(crate) fn new(shown: T) -> Self {
        let folded = fold(shown.as_ref());
        Self { shown, folded }
    }
}

/// The known name that is most like `name`; nothing where none is like it.
pub fn nearest<'k>(name: &str, known: impl Iterator<Item = &'k str>) -> Option<&'k str> {
    let names: Vec<Name<&str>> = known.map(Name::new).collect();
    ranked(name, names.iter(), 1).into_iter().next().copied()
}

/// The `most` known names that are most like `name`, best first, equals by name.
pub(crate) fn ranked<'n, T: AsRef<str> + 'n>(
    name: &str,
    known: impl Iterator<Item = &'n Name<T>>,
    most: usize,
) -> Vec<&'n T> {
    let wanted = fold(name);
    let mut scored: Vec<(f64, &T)> = known
        .filter_map(|known| Some((likeness(&wanted, &known.folded)?, &known.shown)))
        .collect();
    scored.sort_by(|a, b| {
        let by_name = || a.1.as_ref().cmp(b.1.as_ref());
        b.0.total_cmp(&a.0).then_with(by_name)
    });
    scored.dedup_by(|a, b| fold(a.1.as_ref()) == fold(b.1.as_ref()));
    scored.truncate(most);
    let best = scored.first().map_or(0.0, |(alike, _)| *alike);
    scored.retain(|(alike, _)| best - *alike <= SPREAD);
    scored.into_iter().map(|(_, known)| known).collect()
}
