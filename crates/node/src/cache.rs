//! The cache of `refresh`, which spares the credential helper the detection: one file that only
//! root can write, and which is void once kernel, driver, CPUs or boot have changed. It belongs
//! into `/run`, never into an image.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use metahub_hardware::detect::Root;
use serde::{Deserialize, Serialize};

use crate::policy::Policy;
use crate::trusted::{self, TrustError};

/// The form of the file.
const VERSION: u32 = 1;

/// The facts that a cache depends on: while all of them are unchanged, the cached results are
/// valid.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fingerprint {
    /// The kernel's name for this boot.
    pub boot: String,
    /// The kernel's release.
    pub kernel: String,
    /// Versions of the GPU drivers that are loaded.
    pub driver: String,
    /// The CPUs that are online, and what the first of them is.
    pub cpus: String,
}

impl Fingerprint {
    /// Of the system below `root`. Opens five files.
    #[must_use]
    pub fn of(root: &Root) -> Self {
        let text = |path: &str| root.text(path).unwrap_or_default();
        let first_line = |path: &str| text(path).lines().next().unwrap_or_default().to_owned();
        Self {
            boot: text("/proc/sys/kernel/random/boot_id"),
            kernel: text("/proc/sys/kernel/osrelease"),
            driver: [
                first_line("/proc/driver/nvidia/version"),
                text("/sys/module/amdgpu/version"),
            ]
            .join("\n")
            .trim()
            .to_owned(),
            cpus: text("/sys/devices/system/cpu/online"),
        }
    }

    /// What differs from `now`, in words; `None` when nothing does.
    fn difference(&self, now: &Self) -> Option<&'static str> {
        [
            (&self.boot, &now.boot, "the node was booted"),
            (&self.kernel, &now.kernel, "the kernel changed"),
            (&self.driver, &now.driver, "a GPU driver changed"),
            (&self.cpus, &now.cpus, "the set of CPUs changed"),
        ]
        .into_iter()
        .find_map(|(then, now, what)| (then != now).then_some(what))
    }
}

/// What one registry makes of this node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Known {
    /// The node's login for it, to be joined to an account's name.
    pub login: Option<String>,
    /// Whether the registry accepts that login by itself. Where it does not, users without an
    /// account pull anonymously.
    pub alone: bool,
    /// Whether it does so only with a proof of the node's identity.
    #[serde(default)]
    pub proven: bool,
    /// The CPU target in the login: the node's own, or the nearest that the registry knows.
    pub target: Option<String>,
    /// Whether the registry was asked; it could not be reached otherwise.
    pub checked: bool,
}

impl Known {
    /// The assumption for a registry that was not asked.
    #[must_use]
    pub fn unasked(login: Option<String>, target: Option<String>) -> Self {
        Self {
            alone: login.is_some(),
            login,
            target,
            proven: false,
            checked: false,
        }
    }
}

/// The file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cache {
    version: u32,
    /// The program that wrote it.
    pub written_by: String,
    /// The facts that it depends on.
    pub fingerprint: Fingerprint,
    /// The part of the policy by which logins were made.
    policy: String,
    /// The login of this node by itself.
    pub login: Option<String>,
    /// The facts, as `key:value`, for people to read.
    pub facts: Vec<String>,
    /// Each MetaHub of the policy.
    pub registries: BTreeMap<String, Known>,
}

/// Why there is no cache to answer from.
#[derive(Debug)]
pub enum Miss {
    /// There is none.
    Absent(PathBuf),
    /// It cannot be read or is not trusted.
    Unusable(TrustError),
    /// It is of another form, or broken.
    Malformed(PathBuf),
    /// What it was written for has changed.
    Changed(&'static str),
}

impl fmt::Display for Miss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent(path) => write!(f, "there is no {}", path.display()),
            Self::Unusable(error) => write!(f, "{error}"),
            Self::Malformed(path) => write!(f, "{} is not of this version", path.display()),
            Self::Changed(what) => write!(f, "{what} since the last refresh"),
        }
    }
}

impl Cache {
    /// A cache of what detection found.
    #[must_use]
    pub fn new(
        fingerprint: Fingerprint,
        policy: &Policy,
        login: Option<String>,
        facts: Vec<String>,
        registries: BTreeMap<String, Known>,
    ) -> Self {
        Self {
            version: VERSION,
            written_by: concat!("metahub-node ", env!("CARGO_PKG_VERSION")).to_owned(),
            fingerprint,
            policy: by_which(policy),
            login,
            facts,
            registries,
        }
    }

    /// The path of the file.
    #[must_use]
    pub fn path(folder: &Path) -> PathBuf {
        folder.join("node.json")
    }

