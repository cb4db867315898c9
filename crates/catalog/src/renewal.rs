//! Collections for new versions of an application: which tags of other registries make one, and how
//! the document says it. A document is edited as text, so that comments and order stay, and is
//! parsed again before it counts: everything that it said before must be unchanged. No I/O.

use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::sync::Arc;

use metahub_hardware::Microarchitectures;
use metahub_oci::{ImageReference, Reference, Tag};

use crate::about::Certainty;
use crate::load::Loader;
use crate::version_order::compare_versions;
use crate::version_pattern::VersionPattern;
use crate::{Catalog, Collection};

/// Most collections that are added for one pattern at once, the newest versions first.
pub const MAX_NEW_VERSIONS: usize = 20;

/// Why a document cannot be brought up to date.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RenewalError {
    /// An image whose tag does not follow the version.
    #[error(
        "{image} has no {version} in its tag, or is named by digest: what its image of another \
         version is called cannot be told"
    )]
    Image {
        /// The image.
        image: ImageReference,
        /// The version of its collection.
        version: String,
    },
    /// A collection in a form that is not changed as text.
    #[error(
        "line {line}: write the collection as an item of its own, `- name: …`, with the keys of \
         each image on one line or below each other"
    )]
    Form {
        /// Where the collection is.
        line: usize,
    },
    /// The changed text says something else than what was meant.
    #[error(
        "line {line}: the collection cannot be copied so that only its version differs: write \
         its tag and its images plainly"
    )]
    Differs {
        /// Where the collection is.
        line: usize,
    },
}

/// The newest collection that matches a pattern: new ones are made like it.
#[derive(Clone, Debug)]
pub struct Template<'c> {
    /// The collection.
    pub collection: &'c Collection,
    pattern: &'c VersionPattern,
    version: &'c str,
}

/// The collections of `file` that new ones are made like, one for each pattern and name.
pub fn templates<'c>(catalog: &'c Catalog, file: &str) -> Vec<Template<'c>> {
    let mut here: Vec<&Collection> = catalog
        .collections()
        .filter(|collection| &*collection.location.file == file)
        .collect();
    here.sort_by_key(|collection| &collection.location);
    let mut found: Vec<Template<'c>> = Vec::new();
    for collection in here {
        for pattern in &collection.application.update {
            let Some(version) = pattern.version(collection.tag.as_str()) else {
                continue;
            };
            let new = Template {
                collection,
                pattern,
                version,
            };
            let same = found
                .iter_mut()
                .find(|other| other.pattern == pattern && other.collection.name == collection.name);
            match same {
                Some(other) if newer(version, other.version) => *other = new,
                Some(_) => {}
                None => found.push(new),
            }
        }
    }
    found
}

