//! Everything that an image states about its requirements, wherever its publisher wrote it:
//! annotations of its manifest, labels and environment of its configuration, a compatibility
//! artifact. It also judges whether a collection's entry contradicts that. Callers read the image.

use std::fmt;

use serde::Serialize;

use crate::feature::Feature;
use crate::fit::fit;
use crate::graph::Microarchitectures;
use crate::keys::Key;
use crate::labels::{self, Label, from_os_features, from_platform};
use crate::nfd::{Compatibility, NfdError};
use crate::nvidia_require::environment::{self, Variable};
use crate::outcome::Outcome;
use crate::provided::{Provided, target_of};
use std::sync::Arc;

/// A requirement and where it was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Stated {
    /// The requirement.
    pub feature: Feature,
    /// Where, for people: `the label io.archspec.cpu.target`.
    pub at: String,
}

/// A statement that requires something unknown, since it cannot be read: an unknown target, a
/// version with an operator, an unknown factor or operator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Unread {
    /// Where it was written, for people.
    pub at: String,
    /// The text; its beginning, if it is long.
    pub value: String,
    /// What was expected there, for people.
    pub expected: String,
}

/// Longest value of a statement that is kept, in bytes. An image is a stranger's.
const MOST_BYTES: usize = 200;
/// Most requirements, and most statements that cannot be read, that are kept of one image.
const MOST_STATEMENTS: usize = 64;

impl Unread {
    /// A statement that cannot be read.
    pub fn new(at: impl Into<String>, value: &str, expected: impl Into<String>) -> Self {
        let value = match value
            .char_indices()
            .find(|(at, c)| at + c.len_utf8() > MOST_BYTES)
        {
            Some((end, _)) => format!("{}…", value.get(..end).unwrap_or("")),
            None => value.to_owned(),
        };
        Self {
            at: at.into(),
            value,
            expected: expected.into(),
        }
    }
}

/// `the label io.archspec.cpu.target says "zenn3"; expected a CPU target ...`
impl fmt::Display for Unread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            at,
            value,
            expected,
        } = self;
        write!(f, "{at} says {value:?}; expected {expected}")
    }
}

/// What an image says it requires.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Statements {
    /// The requirements, in the order in which they were read, each once.
    pub requirements: Vec<Stated>,
    /// What could not be read. It requires something unknown, so the image is not known to
    /// fit any machine.
    pub unread: Vec<Unread>,
}

const ARTIFACT: &str = "its compatibility artifact";

/// A collection's entry and its image disagree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Conflict<'a> {
    /// What the image says.
    pub stated: &'a Stated,
    /// The entry's statement of the same key, which counts.
    pub entry: Vec<&'a Feature>,
}

