//! An entry of an index as something to choose: its platform, what it requires, its weight.

use metahub_hardware::{Feature, Key};
use metahub_oci::{Descriptor, Platform};

use crate::annotation::{IMAGE, WEIGHT};

/// Most requirements of one entry; nobody writes more, and each is held against the machine.
const MAX_REQUIREMENTS: usize = 64;

/// An entry and its place in the index.
#[derive(Clone, Debug)]
pub(crate) struct Candidate<'a> {
    pub(crate) position: usize,
    pub(crate) descriptor: &'a Descriptor,
    pub(crate) platform: Option<Platform>,
    /// What it requires, as written.
    pub(crate) requires: Vec<String>,
}

impl<'a> Candidate<'a> {
    pub(crate) fn new(position: usize, descriptor: &'a Descriptor) -> Self {
        let platform = descriptor.platform();
        let requires = platform.as_ref().map(|p| p.features.clone());
        Self {
            position,
            descriptor,
            platform,
            requires: requires.unwrap_or_default(),
        }
    }

    pub(crate) fn all(descriptors: &'a [Descriptor]) -> Vec<Self> {
        let numbered = descriptors.iter().enumerate();
        numbered.map(|(at, d)| Self::new(at, d)).collect()
    }

    pub(crate) fn image(&self) -> Option<&str> {
        self.descriptor.annotation(IMAGE)
    }

    /// What its publisher says of it, 0 if nothing.
    pub(crate) fn weight(&self) -> i64 {
        let weight = self.descriptor.annotation(WEIGHT);
        weight.and_then(|w| w.parse().ok()).unwrap_or(0)
    }

    /// Why this entry is none to run, if so: it describes another entry, or is an index itself,
    /// which the clients that take the first match do not follow.
    pub(crate) fn not_to_run(&self) -> Option<&'static str> {
        let unknown = self
            .platform
            .as_ref()
            .is_some_and(|p| p.os == "unknown" && p.architecture == "unknown");
        if self.descriptor.is_attestation() || unknown {
            return Some("not an image: it describes another entry (attestation)");
        }
        if self.descriptor.media_type().is_index() {
            return Some("an index within the index, which is not followed");
        }
        None
    }

    /// What a machine must provide to run it: what is written, and what its variant means. A
    /// requirement that is no `key:value`, such as Docker's old `sse4`, is met by the feature
    /// `feature:sse4` only. The error is a requirement that nothing can meet.
    pub(crate) fn requirements(&self) -> Result<Vec<Feature>, String> {
        if self.requires.len() > MAX_REQUIREMENTS {
            let found = self.requires.len();
            return Err(format!(
                "states {found} requirements; at most {MAX_REQUIREMENTS} are read"
            ));
        }
        let mut requirements = Vec::with_capacity(self.requires.len() + 1);
        for written in &self.requires {
            let feature = Feature::parse(written).or_else(|_| Feature::new("feature", written));
            requirements.push(feature.map_err(|error| error.to_string())?);
        }
        let states_target = requirements.iter().any(|f| *f.key() == Key::Arch);
        if let (false, Some(platform)) = (states_target, &self.platform) {
            requirements.extend(implied_by_variant(platform));
        }
        Ok(requirements)
    }
}

/// The target that a variant stands for: `v3` of amd64 is `x86_64_v3`, `v9` of arm64 is
/// `armv9.0a`. The variants that every machine of the architecture runs stand for none.
fn implied_by_variant(platform: &Platform) -> Option<Feature> {
    let variant = platform.variant.as_deref()?;
    let target = match (platform.architecture.as_str(), variant) {
        ("amd64", "v1") | ("arm64", "v8" | "v8.0" | "8") => return None,
        ("amd64", level) => format!("x86_64_{level}"),
        ("arm64", level) if level.contains('.') => format!("arm{level}a"),
        ("arm64", level) => format!("arm{level}.0a"),
        // archspec knows no variants of other architectures.
        _ => return None,
    };
    Feature::new("arch", &target).ok()
}
