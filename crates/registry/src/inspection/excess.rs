//! What an image's code needs beyond the given processors: those of a login, or of a collection's
//! entry. No I/O.

use std::fmt;

use metahub_hardware::{Microarchitectures, Target};
use metahub_inspect::{FileNeeds, ImageNeeds, Need};

use crate::inspection::lifted::Lifted;

/// Something that code needs, or may need, and a processor does not have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Excess {
    /// Whether the need is proven; otherwise it is possible.
    pub proven: bool,
    /// The path in the image; `None` for the image as a whole.
    pub file: Option<String>,
    /// The SHA-256 of the file's content in hexadecimal.
    pub sha256: Option<String>,
    /// The need, and its evidence.
    pub need: Need,
}

impl Excess {
    /// What `needs` demands beyond `targets`, all of which a machine has; proven needs first.
    /// Possible needs of the files in `lifted` are ignored.
    #[must_use]
    pub fn of(
        needs: &ImageNeeds,
        targets: &[Target],
        graph: &Microarchitectures,
        lifted: &Lifted,
    ) -> Vec<Self> {
        let (mut proven, mut unknown) = (Vec::new(), Vec::new());
        for (path, file) in &needs.files {
            let excess = |proven, need: &Need| Self {
                proven,
                file: Some(path.clone()),
                sha256: file.sha256.clone(),
                need: need.clone(),
            };
            let lacks = |need: &&Need| !covered(need, file, targets, graph);
            proven.extend(file.required.iter().filter(lacks).map(|n| excess(true, n)));
            let is_lifted = file
                .sha256
                .as_ref()
                .is_some_and(|hash| lifted.holds(hash, targets, graph));
            let left = file.unknown.iter().filter(|_| !is_lifted).filter(lacks);
            unknown.extend(left.map(|need| excess(false, need)));
        }
        let whole = needs.unread.iter().map(|why| Self {
            proven: false,
            file: None,
            sha256: None,
            need: Need {
                why: why.clone(),
                ..Need::default()
            },
        });
        proven.extend(unknown);
        proven.extend(whole);
        proven
    }
}

/// Whether every machine of one of the targets meets a need: has the level, or, for a proven need,
/// the features themselves.
fn covered(need: &Need, file: &FileNeeds, targets: &[Target], graph: &Microarchitectures) -> bool {
    let Some(level) = &need.level else {
        return false;
    };
    let level = graph.find(level).ok();
    let has_level = |target: &Target| {
        level
            .as_ref()
            .is_some_and(|level| graph.descends_from(target, level))
    };
    // A build for one processor needs some features of a level that the processor does not have in
    // full.
    let has_features = |target: &Target| {
        file.unknown.is_empty()
            && !file.features.is_empty()
            && graph.get(target).is_some_and(|known| {
                let features = known.features();
                file.features.iter().all(|name| features.contains(name))
            })
    };
    let has_feature = |target: &Target| {
        need.feature.as_ref().is_none_or(|feature| {
            let known = graph.get(target);
            known.is_some_and(|known| known.features().contains(feature))
        })
    };
    targets
        .iter()
        .any(|target| has_feature(target) && (has_level(target) || has_features(target)))
}

/// `usr/bin/app requires x86_64_v4 (in kernel: REASON)`.
impl fmt::Display for Excess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let file = self.file.as_deref().unwrap_or("a part of the image");
        match (self.proven, &self.need.level) {
            (true, Some(level)) => write!(f, "{file} requires {level}")?,
            (true, None) => write!(f, "{file} requires more")?,
            (false, Some(level)) => write!(f, "{file} may require {level}")?,
            (false, None) => write!(f, "what {file} requires is not known")?,
        }
        match &self.need.place {
            Some(place) => write!(f, " (in {place}: {})", self.need.why),
            None => write!(f, " ({})", self.need.why),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn needs(json: &str) -> ImageNeeds {
        let layer = metahub_inspect::LayerNeeds::from_json(json).unwrap();
        ImageNeeds::of([("one", &layer)])
    }

    fn excess(json: &str, target: &str, lifted: &[&str]) -> Vec<String> {
        let graph = Microarchitectures::builtin();
        let targets = [graph.find(target).unwrap()];
        let lifted = lifted
            .iter()
            .map(|hash| ((*hash).to_owned(), None))
            .collect();
        Excess::of(&needs(json), &targets, &graph, &lifted)
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    const APP: &str = r#"{"files": {
        "bin/app": {"sha256": "aa", "required": {"level": "x86_64_v3", "place": "kernel", "why": "vpaddd"},
                    "features": ["avx2", "bmi2"]},
        "lib/jit.so": {"sha256": "bb", "unknown": [{"why": "it makes code"}]},
        "lib/maybe.so": {"sha256": "cc", "unknown": [{"level": "x86_64_v4", "why": "zmm0"}]}
    }}"#;

    #[test]
    fn what_a_processor_lacks_is_told_with_file_and_function() {
        assert_eq!(
            excess(APP, "x86_64_v2", &[]),
            [
                "bin/app requires x86_64_v3 (in kernel: vpaddd)",
                "what lib/jit.so requires is not known (it makes code)",
                "lib/maybe.so may require x86_64_v4 (zmm0)"
            ]
        );
        // A level that the processor has restricts nothing, known or not.
        assert_eq!(
            excess(APP, "icelake", &[]),
            ["what lib/jit.so requires is not known (it makes code)"]
        );
        assert_eq!(excess(APP, "icelake", &["bb"]), Vec::<String>::new());
        // What is proven cannot be lifted.
        assert_eq!(excess(APP, "x86_64_v2", &["aa", "bb", "cc"]).len(), 1);
    }

    #[test]
    fn features_of_a_processor_count_without_the_whole_level() {
        let app = r#"{"files": {"a": {"required": {"level": "x86_64_v3", "why": "w"},
            "features": ["avx"]}}}"#;
        assert_eq!(excess(app, "sandybridge", &[]), Vec::<String>::new());
        assert_eq!(excess(app, "nehalem", &[]).len(), 1);
    }

    #[test]
    fn scalable_vectors_are_no_part_of_a_level() {
        let app = r#"{"files": {"a": {"required":
            {"level": "armv8.2a", "feature": "sve", "why": "w"}, "features": ["sve"]}}}"#;
        assert_eq!(excess(app, "neoverse_v1", &[]), Vec::<String>::new());
        assert_eq!(excess(app, "neoverse_n1", &[]).len(), 1);
    }

    #[test]
    fn what_could_not_be_read_is_not_known_for_any_processor() {
        let layer = r#"{"files": {}, "unread": ["it is cut off"]}"#;
        let told = excess(layer, "sapphirerapids", &[]);
        assert_eq!(
            told,
            ["what a part of the image requires is not known (layer one: it is cut off)"]
        );
    }
}