impl Statements {
    /// Adds labels of the configuration.
    pub fn add_labels<'a>(&mut self, labels: impl IntoIterator<Item = (&'a str, &'a str)>) {
        self.add("label", labels);
    }

    /// Adds annotations of the manifest.
    pub fn add_annotations<'a>(&mut self, labels: impl IntoIterator<Item = (&'a str, &'a str)>) {
        self.add("annotation", labels);
    }

    fn add<'a>(&mut self, what: &str, labels: impl IntoIterator<Item = (&'a str, &'a str)>) {
        for label in labels::read(labels) {
            match label {
                Label::Requires(name, feature) => {
                    self.require(feature, format!("the {what} {name}"));
                }
                Label::Unread(name, value, expected) => {
                    self.doubt(Unread::new(format!("the {what} {name}"), value, expected));
                }
            }
        }
    }

    /// Adds the environment of the configuration, entries `NAME=VALUE`.
    pub fn add_env<'a>(&mut self, env: impl IntoIterator<Item = &'a str>) {
        for variable in environment::from_env(env) {
            match variable {
                Variable::Requires(name, feature) => {
                    self.require(feature, format!("the variable {name}"));
                }
                Variable::Unread(name, value, expected) => {
                    self.doubt(Unread::new(format!("the variable {name}"), value, expected));
                }
            }
        }
    }

    /// Adds what the image's own platform says by its variant and its `os.features`.
    pub fn add_platform(
        &mut self,
        os: &str,
        architecture: &str,
        variant: Option<&str>,
        os_features: &[String],
    ) {
        for feature in from_os_features(os, os_features.iter().map(String::as_str)) {
            self.require(feature, "its platform's os.features".to_owned());
        }
        if let Some(feature) = from_platform(architecture, variant) {
            self.require(feature, "its platform's variant".to_owned());
        }
    }

    /// Two CPU targets that no machine runs both of, if it states such.
    #[must_use]
    pub fn contradiction(&self, graph: &Microarchitectures) -> Option<(&Stated, &Stated)> {
        let targets = || {
            self.requirements
                .iter()
                .filter_map(|stated| Some((stated, target_of(graph, &stated.feature)?)))
        };
        targets().find_map(|(a, mine)| {
            targets()
                .find(|(_, other)| !graph.runs(&mine, other) && !graph.runs(other, &mine))
                .map(|(b, _)| (a, b))
        })
    }

    /// Adds a compatibility specification of Node Feature Discovery, as JSON.
    ///
    /// # Errors
    /// When it is none. It counts as [unread](Self::unread) then: what it requires is not
    /// known.
    pub fn add_compatibility(&mut self, json: &str) -> Result<(), NfdError> {
        let read = Compatibility::parse(json).and_then(|_| {
            Feature::new(Key::Nfd.as_str(), json).map_err(|error| NfdError::new(error.to_string()))
        });
        match read {
            Ok(feature) => {
                self.require(feature, ARTIFACT.to_owned());
                Ok(())
            }
            Err(error) => {
                self.add_unread_compatibility(&error.to_string());
                Err(error)
            }
        }
    }

    /// Notes that the image has a compatibility artifact which cannot be read, and why.
    pub fn add_unread_compatibility(&mut self, problem: &str) {
        let expected = "an image-compatibility specification v1alpha1 of Node Feature Discovery";
        self.doubt(Unread::new(ARTIFACT, problem, expected));
    }

    /// Adds a requirement once. Beyond the bound, the requirements count as unknown.
    fn require(&mut self, feature: Feature, at: String) {
        let known = |stated: &Stated| stated.feature == feature;
        if self.requirements.iter().any(known) {
            return;
        }
        if self.requirements.len() < MOST_STATEMENTS {
            self.requirements.push(Stated { feature, at });
        } else {
            let expected = format!("at most {MOST_STATEMENTS} requirements in all");
            self.doubt(Unread::new(at, feature.value(), expected));
        }
    }

    fn doubt(&mut self, unread: Unread) {
        if self.unread.len() < MOST_STATEMENTS && !self.unread.contains(&unread) {
            self.unread.push(unread);
        }
    }

    /// The image's requirements in addition to the features that a collection's entry states: those
    /// of keys that the entry does not mention. For a key that it mentions, the entry counts.
    pub fn beside<'a>(&'a self, entry: &'a [Feature]) -> impl Iterator<Item = &'a Feature> {
        self.requirements
            .iter()
            .map(|stated| &stated.feature)
            .filter(|stated| !entry.iter().any(|own| speak_of_the_same(own, stated)))
    }

    /// Where the entry lets an image run on machines on which the image says it does not: the
    /// entry states less than the image on the same matter. An entry that asks for more is
    /// merely careful.
    #[must_use]
    pub fn conflicts<'a>(
        &'a self,
        entry: &'a [Feature],
        graph: &Arc<Microarchitectures>,
    ) -> Vec<Conflict<'a>> {
        let machine = Provided::in_graph(Arc::clone(graph), entry.iter().cloned());
        self.requirements
            .iter()
            .filter_map(|stated| {
                let same: Vec<&Feature> = entry
                    .iter()
                    .filter(|own| speak_of_the_same(own, &stated.feature))
                    .collect();
                let fit = fit(std::slice::from_ref(&stated.feature), &machine);
                let unmet = fit
                    .checks()
                    .iter()
                    .any(|check| matches!(check.outcome, Outcome::Unmet { .. }));
                (!same.is_empty() && unmet).then_some(Conflict {
                    stated,
                    entry: same,
                })
            })
            .collect()
    }
}

