//! Checks profile and collection documents, by the code with which a server loads them. With
//! images, the documents are also compared with the images that they name. Nothing is written.

use std::path::PathBuf;
use std::sync::Arc;

use metahub_catalog::{Catalog, Collection, Entry, Loaded, Problem};
use metahub_hardware::Microarchitectures;
use metahub_registry::{ImageSays, Registry};
use serde::Serialize;

use crate::error::OperationError;
use crate::image_reader::ImageReader;
use crate::progress::Progress;
use crate::verify::{Verification, VerifiedImage};

/// Checks documents.
#[derive(Clone, Debug)]
pub struct Check {
    /// The CPU targets that they may name.
    pub graph: Arc<Microarchitectures>,
    /// Files, or folders of .yaml and .yml files.
    pub paths: Vec<PathBuf>,
    /// Whether the stricter rules for catalogs that others follow apply, too.
    pub strict: bool,
    /// How to read the images that collections name, to report differences.
    pub images: Option<ImageReader>,
    /// The source of the images whose code is compared with collections, if it is.
    pub verify: Option<Verification>,
}

/// The report of a check.
#[derive(Clone, Debug, Serialize)]
pub struct CheckReport {
    /// How many files were read.
    pub files: usize,
    /// The problems, in the order of the documents.
    pub problems: Vec<Problem>,
    /// How many of them are errors.
    pub errors: usize,
    /// How many of them are warnings.
    pub warnings: usize,
    /// The images whose code was read, in the order of the documents.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub verified: Vec<VerifiedImage>,
}

impl Check {
    /// Checks them.
    ///
    /// # Errors When images cannot be read at all; a single unreadable image is a problem of its
    /// entry.
    pub async fn run(
        self,
        progress: impl FnMut(Progress) + Send + Sync,
    ) -> Result<CheckReport, OperationError> {
        let Loaded {
            catalog,
            mut problems,
            files,
            ..
        } = Catalog::load_in(self.graph, &self.paths);
        if self.strict {
            problems.extend(metahub_catalog::strict(&catalog));
        }
        if let Some(reader) = self.images {
            let registry = reader.open(catalog.clone()).await?;
            problems.extend(check_images(&registry, &catalog).await);
        }
        let mut verified = Vec::new();
        if let Some(verify) = self.verify {
            let found = verify.run(&catalog, progress).await?;
            problems.extend(found.problems);
            verified = found.images;
        }
        let errors = problems.iter().filter(|problem| problem.is_error()).count();
        Ok(CheckReport {
            files,
            errors,
            warnings: problems.len() - errors,
            problems,
            verified,
        })
    }
}

/// Reads the image of every entry of every collection and reports differences, in the order of the
/// documents.
pub(crate) async fn check_images(registry: &Registry, catalog: &Catalog) -> Vec<Problem> {
    let mut collections: Vec<&Collection> = catalog.collections().collect();
    collections.sort_by_key(|collection| &collection.location);
    let mut problems = Vec::new();
    for entry in collections.iter().flat_map(|c| &c.entries) {
        let doubts = match registry.operator().image_says(&entry.image).await {
            Ok(Some(says)) => doubts(entry, says, catalog),
            // What an index says of its entries is held together, so nothing can disagree.
            Ok(None) => Vec::new(),
            Err(error) => vec![Doubt {
                code: "image-unreadable",
                message: format!("{} could not be read: {error}", entry.image),
                help: None,
            }],
        };
        problems.extend(
            doubts.into_iter().map(|doubt| {
                Problem::doubt(&entry.location, doubt.code, doubt.message, doubt.help)
            }),
        );
    }
    problems
}

struct Doubt {
    code: &'static str,
    message: String,
    help: Option<String>,
}

/// The differences between an entry and its image.
fn doubts(entry: &Entry, says: ImageSays, catalog: &Catalog) -> Vec<Doubt> {
    let image = &entry.image;
    let (platform, mut statements) = (says.platform, says.statements);
    let mut doubts = Vec::new();
    if let Some(problem) = says.incomplete {
        doubts.push(Doubt {
            code: "image-unreadable",
            message: format!("what refers to {image} could not be read: {problem}"),
            help: None,
        });
    }
    doubts.extend(other_machine(entry, &platform, catalog));
    statements.add_platform(
        &platform.os,
        &platform.architecture,
        platform.variant.as_deref(),
        &platform.os_features,
    );
    for conflict in statements.conflicts(&entry.requires, catalog.graph()) {
        let own: Vec<String> = conflict
            .entry
            .iter()
            .map(|f| f.brief().to_string())
            .collect();
        let (stated, at) = (
            conflict.stated.feature.brief().to_string(),
            &conflict.stated.at,
        );
        doubts.push(Doubt {
            code: "less-than-image",
            message: format!(
                "{image} says by {at} that it requires {stated}, and the entry asks for {} only",
                own.join(" + ")
            ),
            help: Some(format!(
                "the entry counts, so machines without {stated} may be given this image: write \
                 what it really needs, or have the image say what it is"
            )),
        });
    }
    if let Some((a, b)) = statements.contradiction(catalog.graph()) {
        let (a_says, b_says) = (a.feature.brief(), b.feature.brief());
        doubts.push(Doubt {
            code: "image-contradicts-itself",
            message: format!(
                "{image} says {a_says} by {} and {b_says} by {}: no machine runs both",
                a.at, b.at
            ),
            help: Some(format!("write which it is: `features: [{a_says}]`")),
        });
    }
    doubts.extend(statements.unread.iter().map(|unread| {
        Doubt {
            code: "unread-requirement",
            message: format!("{image} says something that cannot be read: {unread}"),
            help: Some(
                "it requires something unknown by that and fits nothing: have the image say it as \
             expected"
                    .to_owned(),
            ),
        }
    }));
    doubts
}

/// An entry for machines of another kind than its image.
fn other_machine(entry: &Entry, image: &metahub_oci::Platform, catalog: &Catalog) -> Option<Doubt> {
    let written = entry.platform.as_ref();
    let os = written.and_then(|platform| platform.os.as_deref());
    let architecture = written.and_then(|platform| platform.architecture.as_deref());
    let of_target = entry
        .requires
        .iter()
        .filter_map(|feature| feature.target())
        .map(|target| catalog.graph().oci_platform(target).architecture)
        .next();
    let claimed = architecture.or(of_target.as_deref());
    let differs = |claimed: Option<&str>, found: &str| claimed.is_some_and(|c| c != found);
    (differs(os, &image.os) || differs(claimed, &image.architecture)).then(|| Doubt {
        code: "other-machine",
        message: format!(
            "the entry is for {}/{}, and {} was built for {}",
            os.unwrap_or(&image.os),
            claimed.unwrap_or(&image.architecture),
            entry.image,
            image
        ),
        help: Some("name the image for that machine, or correct the entry".to_owned()),
    })
}
