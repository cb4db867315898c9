//! `metahub check PATH...`: lints profile and collection documents. Reads, never writes; what
//! is right and wrong is decided by the catalog, which a server loads the same way. With
//! `--images`, what documents say is also held against the images that they name.

use std::io::IsTerminal as _;
use std::path::PathBuf;

use clap::{Args, ValueEnum, ValueHint};
use metahub_catalog::{Catalog, Collection, Entry, Loaded, Problem};
use metahub_registry::{ImageSays, Registry};
use miette::{IntoDiagnostic as _, WrapErr as _};
use serde_json::json;
use url::Url;

use crate::args::{SettingsArgs, load_config};
use crate::config::Layer;
use crate::exit::Exit;
use crate::{output, reader};

#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    /// Files, or folders of .yaml and .yml files
    #[arg(required = true, value_name = "PATH", value_hint = ValueHint::AnyPath)]
    pub(crate) paths: Vec<PathBuf>,
    /// Also read the images that collections name, and tell where the two disagree
    #[arg(long)]
    pub(crate) images: bool,
    /// With --images: the MetaHub to ask for names without a host
    #[arg(long, value_name = "URL", requires = "images")]
    pub(crate) server: Option<Url>,
    /// Configuration file, for the site's CPU targets and upstreams [env: METAHUB_CONFIG]
    /// [default: none]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) config: Option<PathBuf>,
    /// How to report
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    pub(crate) format: ReportFormat,
}

/// How problems are reported.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum ReportFormat {
    /// With the lines of the document around each problem
    #[default]
    Text,
    /// One line per problem, FILE:LINE:COLUMN: SEVERITY: MESSAGE
    Short,
    /// JSON for programs
    Json,
}

/// Width of reports where the terminal does not say its own, in characters.
const WIDTH: usize = 100;

pub(crate) async fn run(args: CheckArgs) -> miette::Result<Exit> {
    let settings = SettingsArgs {
        config: args.config.clone(),
        data: None,
    };
    let config = load_config(&settings, Layer::default())?;
    let graph = config
        .graph()
        .into_diagnostic()
        .wrap_err("`hardware` of the configuration cannot be used")?;
    let Loaded {
        catalog,
        mut problems,
        files,
    } = Catalog::load_in(graph, &args.paths);
    if args.images {
        let registry = reader::registry(&config, catalog.clone(), args.server.as_ref()).await?;
        problems.extend(check_images(&registry, &catalog).await);
    }
    report(&args, &problems, files)
}

fn report(args: &CheckArgs, problems: &[Problem], files: usize) -> miette::Result<Exit> {
    let errors = problems.iter().filter(|problem| problem.is_error()).count();
    let warnings = problems.len() - errors;
    match args.format {
        ReportFormat::Json => output::json(&json!({
            "files": files,
            "problems": problems,
            "errors": errors,
            "warnings": warnings,
        }))?,
        ReportFormat::Short => {
            for problem in problems {
                output::line(problem.to_string())?;
            }
        }
        ReportFormat::Text => {
            let colour = std::io::stdout().is_terminal();
            for problem in problems {
                // The first line is the one that editors and people search for.
                output::line(problem.to_string())?;
                output::line(problem.render(colour, WIDTH))?;
            }
            let verdict = match (errors, warnings) {
                (0, 0) => output::good("no problems"),
                (0, _) => count(warnings, "warning"),
                (_, 0) => output::bad(&count(errors, "error")),
                _ => format!(
                    "{}, {}",
                    output::bad(&count(errors, "error")),
                    count(warnings, "warning")
                ),
            };
            output::line(format!("{}: {verdict}", count(files, "file")))?;
        }
    }
    Ok(if errors == 0 { Exit::Ok } else { Exit::Failure })
}

fn count(number: usize, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{plural}")
}

/// Reads the image of every entry of every collection and tells where the two disagree, in the
/// order of the documents.
async fn check_images(registry: &Registry, catalog: &Catalog) -> Vec<Problem> {
    let mut collections: Vec<&Collection> = catalog.collections().collect();
    collections.sort_by_key(|collection| &collection.location);
    let mut problems = Vec::new();
    for entry in collections.iter().flat_map(|c| &c.entries) {
        let doubts = match registry.image_says(&entry.image).await {
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

/// Where an entry and its image disagree.
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