/// Whether two requirements are about the same matter. An NVIDIA expression is about CUDA,
/// driver and compute capability.
fn speak_of_the_same(a: &Feature, b: &Feature) -> bool {
    let nvidia = |key: &Key| matches!(key, Key::Cuda | Key::Driver | Key::Cc);
    a.key() == b.key()
        || (*a.key() == Key::NvidiaRequire && nvidia(b.key()))
        || (*b.key() == Key::NvidiaRequire && nvidia(a.key()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    fn features(text: &str) -> Vec<Feature> {
        text.split_whitespace()
            .map(|f| f.parse().unwrap())
            .collect()
    }

    fn image() -> Statements {
        let mut image = Statements::default();
        image.add_annotations([("io.archspec.cpu.target", "zen3")]);
        image.add_labels([
            (
                "org.supercontainers.hardware.cpu.target.microarch",
                "znver3",
            ),
            ("io.archspec.cpu.target", "zenn3"),
        ]);
        image.add_env(["NVIDIA_REQUIRE_CUDA=cuda>=12.4,memory>=8"]);
        image
    }

    #[test]
    fn requirements_are_read_from_wherever_they_stand() {
        let image = image();
        let stated: Vec<String> = image
            .requirements
            .iter()
            .map(|stated| format!("{} by {}", stated.feature, stated.at))
            .collect();
        assert_eq!(
            stated,
            [
                "arch:zen3 by the annotation io.archspec.cpu.target",
                "nvidia-require:cuda>=12.4 by the variable NVIDIA_REQUIRE_CUDA",
            ]
        );
        let unread: Vec<String> = image
            .unread
            .iter()
            .map(|unread| format!("{}: {}", unread.at, unread.value))
            .collect();
        assert_eq!(
            unread,
            [
                "the label io.archspec.cpu.target: zenn3",
                "the variable NVIDIA_REQUIRE_CUDA: memory>=8"
            ]
        );
    }

    #[rstest]
    #[case("", "arch:zen3 nvidia-require:cuda>=12.4")]
    #[case("arch:x86_64_v3", "nvidia-require:cuda>=12.4")]
    #[case("driver:550", "arch:zen3")]
    #[case("arch:zen3 cuda:12.4", "")]
    #[case("site:blue", "arch:zen3 nvidia-require:cuda>=12.4")]
    fn what_the_entry_says_counts_in_place_of_what_the_image_says(
        #[case] entry: &str,
        #[case] rest: &str,
    ) {
        let image = image();
        let entry = features(entry);
        let beside: Vec<&Feature> = image.beside(&entry).collect();
        assert_eq!(beside, features(rest).iter().collect::<Vec<_>>());
    }

    #[rstest]
    #[case::says_nothing("", &[])]
    #[case::the_same("arch:znver3 cuda:12.4", &[])]
    #[case::more("arch:zen4 driver:550", &[])]
    #[case::less("arch:x86_64_v3", &["arch:zen3"])]
    #[case::other("arch:icelake driver:535", &["arch:zen3", "nvidia-require:cuda>=12.4"])]
    fn an_entry_that_asks_for_less_than_its_image_is_a_conflict(
        #[case] entry: &str,
        #[case] conflicts: &[&str],
    ) {
        let image = image();
        let entry = features(entry);
        let found = image.conflicts(&entry, &Microarchitectures::builtin());
        let found: Vec<String> = found.iter().map(|c| c.stated.feature.to_string()).collect();
        assert_eq!(found, conflicts);
    }

    #[test]
    fn targets_that_no_machine_runs_both_of_are_a_contradiction() {
        let graph = Microarchitectures::builtin();
        let mut image = Statements::default();
        image.add_labels([("io.archspec.cpu.target", "zen3")]);
        image.add_platform("linux", "amd64", Some("v3"), &[]);
        assert_eq!(image.requirements.len(), 2);
        assert_eq!(image.contradiction(&graph), None);
        image.add_annotations([("io.archspec.cpu.target", "icelake")]);
        let (a, b) = image.contradiction(&graph).unwrap();
        assert_eq!(a.feature.to_string(), "arch:zen3");
        assert_eq!(b.at, "the annotation io.archspec.cpu.target");
    }

    #[test]
    fn a_compatibility_artifact_is_a_requirement() {
        let mut image = Statements::default();
        image
            .add_compatibility(r#"{"compatibilities": []}"#)
            .unwrap();
        assert_eq!(image.requirements.len(), 1);
        assert_eq!(image.unread, []);
        assert!(image.add_compatibility("{}x").is_err());
        assert_eq!((image.requirements.len(), image.unread.len()), (1, 1));
        assert!(image.unread[0].value.contains("not JSON"));
    }

    #[test]
    fn of_an_image_that_states_without_end_only_so_much_is_kept() {
        let mut image = Statements::default();
        let env: Vec<String> = (0..10_000)
            .map(|n| {
                format!(
                    "NVIDIA_REQUIRE_{n}=cuda>=1.{n},other{n}={}",
                    "x".repeat(300)
                )
            })
            .collect();
        image.add_env(env.iter().map(String::as_str));
        assert_eq!(image.requirements.len(), MOST_STATEMENTS);
        assert_eq!(image.unread.len(), MOST_STATEMENTS);
        assert!(
            image
                .unread
                .iter()
                .all(|unread| unread.value.len() <= MOST_BYTES + 3)
        );
    }
}
