//! An entry of an index as something to choose: its platform, what it requires, its weight.
//! It borrows everything: an index may have thousands of entries, of which one is taken.

use std::collections::HashMap;

use metahub_hardware::{Feature, Key, from_os_features, from_platform};
use metahub_oci::{Descriptor, PlatformView};

use crate::annotation::{IMAGE, WEIGHT};

/// Most requirements of one entry; nobody writes more, and each is held against the machine.
const MAX_REQUIREMENTS: usize = 64;

/// An entry and its place in the index.
#[derive(Clone, Debug)]
pub(crate) struct Candidate<'a> {
    pub(crate) position: usize,
    pub(crate) descriptor: &'a Descriptor,
    pub(crate) platform: Option<PlatformView<'a>>,
}

/// Features by the texts that state them: the entries of an index state the same ones again and
/// again.
#[derive(Default)]
pub(crate) struct Features<'a>(HashMap<&'a str, Result<Feature, String>>);

impl<'a> Features<'a> {
    /// A requirement that is no `key:value`, such as Docker's old `sse4`, is met by the feature
    /// `feature:sse4` only.
    fn read(&mut self, written: &'a str) -> Result<Feature, String> {
        let read = || {
            Feature::parse(written)
                .or_else(|_| Feature::new("feature", written))
                .map_err(|error| error.to_string())
        };
        self.0.entry(written).or_insert_with(read).clone()
    }
}

impl<'a> Candidate<'a> {
    pub(crate) fn new(position: usize, descriptor: &'a Descriptor) -> Self {
        Self {
            position,
            descriptor,
            platform: descriptor.platform_view(),
        }
    }

    pub(crate) fn all(descriptors: &'a [Descriptor]) -> Vec<Self> {
        let numbered = descriptors.iter().enumerate();
        numbered.map(|(at, d)| Self::new(at, d)).collect()
    }

    /// What it requires, as written.
    pub(crate) fn requires(&self) -> impl Iterator<Item = &'a str> + Clone {
        let platform = self.platform.into_iter();
        platform.flat_map(|platform| platform.features())
    }

    pub(crate) fn image(&self) -> Option<&'a str> {
        self.descriptor.annotation(IMAGE)
    }

    /// How it is called in messages: the image that it points to, or its digest.
    pub(crate) fn name(&self) -> String {
        match self.image() {
            Some(image) => image.to_owned(),
            None => self.descriptor.digest().short().to_owned(),
        }
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
            .is_some_and(|p| p.os == "unknown" && p.architecture == "unknown");
        if self.descriptor.is_attestation() || unknown {
            return Some("not an image: it describes another entry (attestation)");
        }
        if self.descriptor.media_type().is_index() {
            return Some("an index within the index, which is not followed");
        }
        None
    }

    /// What a machine must provide to run it: what is written in `features` and `os.features`,
    /// and what its variant means. The error is a requirement that nothing can meet.
    pub(crate) fn requirements(&self, features: &mut Features<'a>) -> Result<Vec<Feature>, String> {
        let Some(platform) = &self.platform else {
            return Ok(Vec::new());
        };
        let found = self.requires().count() + platform.os_features().count();
        if found > MAX_REQUIREMENTS {
            return Err(format!(
                "states {found} requirements; at most {MAX_REQUIREMENTS} are read"
            ));
        }
        let mut requirements = Vec::with_capacity(found + 1);
        for written in self.requires() {
            requirements.push(features.read(written)?);
        }
        requirements.extend(from_os_features(platform.os, platform.os_features()));
        // Who names a CPU target says more by it than by the variant.
        if !requirements.iter().any(|f| *f.key() == Key::Arch) {
            requirements.extend(from_platform(platform.architecture, platform.variant));
        }
        Ok(requirements)
    }
}
