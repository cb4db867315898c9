//! What layers need, each read once by itself, and what an image of some of them needs: a small
//! form that can be written down. It holds only files that need something beyond their
//! architecture, or of which that is not known; what a program chooses when it runs is left out.

use std::collections::BTreeMap;
use std::io::Read;

use serde::{Deserialize, Serialize};

use crate::answer::{Evidence, FileFacts, Level, Status};
use crate::changes::Changes;
use crate::image::hex;
use crate::limits::Limits;
use crate::tree::{KnownFiles, Tree};
use crate::{layer, siblings};

/// The version of the rule by which code is judged: what was written down under another one is to
/// be read again. It is raised with every change of an answer.
pub const RULE_VERSION: u32 = 4;

/// Most files that are known by their content at once.
const KNOWN: usize = 20_000;
/// Most bytes of a layer's needs in JSON.
const RECORD: usize = 64 * 1024;
/// Most paths in it that the layer replaces.
const RECORDED_PATHS: usize = 1000;
/// Most paths in it that say that they are for every processor.
const RECORDED_PLAIN: usize = 200;
/// Most characters of a reason.
const REASON: usize = 300;

/// Reads layers one by one, the content of each file once.
#[derive(Debug, Default)]
pub struct LayerReader {
    limits: Limits,
    known: KnownFiles,
}

/// What one layer needs, and what it does to those below it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LayerNeeds {
    /// The files that need something, by their paths.
    files: BTreeMap<String, FileNeeds>,
    /// Programs whose paths say that they are for every processor, by what these have in common
    /// with the paths of others for single levels, which may lie in other layers.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    for_every: BTreeMap<String, String>,
    #[serde(flatten)]
    changes: Changes,
    /// Why something of the layer is not known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    unread: Vec<String>,
}

/// What one file needs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileNeeds {
    /// The SHA-256 of its content in hexadecimal; none of a file that was not read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// It dies without this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub required: Option<Need>,
    /// It may need these.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unknown: Vec<Need>,
    /// Features that its code uses unconditionally, as Linux names them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub features: Vec<String>,
}

/// A level of a processor, and what shows that it is needed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Need {
    /// The target by its name in archspec; none where nothing is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub level: Option<String>,
    /// A feature beside the level, as Linux names it: scalable vectors belong to no level of Arm's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub feature: Option<String>,
    /// The function, or the address of the instruction.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<String>,
    /// In words.
    pub why: String,
}

/// What an image needs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImageNeeds {
    /// The files that need something, by their paths.
    pub files: BTreeMap<String, FileNeeds>,
    /// Why something of the image is not known.
    pub unread: Vec<String>,
}

impl LayerReader {
    /// A reader within these bounds, which hold for each layer by itself.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            known: KnownFiles::new(),
        }
    }

    /// Reads a layer: a tar archive, plain or compressed with gzip or zstd. What of it cannot be
    /// read makes the answer unknown. Blocks, and computes for long.
    pub fn read(&mut self, source: impl Read) -> LayerNeeds {
        let mut tree = Tree::of_layer(self.limits, std::mem::take(&mut self.known));
        tree.next_layer();
        if let Err(error) = layer::read(&mut tree, source) {
            tree.unread.push(error.to_string());
        }
        let needs = LayerNeeds::of(&mut tree);
        self.known = tree.into_known();
        if self.known.len() > KNOWN {
            self.known.clear();
        }
        needs
    }
}

impl LayerNeeds {
    /// A layer that cannot be had.
    #[must_use]
    pub fn unread(why: impl Into<String>) -> Self {
        Self {
            unread: vec![shortened(why.into())],
            ..Self::default()
        }
    }

    /// Why something of the layer is not known.
    #[must_use]
    pub fn problems(&self) -> &[String] {
        &self.unread
    }

    fn of(tree: &mut Tree) -> Self {
        let mut changes = tree.changes.take().unwrap_or_default();
        changes.finish();
        let mut unread = std::mem::take(&mut tree.unread);
        if changes.is_cut() {
            unread.push("it has too many hard links to files of lower layers".to_owned());
        }
        let paths = tree.programs().map(|(path, _)| path);
        let alternatives = siblings::alternatives(paths);
        let files = tree.hashed().filter_map(|(path, facts, hash)| {
            let needs = FileNeeds::of(facts, hash, alternatives.contains(path))?;
            Some((path.to_owned(), needs))
        });
        let for_every = tree.programs().filter_map(|(path, _)| {
            let stem = siblings::stem_for_every(path)?;
            Some((stem, path.to_owned()))
        });
        Self {
            files: files.collect(),
            for_every: for_every.take(RECORDED_PLAIN).collect(),
            changes,
            unread: unread.into_iter().map(shortened).collect(),
        }
    }

    /// As it is written down: JSON of at most 64 KiB. Where all does not fit, what makes an image
    /// count less is left out, then what names single files.
    #[must_use]
    pub fn to_json(&self) -> String {
        let text = |needs: &Self| serde_json::to_string(needs).unwrap_or_default();
        let mut small = self.clone();
        small.changes.keep_few(RECORDED_PATHS);
        let whole = text(&small);
        if whole.len() <= RECORD {
            return whole;
        }
        small.for_every.clear();
        small.changes.keep_links_only();
        let few = text(&small);
        if few.len() <= RECORD {
            return few;
        }
        text(&Self::unread(
            "more of its files need something than can be written down",
        ))
    }

