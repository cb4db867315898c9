//! `Feature`: one fact about an image or a machine, written `key:value`.
//! It remembers how it was written and compares by what it means; whether one feature
//! satisfies another is decided in `fit`, never here.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::keys::Key;
use crate::meaning::Meaning;
use crate::nfd::Compatibility;
use crate::nvidia_require::NvidiaRequire;
use crate::products::{capability_of_product, gfx_of_product};
use crate::target::Target;

/// A `key:value` such as `arch:zen3` or `cuda:12.4`. Cheap to clone. Two features are
/// equal when they mean the same: `cpu:Cascade-Lake` equals `arch:cascadelake`.
#[derive(Clone)]
pub struct Feature(Arc<Inner>);

struct Inner {
    key: Key,
    /// The value as written, without blanks around it.
    written: Box<str>,
    /// `key:value` in the one form by which features are equal.
    canonical: Box<str>,
    meaning: Meaning,
}

/// Why a text is not a feature.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FeatureError {
    /// The separator is missing.
    #[error("{found:?} is not a feature: a feature is written {form}")]
    NoSeparator {
        /// The text.
        found: String,
        /// How a feature is written here, with an example.
        form: &'static str,
    },
    /// The key is empty or has characters that no key has.
    #[error(
        "{key:?} in {found:?} is not a feature's key: a key starts with a letter and holds \
         letters, digits, '.', '_', '-' and '/', e.g. arch:zen3"
    )]
    BadKey {
        /// The text.
        found: String,
        /// The part before the separator.
        key: String,
    },
    /// The value is empty or has control characters.
    #[error("{found:?} has no usable value: a feature is written key:value, e.g. arch:zen3")]
    BadValue {
        /// The text.
        found: String,
    },
}

impl Feature {
    /// Reads `key:value`, as documents and labels write it. The value may itself hold
    /// colons.
    ///
    /// # Errors
    /// When there is no colon, or key or value is empty or malformed.
    pub fn parse(text: &str) -> Result<Self, FeatureError> {
        match text.split_once(':') {
            Some((key, value)) => Self::build(text, key, value),
            None => Err(FeatureError::NoSeparator {
                found: text.to_owned(),
                form: "key:value, e.g. arch:zen3",
            }),
        }
    }

    /// Reads `key=value` (or `key#value`), as a login writes it, where a colon cannot
    /// stand.
    ///
    /// # Errors
    /// When there is neither `=` nor `#`, or key or value is empty or malformed.
    pub fn parse_login(text: &str) -> Result<Self, FeatureError> {
        match text.split_once(['=', '#']) {
            Some((key, value)) => Self::build(text, key, value),
            None => Err(FeatureError::NoSeparator {
                found: text.to_owned(),
                form: "key=value in a login, e.g. cuda=12.4",
            }),
        }
    }

    /// A feature from its two parts.
    ///
    /// # Errors
    /// When key or value is empty or malformed.
    pub fn new(key: &str, value: &str) -> Result<Self, FeatureError> {
        Self::build(&format!("{key}:{value}"), key, value)
    }

    /// The feature `arch:target`.
    #[must_use]
    pub fn of_target(target: &Target) -> Self {
        Self(Arc::new(Inner {
            key: Key::Arch,
            written: target.as_str().into(),
            canonical: format!("arch:{target}").into(),
            meaning: Meaning::Target(target.clone()),
        }))
    }

    /// What a GPU that is called by its product's name provides: `cc:9.0` for `h100` and
    /// `NVIDIA-H100`, `gfx:gfx90a` for `mi250x`. For hints, as [`of_word`](Self::of_word) is.
    #[must_use]
    pub fn of_product(name: &str) -> Option<Self> {
        let found = capability_of_product(name)
            .map(|capability| ("cc", capability))
            .or_else(|| gfx_of_product(name).map(|processor| ("gfx", processor)));
        let (key, value) = found?;
        Self::new(key, value).ok()
    }

    /// What a word without a key plainly means, other than a CPU target: a GPU, its code, software
    /// with its version, an MPI library. `h100` and `sm_90` are `cc:9.0`, `mi250x` is `gfx:gfx90a`,
    /// `cuda12.4` is `cuda:12.4`. For hints only: no login silently gets this meaning.
    #[must_use]
    pub fn of_word(word: &str) -> Option<Self> {
        let lower = word.trim().to_ascii_lowercase();
        let understood =
            |key: &str, value: &str| Self::new(key, value).ok().filter(Self::is_understood);
        if let Some(product) = Self::of_product(&lower) {
            return Some(product);
        }
        if lower.starts_with("gfx") {
            return understood("gfx", &lower);
        }
        if ["sm", "cc", "compute_"]
            .iter()
            .any(|form| lower.starts_with(form))
        {
            return understood("cc", &lower);
        }
        let versioned = ["cuda", "rocm", "driver", "libfabric", "glibc", "kernel"];
        let versioned = versioned.iter().find_map(|key| {
            let version = lower
                .strip_prefix(key)?
                .trim_start_matches(['-', '_', '=', ':']);
            understood(key, version)
        });
        versioned.or_else(|| understood("mpi", &lower))
    }

