//! Which machine runs which CPU target, and what an image needs: the oracle.

use super::*;

/// A machine: its login, its architecture, the CPU targets that it runs, whether it has CUDA 12.
pub(crate) const MACHINES: &[(&str, &str, &[&str], bool)] = &[
    ("x86_64_v2", "amd64", &["x86_64", "x86_64_v2"], false),
    ("haswell", "amd64", HASWELL, false),
    ("zen2", "amd64", ZEN2, false),
    ("zen3", "amd64", ZEN3, false),
    ("zen4", "amd64", ZEN4, false),
    ("icelake", "amd64", ICELAKE, false),
    ("zen3+cuda=12.8", "amd64", ZEN3, true),
    ("icelake+cuda=12.8", "amd64", ICELAKE, true),
    ("cuda=12.8+zen3", "amd64", ZEN3, true),
    ("cpu=zen4+cpu=haswell", "amd64", HASWELL, false),
    ("cpu=haswell+cuda=13.0", "amd64", HASWELL, true),
    ("zen2+site=x1", "amd64", ZEN2, false),
    ("neoverse_v1", "arm64", &["aarch64", "neoverse_v1"], false),
];
pub(crate) const HASWELL: &[&str] = &["x86_64", "x86_64_v2", "x86_64_v3", "haswell"];
pub(crate) const ZEN2: &[&str] = &["x86_64", "x86_64_v2", "x86_64_v3", "zen2"];
pub(crate) const ZEN3: &[&str] = &["x86_64", "x86_64_v2", "x86_64_v3", "zen2", "zen3"];
pub(crate) const ZEN4: &[&str] = &[
    "x86_64",
    "x86_64_v2",
    "x86_64_v3",
    "x86_64_v4",
    "zen2",
    "zen3",
    "zen4",
];
pub(crate) const ICELAKE: &[&str] = &[
    "x86_64",
    "x86_64_v2",
    "x86_64_v3",
    "x86_64_v4",
    "haswell",
    "icelake",
];
pub(crate) const TARGETS: &[&str] = &[
    "x86_64",
    "x86_64_v2",
    "x86_64_v3",
    "x86_64_v4",
    "haswell",
    "zen2",
    "zen3",
    "zen4",
    "icelake",
    "zenn3",
];

pub(crate) const REPOSITORY: &str = "lab/pool";

/// Numbers that look random, the same in every run.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % end as u64).unwrap()
    }

    pub(crate) fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    pub(crate) fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())]
    }
}

/// What is true of one image: what it needs.
#[derive(Clone, Default)]
pub(crate) struct Needs {
    pub(crate) architecture: String,
    pub(crate) targets: Vec<String>,
    pub(crate) cuda: bool,
    /// Something of it cannot be read.
    pub(crate) unreadable: bool,
    /// An index or a collection demands `zenn3` of it: a target that nobody has, whatever is done
    /// with labels that cannot be read.
    pub(crate) by_index: bool,
    /// It can be run by nobody: it is not there, or no image.
    pub(crate) nothing: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Runs {
    Yes,
    /// Nothing speaks against it but what the login does not state.
    Perhaps,
    No,
}

impl Needs {
    /// What a registry with this policy knows of it on a machine.
    pub(crate) fn on(&self, machine: usize, policy: &Policy) -> Runs {
        let (_, architecture, targets, cuda) = MACHINES[machine];
        let refused = policy.unknown == Unsure::Refuse;
        let all = self
            .targets
            .iter()
            .filter(|one| refused || *one != "zenn3" || self.by_index)
            .all(|one| targets.contains(&one.as_str()));
        let unreadable = self.unreadable && refused;
        let unstated = self.cuda && !cuda;
        let refused = unstated && policy.unstated == Unsure::Refuse;
        let other = self.architecture != architecture;
        if self.nothing || unreadable || other || !all || refused {
            Runs::No
        } else if unstated {
            Runs::Perhaps
        } else {
            Runs::Yes
        }
    }
}