    /// What was written down.
    ///
    /// # Errors
    /// What has another form.
    pub fn from_json(text: &str) -> Result<Self, serde_json::Error> {
        let mut needs: Self = serde_json::from_str(text)?;
        needs.changes.finish();
        Ok(needs)
    }
}

impl FileNeeds {
    /// `None` if it needs nothing that is not there anyway.
    fn of(facts: &FileFacts, hash: Option<[u8; 32]>, alternative: bool) -> Option<Self> {
        let mut needs = Self::default();
        let mut required = None;
        let mut unknown: BTreeMap<_, Need> = BTreeMap::new();
        for evidence in &facts.cpu.evidence {
            // Another file stands beside it for other processors.
            if alternative && evidence.level.is_some() {
                continue;
            }
            match evidence.status {
                Status::Required if needs.required.is_none() || evidence.level > required => {
                    required = evidence.level;
                    needs.required = Some(Need::of(evidence));
                }
                Status::Unknown => {
                    unknown
                        .entry(evidence.level)
                        .or_insert_with(|| Need::of(evidence));
                }
                Status::Required | Status::Dispatched => {}
            }
        }
        needs.unknown = unknown.into_values().collect();
        if needs.is_empty() {
            return None;
        }
        if !alternative {
            needs.features = facts.cpu.features.iter().map(ToString::to_string).collect();
        }
        needs.sha256 = hash.map(hex);
        Some(needs)
    }

    fn is_empty(&self) -> bool {
        self.required.is_none() && self.unknown.is_empty()
    }

    /// Another file stands beside it for other processors.
    fn forget_levels(&mut self) {
        self.required = self.required.take().filter(|need| need.level.is_none());
        self.unknown.retain(|need| need.level.is_none());
        self.features.clear();
    }
}

impl Need {
    fn of(evidence: &Evidence) -> Self {
        let place = evidence.function.as_ref().or(evidence.address.as_ref());
        Self {
            level: evidence.level.map(|level| level.target().to_owned()),
            feature: (evidence.level == Some(Level::Sve)).then(|| "sve".to_owned()),
            place: place.cloned().map(shortened),
            why: shortened(evidence.why.clone()),
        }
    }
}

impl ImageNeeds {
    /// An image of these layers, the lowest first, each with its name.
    #[must_use]
    pub fn of<'l>(layers: impl IntoIterator<Item = (&'l str, &'l LayerNeeds)>) -> Self {
        let mut image = Self::default();
        let mut for_every: BTreeMap<&str, &str> = BTreeMap::new();
        for (name, layer) in layers {
            let links: Vec<(String, FileNeeds)> = layer
                .changes
                .linked()
                .iter()
                .filter_map(|(path, target)| Some((path.clone(), image.files.get(target)?.clone())))
                .collect();
            image.files.retain(|path, _| !layer.changes.hides(path));
            for_every.retain(|_, path| !layer.changes.hides(path));
            let plain = layer.for_every.iter();
            for_every.extend(plain.map(|(stem, path)| (stem.as_str(), path.as_str())));
            image.files.extend(links);
            let own = layer.files.iter();
            image
                .files
                .extend(own.map(|(path, needs)| (path.clone(), needs.clone())));
            let unread = layer.unread.iter();
            image
                .unread
                .extend(unread.map(|why| format!("layer {name}: {why}")));
        }
        image.files.retain(|path, needs| {
            let stem = siblings::stem_for_one(path);
            if stem.is_some_and(|stem| for_every.contains_key(stem.as_str())) {
                needs.forget_levels();
            }
            !needs.is_empty()
        });
        image
    }

    /// Whether nothing needs more than its architecture.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.files.is_empty() && self.unread.is_empty()
    }
}

fn shortened(mut text: String) -> String {
    if let Some((at, _)) = text.char_indices().nth(REASON) {
        text.truncate(at);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layer(files: &[(&str, Option<Level>)], for_every: &[&str]) -> LayerNeeds {
        let needs = |level: &Option<Level>| FileNeeds {
            required: Some(Need {
                level: level.map(|level| level.target().to_owned()),
                ..Need::default()
            }),
            ..FileNeeds::default()
        };
        let stems = for_every.iter().filter_map(|path| {
            let stem = siblings::stem_for_every(path)?;
            Some((stem, (*path).to_owned()))
        });
        let files = files.iter();
        LayerNeeds {
            files: files
                .map(|(path, level)| ((*path).to_owned(), needs(level)))
                .collect(),
            for_every: stems.collect(),
            ..LayerNeeds::default()
        }
    }

    #[test]
    fn files_for_single_processors_are_told_from_others_in_other_layers() {
        let v3 = Some(Level::V3);
        let special = layer(
            &[
                ("opt/bin.AVX2_256/gmx", v3),
                ("opt/bin.AVX2_256/odd", None),
                ("bin/a", v3),
            ],
            &[],
        );
        let plain = layer(&[], &["opt/bin.SSE2/gmx", "opt/bin.SSE2/odd"]);
        for order in [[&special, &plain], [&plain, &special]] {
            let image = ImageNeeds::of(order.map(|layer| ("l", layer)));
            let left: Vec<&str> = image.files.keys().map(String::as_str).collect();
            // What is not known for another reason stays so.
            assert_eq!(left, ["bin/a", "opt/bin.AVX2_256/odd"]);
        }
        let alone = ImageNeeds::of([("l", &special)]);
        assert_eq!(alone.files.len(), 3);
        let written = LayerNeeds::from_json(&plain.to_json()).unwrap();
        assert_eq!(written, plain);
    }
}