impl<'c> Template<'c> {
    /// The version that the collection is of.
    #[must_use]
    pub fn version(&self) -> &'c str {
        self.version
    }

    /// The repositories and the beginnings and ends of tags that a version needs, in the order of
    /// the entries.
    fn shapes(&self) -> Result<Vec<(&'c ImageReference, &'c str, &'c str)>, RenewalError> {
        let entries = self.collection.entries.iter();
        entries
            .map(|entry| {
                let image = &entry.image;
                let tag = image.tag().filter(|_| image.digest().is_none());
                let parts = tag.and_then(|tag| around(tag.as_str(), self.version));
                let (before, after) = parts.ok_or_else(|| RenewalError::Image {
                    image: image.clone(),
                    version: self.version.to_owned(),
                })?;
                Ok((image, before, after))
            })
            .collect()
    }

    /// The versions for which every image of the collection is there, and those for which some
    /// are missing, both newer than the collection and oldest first. `tags` gives the tags of an
    /// image's repository; `taken` says which tags of collections there are already.
    ///
    /// # Errors
    /// An image whose tag does not follow the version.
    pub fn versions(
        &self,
        mut tags: impl FnMut(&ImageReference) -> Vec<Tag>,
        taken: impl Fn(&Tag) -> bool,
    ) -> Result<(Vec<String>, Vec<String>), RenewalError> {
        let shapes = self.shapes()?;
        let mut some: BTreeSet<String> = BTreeSet::new();
        let mut all: Option<BTreeSet<String>> = None;
        for (image, before, after) in shapes {
            let listed = tags(image);
            let versions: BTreeSet<String> = listed
                .iter()
                .filter_map(|tag| tag.as_str().strip_prefix(before)?.strip_suffix(after))
                .filter(|version| newer(version, self.version))
                .filter(|version| self.tag(version).is_some_and(|tag| !taken(&tag)))
                .map(str::to_owned)
                .collect();
            some.extend(versions.iter().cloned());
            all = Some(match all {
                None => versions,
                Some(before) => before.intersection(&versions).cloned().collect(),
            });
        }
        let all = all.unwrap_or_default();
        let partly = some.difference(&all).cloned().collect();
        Ok((newest(all.into_iter().collect()), newest(partly)))
    }

    /// The tag of the collection for another version, if the pattern takes it for one.
    #[must_use]
    pub fn tag(&self, version: &str) -> Option<Tag> {
        let (before, after) = around(self.collection.tag.as_str(), self.version)?;
        let tag = format!("{before}{version}{after}");
        let same = self.pattern.version(&tag) == Some(version);
        tag.parse().ok().filter(|_| same)
    }

    /// The collection for another version.
    fn renewed(&self, version: &str) -> Option<Collection> {
        let mut new = self.collection.clone();
        new.tag = self.tag(version)?;
        for entry in &mut new.entries {
            let image = &entry.image;
            let (before, after) = around(image.tag()?.as_str(), self.version)?;
            let tag = format!("{before}{version}{after}").parse().ok()?;
            entry.image = ImageReference::new(
                image.host().cloned(),
                image.name().clone(),
                Reference::Tag(tag),
            );
            if entry.about.certainty == Some(Certainty::High) {
                entry.about.certainty = Some(Certainty::Medium);
            }
        }
        Some(new)
    }

    /// `text`, the document of the collection, with a collection for each of `versions` behind
    /// it. Nobody has documented the new ones, so that they are of medium certainty at most.
    ///
    /// # Errors
    /// A document whose form does not allow it.
    pub fn add(
        &self,
        text: &str,
        versions: &[String],
        graph: &Arc<Microarchitectures>,
    ) -> Result<String, RenewalError> {
        let line = self.collection.location.line;
        let form = RenewalError::Form { line };
        let lines: Vec<&str> = text.split_inclusive('\n').collect();
        let (first, end) = block(&lines, line).ok_or_else(|| form.clone())?;
        let block = lines.get(first..end).ok_or(form)?;
        let differs = RenewalError::Differs { line };
        let mut added = String::new();
        let mut expected = Vec::new();
        for version in versions {
            let new = self.renewed(version).ok_or_else(|| differs.clone())?;
            added.push_str(&self.copied(block, &new));
            expected.push(new);
        }
        let mut changed: String = lines.get(..end).unwrap_or_default().concat();
        if !changed.ends_with('\n') {
            changed.push('\n');
        }
        changed.push_str(&added);
        changed.push_str(&lines.get(end..).unwrap_or_default().concat());
        let before = read(text, graph).ok_or_else(|| differs.clone())?;
        let mut after = read(&changed, graph).ok_or_else(|| differs.clone())?;
        for new in &expected {
            let at = after.iter().position(|one| same(one, new));
            after.remove(at.ok_or_else(|| differs.clone())?);
        }
        let unchanged = before.len() == after.len()
            && before
                .iter()
                .zip(&after)
                .all(|(one, other)| same(one, other));
        if unchanged { Ok(changed) } else { Err(differs) }
    }

    /// The lines of the collection, for another version. Comments on lines of their own are about
    /// the old one.
    fn copied(&self, block: &[&str], new: &Collection) -> String {
        let mut copied = String::new();
        let old_tag = self.collection.tag.as_str();
        for line in block {
            let trimmed = line.trim_start();
            if trimmed.starts_with('#') || trimmed.trim_end().is_empty() {
                continue;
            }
            let key = trimmed.trim_start_matches("- ");
            let mut line = (*line).to_owned();
            if key.starts_with("tag:") {
                line = line.replacen(old_tag, new.tag.as_str(), 1);
            }
            for (old, new) in self.collection.entries.iter().zip(&new.entries) {
                line = replaced(&line, &old.image.to_string(), &new.image.to_string());
            }
            if key.starts_with("certainty:") || line.contains("about: {") {
                line = line.replace("certainty: high", "certainty: medium");
            }
            copied.push_str(&line);
        }
        if !copied.ends_with('\n') {
            copied.push('\n');
        }
        copied
    }
}