    /// Reads it, if it may be trusted and is still valid for the system below `root` and `policy`.
    ///
    /// # Errors
    /// The reason why there is nothing to answer from.
    pub fn read(policy: &Policy, root: &Root) -> Result<Self, Miss> {
        let path = Self::path(&policy.cache);
        let bytes = trusted::read(&path).map_err(|error| match error {
            TrustError::Io(error) if error.kind() == std::io::ErrorKind::NotFound => {
                Miss::Absent(path.clone())
            }
            error => Miss::Unusable(error),
        })?;
        let cache: Self =
            serde_json::from_slice(&bytes).map_err(|_| Miss::Malformed(path.clone()))?;
        if cache.version != VERSION {
            return Err(Miss::Malformed(path));
        }
        if let Some(what) = cache.fingerprint.difference(&Fingerprint::of(root)) {
            return Err(Miss::Changed(what));
        }
        if cache.policy != by_which(policy) {
            return Err(Miss::Changed("the policy changed"));
        }
        Ok(cache)
    }

    /// Writes it, readable for all, writable for its owner alone.
    ///
    /// # Errors When it cannot be written; the previous file stays.
    pub fn write(&self, folder: &Path) -> std::io::Result<()> {
        let mut bytes = serde_json::to_vec_pretty(self)?;
        bytes.push(b'\n');
        trusted::write(&Self::path(folder), &bytes, 0o644, 0o755)
    }

    /// What is known about `host`; one that was never asked is assumed to accept the node's own
    /// login.
    #[must_use]
    pub fn known(&self, host: &str) -> Known {
        self.registries
            .get(host)
            .cloned()
            .unwrap_or_else(|| Known::unasked(self.login.clone(), None))
    }
}

fn by_which(policy: &Policy) -> String {
    serde_json::json!([
        policy.login,
        policy.keys,
        policy.features,
        policy.profiles,
        policy.tools,
        policy.cloud,
    ])
    .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Place {
        _folder: tempfile::TempDir,
        root: PathBuf,
        policy: Policy,
    }

    fn place() -> Place {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("root");
        for (path, text) in [
            ("proc/sys/kernel/random/boot_id", "boot-1\n"),
            ("proc/sys/kernel/osrelease", "6.1.0\n"),
            (
                "proc/driver/nvidia/version",
                "NVRM version: 550.54.15\nGCC\n",
            ),
            ("sys/devices/system/cpu/online", "0-7\n"),
        ] {
            let path = root.join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let policy = Policy {
            cache: folder.path().join("run/metahub"),
            ..Policy::default()
        };
        Place {
            _folder: folder,
            root,
            policy,
        }
    }

    fn written(place: &Place) -> Cache {
        let known = |login: Option<&str>| Known {
            login: login.map(str::to_owned),
            alone: login.is_some(),
            target: None,
            proven: false,
            checked: true,
        };
        let registries = BTreeMap::from([
            ("older.example".to_owned(), known(Some("zen3"))),
            ("strange.example".to_owned(), known(None)),
        ]);
        let cache = Cache::new(
            Fingerprint::of(&Root::new(&place.root)),
            &place.policy,
            Some("zen4".to_owned()),
            vec!["arch:zen4".to_owned()],
            registries,
        );
        cache.write(&place.policy.cache).unwrap();
        cache
    }

    #[test]
    fn what_was_written_is_read_while_nothing_changed() {
        let place = place();
        let root = Root::new(&place.root);
        let absent = Cache::read(&place.policy, &root).unwrap_err();
        assert!(matches!(absent, Miss::Absent(_)), "{absent}");
        let cache = written(&place);
        assert_eq!(Cache::read(&place.policy, &root).unwrap(), cache);
        assert_eq!(cache.known("older.example").login.as_deref(), Some("zen3"));
        assert_eq!(cache.known("other.example").login.as_deref(), Some("zen4"));
        // A registry that knows none of this node's targets: anonymous rather than locked out.
        assert!(!cache.known("strange.example").alone);
    }

    #[rstest::rstest]
    #[case("proc/sys/kernel/random/boot_id", "boot-2", "booted")]
    #[case("proc/sys/kernel/osrelease", "6.2.0", "kernel")]
    #[case("proc/driver/nvidia/version", "NVRM version: 580.1", "driver")]
    #[case("sys/devices/system/cpu/online", "0-3", "CPUs")]
    fn any_change_of_the_node_ends_it(#[case] path: &str, #[case] text: &str, #[case] word: &str) {
        let place = place();
        written(&place);
        std::fs::write(place.root.join(path), text).unwrap();
        let miss = Cache::read(&place.policy, &Root::new(&place.root)).unwrap_err();
        assert!(matches!(miss, Miss::Changed(_)), "{miss}");
        assert!(miss.to_string().contains(word), "{miss}");
    }

    #[test]
    fn another_policy_or_another_form_ends_it() {
        let place = place();
        let root = Root::new(&place.root);
        written(&place);
        let other = Policy {
            keys: vec!["arch".to_owned()],
            ..place.policy.clone()
        };
        assert!(matches!(Cache::read(&other, &root), Err(Miss::Changed(_))));
        let path = Cache::path(&place.policy.cache);
        for broken in ["", "{", "[]", "{\"version\":2}"] {
            std::fs::write(&path, broken).unwrap();
            let miss = Cache::read(&place.policy, &root).unwrap_err();
            assert!(matches!(miss, Miss::Malformed(_)), "{broken}: {miss}");
        }
    }
}
