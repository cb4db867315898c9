//! Files of which an operator knows more than reading their code shows. No I/O.

use std::collections::HashMap;

use metahub_hardware::{Microarchitectures, Target};

/// Files by the SHA-256 of their content in hexadecimal, of which nothing is unknown any more: for
/// every processor, or for those that have what a certain one has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lifted {
    files: HashMap<String, On>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum On {
    Every,
    These(Vec<String>),
}

impl Lifted {
    /// Adds a file: for every processor, or for `target`, by its name in archspec, and those that
    /// descend from it.
    pub fn add(&mut self, sha256: String, target: Option<String>) {
        let on = self.files.entry(sha256).or_insert(On::These(Vec::new()));
        match (target, &mut *on) {
            (None, _) => *on = On::Every,
            (Some(target), On::These(targets)) => targets.push(target),
            (Some(_), On::Every) => {}
        }
    }

    /// Whether nothing of a file is unknown on a machine that has all of `targets`. A target that is
    /// not known lifts nothing.
    #[must_use]
    pub fn holds(&self, sha256: &str, targets: &[Target], graph: &Microarchitectures) -> bool {
        match self.files.get(sha256) {
            None => false,
            Some(On::Every) => true,
            Some(On::These(names)) => {
                names
                    .iter()
                    .filter_map(|name| graph.find(name).ok())
                    .any(|lifted| {
                        targets
                            .iter()
                            .any(|target| graph.descends_from(target, &lifted))
                    })
            }
        }
    }

    /// The targets that are named.
    pub fn targets(&self) -> impl Iterator<Item = &str> {
        self.files
            .values()
            .flat_map(|on| match on {
                On::Every => &[],
                On::These(names) => names.as_slice(),
            })
            .map(String::as_str)
    }
}

impl FromIterator<(String, Option<String>)> for Lifted {
    fn from_iter<I: IntoIterator<Item = (String, Option<String>)>>(files: I) -> Self {
        let mut lifted = Self::default();
        for (sha256, target) in files {
            lifted.add(sha256, target);
        }
        lifted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_lifted_for_processors_that_have_what_it_ran_on() {
        let graph = Microarchitectures::builtin();
        let lifted: Lifted = [
            ("aa", None),
            ("bb", Some("x86_64_v3")),
            ("cc", Some("zen3")),
            ("cc", Some("haswell")),
            ("dd", Some("nothing")),
        ]
        .into_iter()
        .map(|(hash, target)| (hash.to_owned(), target.map(str::to_owned)))
        .collect();
        for (hash, target, expected) in [
            ("aa", "x86_64", true),
            ("bb", "x86_64_v3", true),
            ("bb", "zen4", true),
            ("bb", "x86_64_v2", false),
            ("cc", "zen4", true),
            ("cc", "skylake", true),
            ("cc", "zen2", false),
            ("dd", "zen4", false),
            ("ee", "zen4", false),
        ] {
            let targets = [graph.find(target).unwrap()];
            assert_eq!(
                lifted.holds(hash, &targets, &graph),
                expected,
                "{hash} {target}"
            );
        }
    }
}
