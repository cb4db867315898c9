//! The subject of a page: the collections of one name.

use std::collections::BTreeMap;

use metahub_catalog::{About, Catalog, Collection, compare_versions};
use metahub_operations::Matrix;

/// An application: the collections of one name.
pub(super) struct Application<'c> {
    pub(super) name: &'c str,
    pub(super) about: &'c About,
    pub(super) collections: Vec<&'c Collection>,
    pub(super) coverage: Matrix,
}

/// The applications of a catalog by name, each with its rows of the table.
pub(super) fn applications<'c>(catalog: &'c Catalog, matrix: &Matrix) -> Vec<Application<'c>> {
    let mut by_name: BTreeMap<&str, Vec<&Collection>> = BTreeMap::new();
    for collection in catalog.collections() {
        let name = collection.name.as_str();
        by_name.entry(name).or_default().push(collection);
    }
    let applications = by_name.into_iter().map(|(name, mut collections)| {
        collections.sort_by(|a, b| compare_versions(a.tag.as_str(), b.tag.as_str()));
        // The first document with a description counts.
        let mut about = collections.iter().map(|c| &*c.application);
        let none: Option<&About> = collections.first().map(|c| &*c.application);
        let about = about.find(|about| !about.is_empty()).or(none);
        let images: Vec<String> = collections
            .iter()
            .map(|c| format!("{}:{}", c.name, c.tag))
            .collect();
        let rows = matrix.rows.iter();
        let rows = rows.filter(|row| images.contains(&row.image)).cloned();
        let coverage = Matrix {
            targets: matrix.targets.clone(),
            rows: rows.collect(),
        };
        about.map(|about| Application {
            name,
            about,
            coverage,
            collections,
        })
    });
    applications.flatten().collect()
}
