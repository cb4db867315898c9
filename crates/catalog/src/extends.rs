//! Profiles that extend others: checks that all of them exist and that none extends itself.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::problem::Severity;
use crate::source::Source;
use crate::yaml::Mark;
use crate::{Catalog, Problem, ProfileName, suggestions};

/// Most profiles above one another: one, what it extends, what that extends, and so on.
const MOST_DEPTH: usize = 16;

/// Where a profile names another that it extends.
pub(crate) struct Extension {
    pub(crate) profile: ProfileName,
    pub(crate) base: ProfileName,
    pub(crate) source: Arc<Source>,
    pub(crate) mark: Mark,
}

/// Why an extension does not hold.
enum Fault {
    Unknown,
    Circle(Vec<ProfileName>),
    Deep(Vec<ProfileName>),
}

/// Takes profiles out of the catalog that extend what is not there or come back to themselves,
/// and notes why.
pub(crate) fn check(catalog: &mut Catalog, extensions: &[Extension], problems: &mut Vec<Problem>) {
    let mut bases: HashMap<&ProfileName, Vec<&ProfileName>> = HashMap::new();
    for extension in extensions {
        let of = bases.entry(&extension.profile).or_default();
        of.push(&extension.base);
    }
    let mut wrong: HashSet<&ProfileName> = HashSet::new();
    // What extends a profile that is taken out is taken out in turn.
    loop {
        let mut depths = Depths {
            bases: &bases,
            known: HashMap::new(),
        };
        let mut found = HashSet::new();
        for extension in extensions {
            let profile = &extension.profile;
            if wrong.contains(profile) || found.contains(profile) {
                continue;
            }
            let fault = match catalog.profile(&extension.base) {
                None => Some(Fault::Unknown),
                Some(_) => depths.of(&extension.base, &mut vec![profile]).err(),
            };
            match fault {
                None => {}
                // A circle of other profiles is reported with those.
                Some(Fault::Circle(path)) if path.last() != Some(profile) => {}
                Some(fault) => {
                    problems.push(problem(catalog, extension, &fault));
                    found.insert(profile);
                }
            }
        }
        if found.is_empty() {
            return;
        }
        for name in &found {
            catalog.remove_profile(name);
        }
        wrong.extend(found);
    }
}

/// How many profiles each stands on.
struct Depths<'a> {
    bases: &'a HashMap<&'a ProfileName, Vec<&'a ProfileName>>,
    known: HashMap<&'a ProfileName, usize>,
}

impl<'a> Depths<'a> {
    /// Of `name`, which the last of `path` extends. Goes no deeper than a profile may.
    fn of(
        &mut self,
        name: &'a ProfileName,
        path: &mut Vec<&'a ProfileName>,
    ) -> Result<usize, Fault> {
        let begins = path.iter().position(|above| *above == name);
        path.push(name);
        let shown = |path: &[&ProfileName]| path.iter().map(|name| (*name).clone()).collect();
        if begins.is_some() {
            return Err(Fault::Circle(shown(path)));
        }
        let depth = match self.known.get(name) {
            Some(depth) => *depth,
            None if path.len() > MOST_DEPTH => MOST_DEPTH,
            None => {
                let mut deepest = 1;
                for base in self.bases.get(name).into_iter().flatten() {
                    deepest = deepest.max(1 + self.of(base, path)?);
                }
                self.known.insert(name, deepest);
                deepest
            }
        };
        // The path itself has `name` in it already.
        if path.len() - 1 + depth > MOST_DEPTH {
            return Err(Fault::Deep(shown(path)));
        }
        path.pop();
        Ok(depth)
    }
}

fn problem(catalog: &Catalog, extension: &Extension, fault: &Fault) -> Problem {
    let base = &extension.base;
    let (code, message, help) = match fault {
        Fault::Unknown => {
            let names: Vec<String> = catalog.profiles().map(|p| p.name.selector()).collect();
            let near = suggestions::nearest(&base.selector(), names.iter().map(String::as_str));
            let help = match near {
                Some(near) => format!("did you mean `{near}`?"),
                None => "name a profile of the catalog that has no errors".to_owned(),
            };
            (
                "unknown-profile",
                format!("no profile is called {base}"),
                help,
            )
        }
        Fault::Circle(path) => (
            "circle",
            format!("{} extends itself: {}", extension.profile, shown(path)),
            "remove one of these steps".to_owned(),
        ),
        Fault::Deep(path) => (
            "too-deep",
            format!(
                "{} is the top of more than {MOST_DEPTH} profiles: {}",
                extension.profile,
                shown(path)
            ),
            "put some of them together".to_owned(),
        ),
    };
    let (source, mark) = (&extension.source, extension.mark);
    source.problem(Severity::Error, code, mark, message, Some(help))
}

fn shown(path: &[ProfileName]) -> String {
    let names: Vec<String> = path.iter().map(ProfileName::selector).collect();
    names.join(" → ")
}
