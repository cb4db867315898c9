//! What one selector of a login names: a profile, a CPU target in any common spelling, or a
//! feature. Selectors are joined in `compose`.

use metahub_hardware::{Feature, Key, Target};

use crate::login::{GrammarError, Selector};
use crate::profile::Profile;
use crate::profile_name::is_library;
use crate::suggestions::MAX_NEAR_BYTES;
use crate::{Catalog, Parameter, ProfileName};

/// What a selector names.
pub(crate) enum Meaning<'c> {
    Profile(&'c Profile),
    /// A profile, and the value of its first parameter.
    Given(&'c Profile, &'c Parameter, String),
    Feature(Feature),
    /// An unknown value of a built-in key, as a newer node may name.
    Unknown(Feature),
}

impl Meaning<'_> {
    pub(crate) fn selector(&self) -> String {
        match self {
            Self::Profile(profile) => profile.name.selector(),
            Self::Given(profile, _, value) => format!("{}={value}", profile.name.selector()),
            Self::Feature(feature) | Self::Unknown(feature) => {
                format!("{}={}", feature.key(), feature.value())
            }
        }
    }
}

impl Catalog {
    /// What a selector without an account names.
    pub(crate) fn meaning(&self, text: &str) -> Result<Option<Meaning<'_>>, GrammarError> {
        let found = Selector::parse(text).map(|selector| match selector.value {
            None => self.plain(selector),
            Some((separator, value)) => self.valued(selector, separator, value),
        });
        match found {
            Ok(Some(meaning)) => Ok(Some(meaning)),
            other => self.path(text).map_or(other, |path| Ok(Some(path))),
        }
    }

    /// The paths by which OCI and EESSI call hardware: `amd64/v3`, `x86_64/amd/zen3`,
    /// `cpu=aarch64/nvidia/grace`, `accel/nvidia/cc90`.
    fn path(&self, text: &str) -> Option<Meaning<'_>> {
        let whole = text.split('/').all(|part| !part.is_empty());
        if !text.contains('/') || !whole {
            return None;
        }
        if let Some((key, path)) = text.split_once(['=', '#']) {
            let feature = Feature::new(key, path).ok()?;
            if *feature.key() != Key::Arch {
                return None;
            }
            let known = (text.len() <= MAX_NEAR_BYTES).then(|| self.graph().look_up(path));
            return match known.flatten() {
                Some(Ok(target)) => Some(Meaning::Feature(Feature::of_target(&target))),
                // With `#` a version of a profile may be meant, and no version has a slash.
                _ => text.contains('=').then_some(Meaning::Unknown(feature)),
            };
        }
        if text.len() > MAX_NEAR_BYTES {
            return None;
        }
        if let Some(accelerator) = text.strip_prefix("accel/") {
            let feature = match accelerator.split_once('/')? {
                ("nvidia", capability) => Feature::new("cc", capability),
                ("amd", processor) => Feature::new("gfx", processor),
                _ => return None,
            };
            return feature
                .ok()
                .filter(Feature::is_understood)
                .map(Meaning::Feature);
        }
        self.profile_of(&self.graph().look_up(text)?.ok()?)
    }

    fn profile_of(&self, target: &Target) -> Option<Meaning<'_>> {
        let name = ProfileName::new(None, target.as_str(), None).ok()?;
        self.profile(&name).map(Meaning::Profile)
    }

    /// `zen3`, `aws/cli`, and what else a CPU target is called.
    fn plain(&self, selector: Selector<'_>) -> Option<Meaning<'_>> {
        let name = ProfileName::new(selector.namespace, selector.name, None).ok()?;
        if let Some(profile) = self.profile(&name) {
            return Some(Meaning::Profile(profile));
        }
        let in_library = selector.namespace.is_none_or(is_library);
        if !in_library || selector.name.len() > MAX_NEAR_BYTES {
            return None;
        }
        self.profile_of(&self.graph().look_up(selector.name)?.ok()?)
    }

    /// `glow-extended=1.5.0`, `cpu#zen2`, `cuda=12.4`.
    fn valued(&self, selector: Selector<'_>, separator: char, value: &str) -> Option<Meaning<'_>> {
        let name = ProfileName::new(selector.namespace, selector.name, Some(value));
        if let Some(profile) = name.ok().and_then(|name| self.profile(&name)) {
            return Some(Meaning::Profile(profile));
        }
        let latest = ProfileName::new(selector.namespace, selector.name, None);
        if let Some(profile) = latest.ok().and_then(|name| self.profile(&name))
            && let Some(parameter) = profile.parameters.first()
        {
            return Some(Meaning::Given(profile, parameter, value.to_owned()));
        }
        if selector.namespace.is_some() {
            return None;
        }
        let feature = Feature::new(selector.name, value).ok()?;
        match feature.key() {
            Key::Arch if value.len() > MAX_NEAR_BYTES => Some(Meaning::Unknown(feature)),
            Key::Arch => Some(match self.graph().look_up(value) {
                Some(Ok(target)) => Meaning::Feature(Feature::of_target(&target)),
                _ => Meaning::Unknown(feature),
            }),
            // With `#` a version of a profile is meant; with `=`, too, if there are others.
            Key::Other(_) if separator == '#' || self.has_profile_called(selector.name) => None,
            _ if feature.is_understood() => Some(Meaning::Feature(feature)),
            // A node may know a name that is newer than this registry, but no newer numbers.
            Key::Cc | Key::Gfx | Key::Gpu | Key::Mpi => Some(Meaning::Unknown(feature)),
            _ => None,
        }
    }
}
