//! The table of images × targets. Every cell is what a pull under that login would choose.

use std::sync::Arc;

use metahub_catalog::{Collection, Composed, Entry};
use metahub_hardware::{Feature, Key, Microarchitectures, Statements, Target, from_platform};
use metahub_oci::{Descriptor, Digest, Index, MediaType, Platform};
use metahub_resolve::{Pointed, Unsure, collection_candidates, narrow};
use serde::Serialize;

/// How well an image serves a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Kind {
    /// There is a build for it.
    Exact,
    /// There is none, and a build for another target is taken that it runs.
    Fallback,
    /// Only a build that states no target, or no more than the architecture.
    Generic,
    /// Nothing fits.
    None,
}

impl Kind {
    pub(super) const ALL: [Self; 4] = [Self::Exact, Self::Fallback, Self::Generic, Self::None];

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::Fallback => "fallback",
            Self::Generic => "generic",
            Self::None => "none",
        }
    }
}

/// One column: a login, as it was named, and what it comes to.
pub(super) struct Column {
    pub(super) login: String,
    pub(super) profile: Arc<Composed>,
    /// The CPU target that it provides.
    pub(super) target: Option<Target>,
}

/// What one target gets of one image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Cell {
    pub(super) kind: Kind,
    /// The CPU target of what is taken.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) to: Option<String>,
    /// How many steps that lies above the target in the graph.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) steps: Option<u16>,
    /// The image that is taken, where a collection names one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) entry: Option<String>,
    pub(super) why: String,
}

/// What all targets get of one image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Row {
    pub(super) image: String,
    /// In the order of the targets; empty when the image could not be read.
    pub(super) cells: Vec<Cell>,
    /// What could not be read, or is only assumed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) note: Option<String>,
}

/// The whole table.
#[derive(Serialize)]
pub(super) struct Matrix {
    #[serde(skip)]
    columns: Vec<Column>,
    pub(super) targets: Vec<String>,
    pub(super) rows: Vec<Row>,
}

impl Matrix {
    pub(super) fn new(columns: Vec<Column>) -> Self {
        Self {
            targets: columns.iter().map(|column| column.login.clone()).collect(),
            columns,
            rows: Vec::new(),
        }
    }

    pub(super) fn add(&mut self, image: String, index: &Index, note: Option<String>) {
        let cells = self.columns.iter().map(|column| cell(column, index));
        let cells = cells.collect();
        self.rows.push(Row { image, cells, note });
    }

    pub(super) fn add_unread(&mut self, image: String, problem: String) {
        self.rows.push(Row {
            image,
            cells: Vec::new(),
            note: Some(problem),
        });
    }

    /// How many cells are of each kind, for one row.
    pub(super) fn count(row: &Row, kind: Kind) -> usize {
        row.cells.iter().filter(|cell| cell.kind == kind).count()
    }

    /// A collection's entries as far as its documents say them. Where they do not say for which
    /// architecture an image is, it is taken to be there for all that are looked at.
    pub(super) fn by_documents(&self, collection: &Collection) -> (Index, Option<String>) {
        let mut architectures: Vec<String> = self
            .columns
            .iter()
            .map(|column| machine(column).architecture)
            .collect();
        architectures.sort_unstable();
        architectures.dedup();
        let mut assumed = false;
        let pointed: Vec<Pointed> = collection
            .entries
            .iter()
            .enumerate()
            .map(|(at, entry)| {
                let image = |architecture: &str| {
                    let name = format!("{} {at} {architecture}", entry.image);
                    let digest = Digest::sha256(name.as_bytes());
                    Descriptor::new(MediaType::oci_manifest(), digest, 0)
                        .with_platform(&Platform::new("linux", architecture))
                };
                match self.stated_architecture(entry) {
                    Some(architecture) => {
                        Pointed::Image(image(&architecture), Statements::default())
                    }
                    None => {
                        assumed = true;
                        Pointed::Index(architectures.iter().map(|a| image(a)).collect())
                    }
                }
            })
            .collect();
        let note = assumed.then(|| {
            "some entries state no architecture, and are counted for every one: --images reads it"
                .to_owned()
        });
        (
            collection_candidates(collection, &pointed, Unsure::Refuse).index,
            note,
        )
    }

    fn stated_architecture(&self, entry: &Entry) -> Option<String> {
        let written = entry.platform.as_ref();
        let written = written.and_then(|platform| platform.architecture.clone());
        written.or_else(|| self.of_target(entry))
    }

    fn of_target(&self, entry: &Entry) -> Option<String> {
        let graph = self.columns.first()?.profile.provided().graph();
        let target = entry
            .requires
            .iter()
            .find_map(|feature| target_of(graph, feature))?;
        Some(graph.oci_platform(&target).architecture)
    }
}

/// The machine that pulls under a login: of its CPU target's architecture.
fn machine(column: &Column) -> Platform {
    match &column.target {
        Some(target) => {
            let platform = column.profile.provided().graph().oci_platform(target);
            Platform::new(platform.os, &platform.architecture)
        }
        None => Platform::linux_amd64(),
    }
}

fn target_of(graph: &Microarchitectures, feature: &Feature) -> Option<Target> {
    (*feature.key() == Key::Arch)
        .then(|| graph.look_up(feature.value())?.ok())
        .flatten()
}

fn cell(column: &Column, index: &Index) -> Cell {
    let nothing = |why: String| Cell {
        kind: Kind::None,
        to: None,
        steps: None,
        entry: None,
        why,
    };
    let narrowed = match narrow(index, &column.profile) {
        Ok(narrowed) => narrowed,
        Err(error) => return nothing(error.to_string()),
    };
    let machine = machine(column);
    let is_for = |platform: Option<Platform>| platform.is_none_or(|p| p.same_machine(&machine));
    let chosen = narrowed.chosen.iter().find(|d| is_for(d.platform()));
    let Some(chosen) = chosen else {
        return nothing(format!("there is no image for {machine}"));
    };
    let verdict = narrowed
        .verdicts
        .iter()
        .find(|verdict| verdict.kept && verdict.digest == chosen.digest());
    let why = verdict
        .as_ref()
        .map_or_else(String::new, |verdict| verdict.reason.to_owned());
    let graph = column.profile.provided().graph();
    let taken = taken(graph, chosen).filter(|taken| graph.depth(taken) > 0);
    let kind = match (&taken, &column.target) {
        (None, _) => Kind::Generic,
        (Some(taken), Some(target)) if taken == target => Kind::Exact,
        (Some(_), _) => Kind::Fallback,
    };
    let steps = taken
        .as_ref()
        .zip(column.target.as_ref())
        .and_then(|(taken, target)| graph.distance(target, taken));
    Cell {
        kind,
        to: taken.map(|taken| taken.to_string()),
        steps,
        entry: verdict.and_then(|verdict| verdict.image.map(str::to_owned)),
        why,
    }
}

/// The CPU target of an entry: the one that demands most of those that it names, else the one
/// that its variant means.
fn taken(graph: &Microarchitectures, entry: &Descriptor) -> Option<Target> {
    let platform = entry.platform()?;
    let named = platform
        .features
        .iter()
        .filter_map(|text| target_of(graph, &Feature::parse(text).ok()?))
        .max_by_key(|target| graph.depth(target));
    named.or_else(|| {
        let feature = from_platform(&platform.architecture, platform.variant.as_deref())?;
        target_of(graph, &feature)
    })
}
