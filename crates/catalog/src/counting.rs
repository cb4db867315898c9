//! Which of several features of one key counts: the last one, for keys that a machine has once.

use metahub_hardware::{Feature, Key};

/// Whether a machine has one value of `key`, so that a later one replaces an earlier one. Two CPU
/// targets are no machine, and what both have together may run on neither.
pub(crate) fn is_single(key: &Key) -> bool {
    matches!(
        key,
        Key::Arch | Key::Cuda | Key::Driver | Key::Rocm | Key::Libfabric | Key::Glibc | Key::Kernel
    )
}

/// Features of which the last of each single key counts, in canonical order once they are taken
/// out.
#[derive(Default)]
pub(crate) struct Counting {
    /// At most one of each single key.
    pub(crate) single: Vec<Feature>,
    pub(crate) others: Vec<Feature>,
}

impl Counting {
    /// Adds a feature, and gives back the one that it replaces.
    pub(crate) fn add(&mut self, feature: &Feature) -> Option<Feature> {
        if !is_single(feature.key()) {
            self.others.push(feature.clone());
            return None;
        }
        match self.single.iter_mut().find(|f| f.key() == feature.key()) {
            Some(same) if same == feature => None,
            Some(earlier) => Some(std::mem::replace(earlier, feature.clone())),
            None => {
                self.single.push(feature.clone());
                None
            }
        }
    }

    pub(crate) fn into_features(self) -> Vec<Feature> {
        let mut features = self.others;
        features.extend(self.single);
        features.sort();
        features.dedup();
        features
    }
}

/// Those of `features` that count.
pub(crate) fn that_count(features: &[Feature]) -> Vec<Feature> {
    let mut counting = Counting::default();
    for feature in features {
        counting.add(feature);
    }
    counting.into_features()
}

/// What a single key states.
pub(crate) fn noun(key: &Key) -> &'static str {
    match key {
        Key::Arch => "CPU target",
        Key::Cuda => "CUDA version",
        Key::Driver => "NVIDIA driver",
        Key::Rocm => "ROCm version",
        Key::Libfabric => "libfabric version",
        Key::Glibc => "GNU C library",
        Key::Kernel => "kernel",
        _ => "value of the kind",
    }
}
