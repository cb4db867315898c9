//! The report of coverage: the table.

use serde::Serialize;

/// How well an image fits a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// There is a build for it.
    Exact,
    /// There is none, and a build for another target that it runs is chosen.
    Fallback,
    /// Only a build that states no target, or no more than the architecture.
    Generic,
    /// Nothing fits.
    None,
}

impl Kind {
    /// All kinds, the best first.
    pub const ALL: [Self; 4] = [Self::Exact, Self::Fallback, Self::Generic, Self::None];

    /// Its name in reports.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::Fallback => "fallback",
            Self::Generic => "generic",
            Self::None => "none",
        }
    }
}

/// What one target gets of one image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Cell {
    /// How well it fits the target.
    pub kind: Kind,
    /// The CPU target of the chosen build.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// How many steps that is above the target in the graph.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub steps: Option<u16>,
    /// The chosen image, if a collection names it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entry: Option<String>,
    /// Its requirements besides the CPU that the login does not state.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub needs: Vec<String>,
    /// Why it is chosen, or why nothing is.
    pub why: String,
}

/// What all targets get of one image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Row {
    /// The image, as `NAME:TAG`.
    pub image: String,
    /// In the order of the targets; empty when the image could not be read.
    pub cells: Vec<Cell>,
    /// Unreadable or assumed parts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// The whole table.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Matrix {
    /// The targets, as they were named.
    pub targets: Vec<String>,
    /// A row for each image.
    pub rows: Vec<Row>,
}

impl Row {
    /// How many cells are of a kind.
    #[must_use]
    pub fn count(&self, kind: Kind) -> usize {
        self.cells.iter().filter(|cell| cell.kind == kind).count()
    }
}
