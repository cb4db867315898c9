//! The kind of a machine's GPU in one word, from a fixed list, for counting machines. Any other GPU
//! counts as one further kind, so that clients cannot invent kinds.

use crate::feature::Feature;
use crate::gpu::{ComputeCapability, Gfx, GpuVendor};
use crate::keys::Key;
use crate::provided::Provided;

/// The compute capabilities that CUDA 9 and later know.
const CAPABILITIES: &[(u16, u16)] = &[
    (3, 5),
    (3, 7),
    (5, 0),
    (5, 2),
    (5, 3),
    (6, 0),
    (6, 1),
    (6, 2),
    (7, 0),
    (7, 2),
    (7, 5),
    (8, 0),
    (8, 6),
    (8, 7),
    (8, 9),
    (9, 0),
    (10, 0),
    (10, 1),
    (10, 3),
    (11, 0),
    (12, 0),
    (12, 1),
];

impl Provided {
    /// The kind of the GPU: `cc:9.0`, `gfx:gfx90a`, or its vendor where the processor is not
    /// stated or not known, `gpu:nvidia`. The first of several. Nothing where none is stated.
    #[must_use]
    pub fn gpu_kind(&self) -> Option<String> {
        self.features().find_map(known).or_else(|| {
            let vendor = self
                .gpu_vendors()
                .iter()
                .find(|of| **of != GpuVendor::Any)?;
            Some(format!("gpu:{vendor}"))
        })
    }
}

fn known(feature: &Feature) -> Option<String> {
    match feature.key() {
        Key::Cc => {
            let parts = ComputeCapability::parse(feature.value())?.parts();
            let (major, minor) = CAPABILITIES.iter().find(|known| **known == parts)?;
            Some(format!("cc:{major}.{minor}"))
        }
        Key::Gfx => {
            let processor = Gfx::parse(feature.value())?.known_processor()?;
            Some(format!("gfx:{processor}"))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gpu_is_one_of_few_kinds_however_it_is_written() {
        for (features, kind) in [
            (&["arch:zen4"][..], None),
            (&["cc:9.0"], Some("cc:9.0")),
            (&["cc:sm_90"], Some("cc:9.0")),
            (&["cc:h100"], Some("cc:9.0")),
            (&["cc:9.0a", "driver:550"], Some("cc:9.0")),
            (&["cc:77.7"], Some("gpu:nvidia")),
            (&["driver:550.54"], Some("gpu:nvidia")),
            (&["gfx:mi250x"], Some("gfx:gfx90a")),
            (&["gfx:gfx90a:xnack-"], Some("gfx:gfx90a")),
            (&["gfx:gfx1100"], Some("gfx:gfx1100")),
            (&["gfx:gfx77777"], Some("gpu:amd")),
            (&["gpu:intel"], Some("gpu:intel")),
            (&["gpu:any"], None),
            (&["cuda:12.4"], None),
        ] {
            let features = features.iter().map(|text| Feature::parse(text).unwrap());
            let provided = Provided::new(features);
            assert_eq!(provided.gpu_kind().as_deref(), kind);
        }
    }
}