    fn build(found: &str, key: &str, value: &str) -> Result<Self, FeatureError> {
        let (key, value) = (key.trim(), value.trim());
        let key_is_plain = key.starts_with(|c: char| c.is_ascii_alphabetic())
            && key
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "._-/".contains(c));
        if !key_is_plain {
            return Err(FeatureError::BadKey {
                found: found.to_owned(),
                key: key.to_owned(),
            });
        }
        if value.is_empty() || value.chars().any(char::is_control) {
            return Err(FeatureError::BadValue {
                found: found.to_owned(),
            });
        }
        let key = Key::canonical(key);
        let meaning = Meaning::read(&key, value);
        let canonical = format!("{key}:{}", meaning.canonical(&key, value)).into();
        Ok(Self(Arc::new(Inner {
            key,
            written: value.into(),
            canonical,
            meaning,
        })))
    }

    /// The canonical key.
    #[must_use]
    pub fn key(&self) -> &Key {
        &self.0.key
    }

    /// The value as written.
    #[must_use]
    pub fn value(&self) -> &str {
        &self.0.written
    }

    /// The form by which features are equal, e.g. `arch:cascadelake` for `cpu:cascadeLake`. The
    /// form for people is `to_string()`.
    #[must_use]
    pub fn canonical(&self) -> &str {
        &self.0.canonical
    }

    /// The CPU target that an `arch:` feature names, when archspec knows it.
    #[must_use]
    pub fn target(&self) -> Option<&Target> {
        match &self.0.meaning {
            Meaning::Target(target) => Some(target),
            _ => None,
        }
    }

    /// The feature for people: as written, unless that is long.
    #[must_use]
    pub fn brief(&self) -> impl fmt::Display + '_ {
        Brief(self)
    }

    /// Whether the value could be read by the rules of its key. A feature with an
    /// unknown target or an unreadable version is compared as text; documents that
    /// hold one deserve a warning.
    #[must_use]
    pub fn is_understood(&self) -> bool {
        matches!(self.0.key, Key::Other(_)) || !matches!(self.0.meaning, Meaning::Text)
    }

    /// What is wrong with a value that its key's rules cannot read, and what was expected;
    /// `None` when it [is understood](Self::is_understood).
    #[must_use]
    pub fn problem(&self) -> Option<String> {
        (!self.is_understood()).then(|| problem(&self.0.key, &self.0.written))
    }

    pub(crate) fn meaning(&self) -> &Meaning {
        &self.0.meaning
    }
}

/// Why `written` cannot be read under `key`, for people.
fn problem(key: &Key, written: &str) -> String {
    match key {
        Key::NvidiaRequire => {
            let unknown = NvidiaRequire::read(written).1;
            return match unknown.first() {
                Some(factor) => format!(
                    "its factor {factor:?} is unknown; expected cuda, driver, arch or brand, a \
                     comparison and a version, e.g. cuda>=12.4"
                ),
                None => "expected an expression such as cuda>=12.4".to_owned(),
            };
        }
        Key::Nfd => {
            return match Compatibility::parse(written) {
                Err(error) => error.to_string(),
                Ok(_) => "expected an image-compatibility specification".to_owned(),
            };
        }
        _ => {}
    }
    format!("it cannot be read; expected {}", key.expects())
}

/// Most characters of a value that is shown to people.
const LONGEST_SHOWN: usize = 80;

struct Brief<'a>(&'a Feature);

impl fmt::Display for Brief<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner {
            key,
            written,
            meaning,
            ..
        } = &*self.0.0;
        if let Meaning::Compatibility(rules) = meaning {
            return write!(f, "{key}:{rules}");
        }
        match written.char_indices().nth(LONGEST_SHOWN) {
            Some((at, _)) => write!(f, "{key}:{}…", written.get(..at).unwrap_or("").trim_end()),
            None => self.0.fmt(f),
        }
    }
}

impl FromStr for Feature {
    type Err = FeatureError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

impl TryFrom<String> for Feature {
    type Error = FeatureError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text)
    }
}

