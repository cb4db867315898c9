//! Coverage: which image each kind of machine gets of each collection, as a table of images ×
//! targets. It chooses by the code that a pull runs, and changes nothing.

mod matrix;
mod report;

use std::path::PathBuf;
use std::sync::Arc;

use metahub_catalog::{Catalog, Collection, compare_versions};
use metahub_hardware::{Microarchitectures, Target};
use metahub_oci::{ImageReference, Reference, RepositoryName, Tag};

use self::matrix::{Builder, Column};
use crate::error::OperationError;
use crate::image_reader::ImageReader;
use crate::local_catalog;

pub use self::report::{Cell, Kind, Matrix, Row};

/// A request for the coverage table.
#[derive(Clone, Debug)]
pub struct Coverage {
    /// The CPU targets that documents may name.
    pub graph: Arc<Microarchitectures>,
    /// The documents: files, or folders of .yaml and .yml files.
    pub paths: Vec<PathBuf>,
    /// Followed catalogs, which count after them: names and texts of their files.
    pub followed: Vec<Vec<(String, String)>>,
    /// The machines: CPU targets or any logins, `all` alone for every known target, none for the
    /// usual servers and the machines that the documents' profiles describe.
    pub targets: Vec<String>,
    /// Only these: `NAME` or `NAME:TAG`.
    pub collections: Vec<String>,
    /// How to read the images, for what the documents do not state; then any image can be named.
    pub images: Option<ImageReader>,
}

/// The default targets: the levels of x86-64, and the servers of the last ten years.
const USUAL: &[&str] = &[
    "x86_64_v2",
    "x86_64_v3",
    "x86_64_v4",
    "zen",
    "zen2",
    "zen3",
    "zen4",
    "zen5",
    "haswell",
    "broadwell",
    "skylake_avx512",
    "cascadelake",
    "icelake",
    "sapphirerapids",
    "neoverse_n1",
    "neoverse_v1",
    "neoverse_v2",
    "a64fx",
    "power9le",
];

impl Coverage {
    /// Computes the table.
    ///
    /// # Errors Errors in the documents, an unknown target or collection, or no image at all.
    pub async fn run(self) -> Result<Matrix, OperationError> {
        let catalog = local_catalog::load(self.graph, &self.paths, &self.followed)?;
        let mut builder = Builder::new(columns(&catalog, &self.targets)?);
        let selected = Selected::parse(&self.collections)?;
        if let Some(reader) = self.images {
            let registry = reader.open(catalog.clone()).await?;
            for (name, tag) in selected.images(&catalog) {
                let image = format!("{name}:{tag}");
                match registry.operator().read(&name).entries(&tag).await {
                    Ok((index, warning)) => builder.add(image, &index, warning),
                    Err(error) => builder.add_unread(image, error.to_string()),
                }
            }
        } else {
            selected.known(&catalog)?;
            for collection in selected.collections(&catalog) {
                let (index, note) = builder.by_documents(collection);
                let image = format!("{}:{}", collection.name, collection.tag);
                builder.add(image, &index, note);
            }
        }
        let matrix = builder.finish();
        if matrix.rows.is_empty() {
            return Err(OperationError::NoCollections);
        }
        Ok(matrix)
    }
}

fn columns(catalog: &Catalog, named: &[String]) -> Result<Vec<Column>, OperationError> {
    let all: Vec<String> = match named {
        [] => {
            let mut all: Vec<String> = USUAL.iter().map(ToString::to_string).collect();
            all.extend(own_machines(catalog));
            all
        }
        [all] if all == "all" => all_targets(catalog.graph()),
        named => named.to_vec(),
    };
    all.into_iter()
        .map(|login| {
            let meant = catalog.interpret(&login, &|_| false)?;
            let target = meant.profile.provided().targets().next().cloned();
            Ok(Column {
                login,
                profile: meant.profile,
                target,
            })
        })
        .collect()
}

/// The profiles of the documents that state a processor, by name.
fn own_machines(catalog: &Catalog) -> Vec<String> {
    let mut own: Vec<String> = catalog
        .profiles()
        .filter(|profile| profile.location.is_some())
        .filter(|profile| profile.features.iter().any(|f| f.target().is_some()))
        .map(|profile| profile.name.selector())
        .collect();
    own.sort();
    own
}

/// Every target, families together, ancestors first.
fn all_targets(graph: &Microarchitectures) -> Vec<String> {
    let mut all: Vec<&Target> = graph.iter().map(|known| known.target()).collect();
    all.sort_by_key(|target| {
        let known = graph.get(target).map(|known| known.vendor().to_owned());
        (
            graph.family(target).to_string(),
            known.filter(|vendor| vendor != "generic"),
            graph.depth(target),
            target.to_string(),
        )
    });
    all.into_iter().map(ToString::to_string).collect()
}

/// The requested collections: `NAME` for all its tags, `NAME:TAG` for one.
struct Selected(Vec<ImageReference>);

impl Selected {
    fn parse(texts: &[String]) -> Result<Self, OperationError> {
        let images = texts.iter().map(|text| text.parse());
        Ok(Self(images.collect::<Result<_, _>>()?))
    }

    fn has(&self, collection: &Collection) -> bool {
        let is = |image: &ImageReference| {
            *image.name() == collection.name && image.tag().is_none_or(|t| *t == collection.tag)
        };
        self.0.is_empty() || self.0.iter().any(is)
    }

    fn collections<'c>(&self, catalog: &'c Catalog) -> Vec<&'c Collection> {
        let mut found: Vec<&Collection> = catalog.collections().filter(|c| self.has(c)).collect();
        found.sort_by(|a, b| {
            let tags = || compare_versions(a.tag.as_str(), b.tag.as_str());
            a.name.cmp(&b.name).then_with(tags)
        });
        found
    }

    /// Without access to images, names that no collection has are an error.
    fn known(&self, catalog: &Catalog) -> Result<(), OperationError> {
        for image in &self.0 {
            let one = Self(vec![image.clone()]);
            if one.collections(catalog).is_empty() {
                return Err(OperationError::NoCollection(image.clone()));
            }
        }
        Ok(())
    }

    /// The collections, then other images.
    fn images(&self, catalog: &Catalog) -> Vec<(RepositoryName, Tag)> {
        let collections = self.collections(catalog).into_iter();
        let mut images: Vec<_> = collections
            .map(|c| (c.name.clone(), c.tag.clone()))
            .collect();
        for image in &self.0 {
            if Self(vec![image.clone()]).collections(catalog).is_empty()
                && let Reference::Tag(tag) = image.reference()
            {
                images.push((image.name().clone(), tag));
            }
        }
        images
    }
}

#[cfg(test)]
mod tests;
