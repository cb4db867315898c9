//! Computes the table. Every cell is what a pull under that login would choose.

use std::sync::Arc;

use metahub_catalog::{Collection, Composed, Entry};
use metahub_hardware::{Feature, Key, Outcome, Provided, Statements, Target, fit};
use metahub_oci::{Descriptor, Digest, Index, MediaType, Platform};
use metahub_resolve::{
    Pointed, Unsure, built_for, chosen_for, collection_candidates, narrow, target_named,
};

use super::report::{Cell, Kind, Matrix, Row};

/// One column: a login, as it was named, and its profile.
pub(super) struct Column {
    pub(super) login: String,
    pub(super) profile: Arc<Composed>,
    /// The CPU target that it provides.
    pub(super) target: Option<Target>,
}

/// The table while it is computed.
pub(super) struct Builder {
    columns: Vec<Column>,
    matrix: Matrix,
}

impl Builder {
    pub(super) fn new(columns: Vec<Column>) -> Self {
        let targets = columns.iter().map(|column| column.login.clone()).collect();
        Self {
            columns,
            matrix: Matrix {
                targets,
                rows: Vec::new(),
            },
        }
    }

    pub(super) fn finish(self) -> Matrix {
        self.matrix
    }

    pub(super) fn add(&mut self, image: String, index: &Index, note: Option<String>) {
        let cells = self.columns.iter().map(|column| cell(column, index));
        let cells = cells.collect();
        self.matrix.rows.push(Row { image, cells, note });
    }

    pub(super) fn add_unread(&mut self, image: String, problem: String) {
        self.matrix.rows.push(Row {
            image,
            cells: Vec::new(),
            note: Some(problem),
        });
    }

    /// A collection's entries as its documents state them. An image without a stated architecture
    /// counts for all architectures of the table.
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
            .find_map(|feature| target_named(graph, feature))?;
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

fn cell(column: &Column, index: &Index) -> Cell {
    let nothing = |why: String| Cell {
        kind: Kind::None,
        to: None,
        steps: None,
        entry: None,
        needs: Vec::new(),
        why,
    };
    let narrowed = match narrow(index, &column.profile) {
        Ok(narrowed) => narrowed,
        Err(error) => return nothing(error.to_string()),
    };
    let machine = machine(column);
    let Some(chosen) = chosen_for(&narrowed.chosen, &machine) else {
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
    let taken = built_for(graph, chosen).filter(|taken| graph.depth(taken) > 0);
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
        needs: needs(column.profile.provided(), chosen),
        why,
    }
}

/// The requirements of an entry besides the CPU target that the login does not provide. Such an
/// entry may be chosen, since the machine may have what its login does not state.
fn needs(provided: &Provided, entry: &Descriptor) -> Vec<String> {
    let written = entry.platform().map(|platform| platform.features);
    let written = written.unwrap_or_default();
    let parsed = written.iter().filter_map(|text| Feature::parse(text).ok());
    let required: Vec<Feature> = parsed.collect();
    let fit = fit(&required, provided);
    let unmet = fit.checks().iter().filter(|check| {
        *check.requirement.key() != Key::Arch && !matches!(check.outcome, Outcome::Met { .. })
    });
    unmet.map(|check| check.requirement.to_string()).collect()
}
