//! Finds new versions of applications among the tags of registries, and proposes the changed
//! documents of their collections. Nothing is written.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::Arc;

use metahub_catalog::{Catalog, Loaded, Problem, Template, templates};
use metahub_hardware::Microarchitectures;
use metahub_oci::{ImageReference, Tag};
use metahub_upstream::Upstreams;
use serde::Serialize;

use crate::error::OperationError;
use crate::image_reader::ImageReader;

/// Looks for new versions.
#[derive(Clone, Debug)]
pub struct UpdateCatalog {
    /// The CPU targets that documents may name.
    pub graph: Arc<Microarchitectures>,
    /// Files, or folders of .yaml and .yml files.
    pub paths: Vec<PathBuf>,
    /// How registries are read.
    pub images: ImageReader,
}

/// A document that is to change.
#[derive(Clone, Debug, Serialize)]
pub struct ChangedDocument {
    /// The file.
    pub file: PathBuf,
    /// The new collections, as `NAME:TAG`.
    pub added: Vec<String>,
    /// The current text.
    #[serde(skip)]
    pub before: String,
    /// The new text.
    #[serde(skip)]
    pub after: String,
}

/// The report.
#[derive(Clone, Debug, Default, Serialize)]
pub struct UpdateReport {
    /// Problems of the documents. With an error among them nothing was searched.
    pub problems: Vec<Problem>,
    /// How many collections are templates of new ones.
    pub followed: usize,
    /// The changed documents.
    pub changed: Vec<ChangedDocument>,
    /// Versions of which some images are missing, and so are left out.
    pub incomplete: Vec<String>,
    /// What could not be searched, and why.
    pub failed: Vec<String>,
}

impl UpdateCatalog {
    /// Looks for them.
    ///
    /// # Errors When no registry can be read at all; a single failing one is in the report.
    pub async fn run(self) -> Result<UpdateReport, OperationError> {
        let Loaded {
            catalog, problems, ..
        } = Catalog::load_in(Arc::clone(&self.graph), &self.paths);
        let mut report = UpdateReport {
            problems,
            ..UpdateReport::default()
        };
        if report.problems.iter().any(Problem::is_error) {
            return Ok(report);
        }
        let mut files: Vec<String> = catalog
            .collections()
            .map(|collection| collection.location.file.to_string())
            .collect();
        files.sort();
        files.dedup();
        let mut tags = Tags {
            upstreams: self.images.upstreams()?,
            known: HashMap::new(),
        };
        for file in files {
            self.update(&catalog, file, &mut tags, &mut report).await;
        }
        Ok(report)
    }

    async fn update(
        &self,
        catalog: &Catalog,
        file: String,
        tags: &mut Tags,
        report: &mut UpdateReport,
    ) {
        let mut found = templates(catalog, &file);
        report.followed += found.len();
        if found.is_empty() {
            return;
        }
        let path = PathBuf::from(&file);
        let before = match tokio::fs::read_to_string(&path).await {
            Ok(text) => text,
            Err(error) => return report.failed.push(format!("{file}: {error}")),
        };
        let mut after = before.clone();
        let mut added = Vec::new();
        // From the end, so that what is added moves no line that comes later.
        found.sort_by(|a, b| b.collection.location.cmp(&a.collection.location));
        for template in found {
            let versions = match versions(catalog, &template, tags, report).await {
                Ok(versions) if versions.is_empty() => continue,
                Ok(versions) => versions,
                Err(why) => {
                    report.failed.push(why);
                    continue;
                }
            };
            match template.add(&after, &versions, &self.graph) {
                Ok(changed) => {
                    after = changed;
                    let name = &template.collection.name;
                    let new = versions.iter().map(|version| template.tag(version));
                    added.extend(new.flatten().map(|tag| format!("{name}:{tag}")));
                }
                Err(error) => report.failed.push(format!("{file}: {error}")),
            }
        }
        if after != before {
            added.sort();
            report.changed.push(ChangedDocument {
                file: path,
                added,
                before,
                after,
            });
        }
    }
}

/// The versions for which a collection is to be added.
async fn versions(
    catalog: &Catalog,
    template: &Template<'_>,
    tags: &mut Tags,
    report: &mut UpdateReport,
) -> Result<Vec<String>, String> {
    let collection = template.collection;
    let called =
        |why: &dyn std::fmt::Display| format!("{}:{}: {why}", collection.name, collection.tag);
    let mut listed: BTreeMap<String, Vec<Tag>> = BTreeMap::new();
    for entry in &collection.entries {
        let found = tags.of(&entry.image).await;
        listed.insert(repository(&entry.image), found.map_err(|why| called(&why))?);
    }
    let of = |image: &ImageReference| listed.get(&repository(image)).cloned();
    let taken = |tag: &Tag| catalog.collection(&collection.name, tag).is_some();
    let found = template.versions(|image| of(image).unwrap_or_default(), taken);
    let (whole, partly) = found.map_err(|error| called(&error))?;
    let name = &collection.name;
    report.incomplete.extend(
        partly
            .iter()
            .map(|version| format!("{name}: of {version} some images are there and some are not")),
    );
    Ok(whole)
}

fn repository(image: &ImageReference) -> String {
    match image.host() {
        Some(host) => format!("{host}/{}", image.name()),
        None => image.name().to_string(),
    }
}

/// The tags of repositories, each list read once.
struct Tags {
    upstreams: Upstreams,
    known: HashMap<String, Result<Vec<Tag>, String>>,
}

impl Tags {
    async fn of(&mut self, image: &ImageReference) -> Result<Vec<Tag>, String> {
        let repository = repository(image);
        if let Some(known) = self.known.get(&repository) {
            return known.clone();
        }
        let found = self.list(image, &repository).await;
        self.known.insert(repository, found.clone());
        found
    }

    async fn list(&self, image: &ImageReference, repository: &str) -> Result<Vec<Tag>, String> {
        if self.upstreams.offline() {
            return Err("the configuration says offline: no registry is asked".to_owned());
        }
        let routes = self.upstreams.routes(image.host(), image.name());
        if routes.is_empty() {
            return Err(format!(
                "no registry is configured for {repository}: list it under `upstreams`"
            ));
        }
        for route in routes {
            match route.upstream.tags(&route.name).await {
                Ok(Some(tags)) => return Ok(tags),
                Ok(None) => {}
                Err(error) => return Err(format!("the tags of {repository}: {error}")),
            }
        }
        Err(format!("there is no repository {repository}"))
    }
}