/// `old` where it stands as a whole name, replaced by `new`.
fn replaced(line: &str, old: &str, new: &str) -> String {
    let mut out = String::new();
    let mut rest = line;
    while let Some(at) = rest.find(old) {
        let (before, found) = rest.split_at(at);
        let after = found.get(old.len()..).unwrap_or_default();
        let part = |c: char| c.is_ascii_alphanumeric() || "._-/:@".contains(c);
        let whole = !after.starts_with(part) && !before.ends_with(part);
        out.push_str(before);
        out.push_str(if whole { new } else { old });
        rest = after;
    }
    out.push_str(rest);
    out
}

/// The first and the end of the lines of the item of a list that holds `line`, which is one-based.
fn block(lines: &[&str], line: usize) -> Option<(usize, usize)> {
    let first = line.checked_sub(1)?;
    let start = lines.get(first)?;
    let indent = start.len() - start.trim_start().len();
    if !start.trim_start().starts_with("- ") {
        return None;
    }
    let mut end = first + 1;
    let mut last = end;
    while let Some(next) = lines.get(end) {
        let trimmed = next.trim_start();
        let own = next.len() - trimmed.len();
        let blank = trimmed.trim_end().is_empty() || trimmed.starts_with('#');
        if !blank && own <= indent {
            break;
        }
        end += 1;
        if !blank {
            last = end;
        }
    }
    Some((first, last))
}

/// The collections of a text in their order, if it has no error.
fn read(text: &str, graph: &Arc<Microarchitectures>) -> Option<Vec<Collection>> {
    let mut loader = Loader::new(Catalog::in_graph(Arc::clone(graph)));
    loader.add_text("document", text);
    let loaded = loader.finish();
    if loaded.has_errors() {
        return None;
    }
    let mut all: Vec<Collection> = loaded.catalog.collections().cloned().collect();
    all.sort_by(|a, b| a.location.cmp(&b.location));
    Some(all)
}

/// Whether two collections say the same, wherever they stand.
fn same(one: &Collection, other: &Collection) -> bool {
    let about = |collection: &Collection| {
        let entries = collection.entries.iter();
        entries.map(|entry| entry.about.clone()).collect::<Vec<_>>()
    };
    let plain = |collection: &Collection| {
        let mut collection = collection.clone();
        collection.location = crate::Location {
            file: "".into(),
            line: 1,
            column: 1,
        };
        for entry in &mut collection.entries {
            entry.location = collection.location.clone();
        }
        collection
    };
    plain(one) == plain(other) && about(one) == about(other)
}

/// The text before and after the version, which stands there once and is no part of a longer
/// number.
fn around<'t>(text: &'t str, version: &str) -> Option<(&'t str, &'t str)> {
    let mut found = text.match_indices(version).filter_map(|(at, _)| {
        let before = text.get(..at)?;
        let after = text.get(at + version.len()..)?;
        let digit = |c: char| c.is_ascii_digit();
        let longer = version.starts_with(digit) && before.ends_with(digit)
            || version.ends_with(digit) && after.starts_with(digit);
        (!longer).then_some((before, after))
    });
    let first = found.next()?;
    found.next().is_none().then_some(first)
}

/// At most [`MAX_NEW_VERSIONS`] of them, the newest, oldest first.
fn newest(mut versions: Vec<String>) -> Vec<String> {
    versions.sort_by(|a, b| compare_versions(a, b));
    let over = versions.len().saturating_sub(MAX_NEW_VERSIONS);
    versions.drain(..over);
    versions
}

fn newer(version: &str, than: &str) -> bool {
    compare_versions(version, than) == Ordering::Greater
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_found_once_and_whole() {
        assert_eq!(around("2024.3_mpich", "2024.3"), Some(("", "_mpich")));
        assert_eq!(around("v12-cuda12", "12"), None);
        assert_eq!(around("v123", "12"), None);
        assert_eq!(around("stable", "12"), None);
        assert_eq!(replaced("x:1 x:1.0 'x:1'", "x:1", "x:2"), "x:2 x:1.0 'x:2'");
    }
}