impl fmt::Display for Feature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.key.as_str())?;
        f.write_str(":")?;
        f.write_str(&self.0.written)
    }
}

impl fmt::Debug for Feature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Feature({self})")
    }
}

impl PartialEq for Feature {
    fn eq(&self, other: &Self) -> bool {
        self.0.canonical == other.0.canonical
    }
}

impl Eq for Feature {}

impl PartialOrd for Feature {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Feature {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.canonical.cmp(&other.0.canonical)
    }
}

impl Hash for Feature {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.canonical.hash(state);
    }
}

impl Serialize for Feature {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Feature {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("arch:cascadeLake", "arch:cascadelake")]
    #[case("cpu:skylake", "arch:skylake")]
    #[case("CPU:skylake-avx512", "arch:skylake_avx512")]
    #[case("arch:znver3", "arch:zen3")]
    #[case("arch:x86_64/amd/zen3", "arch:zen3")]
    #[case("arch: zen3", "arch:zen3")]
    #[case("arch:Future-Lake", "arch:future_lake")]
    #[case("cuda:12.4.0", "cuda:12.4")]
    #[case("cc:sm_80", "cc:8.0")]
    #[case("gfx:90a", "gfx:gfx90a")]
    #[case("mpi:Intel-MPI", "mpi:intelmpi")]
    fn features_are_equal_by_what_they_mean(#[case] a: &str, #[case] b: &str) {
        let (a, b): (Feature, Feature) = (a.parse().unwrap(), b.parse().unwrap());
        assert_eq!(a, b);
        assert_eq!(a.canonical(), b.canonical());
    }

    #[rstest]
    #[case("arch:zen3", "arch:zen4")]
    #[case("site:Blue", "site:blue")]
    #[case("cuda:12.4", "driver:12.4")]
    fn different_features_are_different(#[case] a: &str, #[case] b: &str) {
        assert_ne!(Feature::parse(a).unwrap(), Feature::parse(b).unwrap());
    }

    #[test]
    fn a_feature_is_shown_with_its_value_as_written() {
        let feature = Feature::parse("cpu:cascadeLake").unwrap();
        assert_eq!(feature.to_string(), "arch:cascadeLake");
        let json = serde_json::to_string(&feature).unwrap();
        assert_eq!(json, "\"arch:cascadeLake\"");
        assert_eq!(serde_json::from_str::<Feature>(&json).unwrap(), feature);
    }

    #[test]
    fn a_login_writes_features_with_an_equals_sign_or_a_hash() {
        let written = Feature::parse("arch:zen2").unwrap();
        assert_eq!(Feature::parse_login("cpu=zen2").unwrap(), written);
        assert_eq!(Feature::parse_login("cpu#zen2").unwrap(), written);
        assert!(Feature::parse_login("cpu:zen2").is_err());
    }

    #[rstest]
    #[case("a100", Some("cc:8.0"))]
    #[case("H100", Some("cc:9.0"))]
    #[case("mi250x", Some("gfx:gfx90a"))]
    #[case("NVIDIA-H100", Some("cc:9.0"))]
    #[case("Tesla V100S", Some("cc:7.0"))]
    #[case("amd_instinct_mi300x", Some("gfx:gfx942"))]
    #[case("gfx90a", Some("gfx:gfx90a"))]
    #[case("sm_80", Some("cc:sm_80"))]
    #[case("cc80", Some("cc:cc80"))]
    #[case("cuda12.4", Some("cuda:12.4"))]
    #[case("CUDA-12.4", Some("cuda:12.4"))]
    #[case("rocm6.2", Some("rocm:6.2"))]
    #[case("openmpi-4.1", Some("mpi:openmpi-4.1"))]
    #[case("cuda", None)]
    #[case("cuda>=12", None)]
    #[case("small", None)]
    #[case("blue", None)]
    fn a_word_may_plainly_mean_a_feature(#[case] word: &str, #[case] feature: Option<&str>) {
        let found = Feature::of_word(word).map(|feature| feature.to_string());
        assert_eq!(found.as_deref(), feature);
    }

    #[rstest]
    #[case(
        "zen3",
        "\"zen3\" is not a feature: a feature is written key:value, e.g. arch:zen3"
    )]
    #[case(":zen3", "is not a feature's key")]
    #[case("my key:zen3", "is not a feature's key")]
    #[case("arch:", "has no usable value")]
    #[case("arch:a\nb", "has no usable value")]
    fn errors_say_how_a_feature_is_written(#[case] text: &str, #[case] says: &str) {
        let error = Feature::parse(text).unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    }
}
