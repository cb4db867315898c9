//! `metahub coverage`: which image each kind of machine gets of each collection, as a table of
//! images × targets. It chooses by the code that a pull runs, and changes nothing.

mod html;
mod matrix;

use std::path::PathBuf;

use clap::{Args, ValueEnum, ValueHint};
use metahub_catalog::{Catalog, Collection, Loaded};
use metahub_hardware::{Microarchitectures, Target};
use metahub_oci::{ImageReference, Reference, RepositoryName, Tag};
use miette::{IntoDiagnostic as _, WrapErr as _, miette};
use url::Url;

use self::matrix::{Column, Kind, Matrix, Row};
use crate::args::{SettingsArgs, load_config};
use crate::config::{Config, Layer};
use crate::exit::Exit;
use crate::{output, reader};

#[derive(Debug, Args)]
pub(crate) struct CoverageArgs {
    /// What machines there are: CPU targets, or any logins such as zen4+driver=550, separated by
    /// commas; `all` for every target that is known [default: the usual servers]
    #[arg(long, value_name = "LOGINS", value_delimiter = ',')]
    pub(crate) targets: Vec<String>,
    /// Only these collections: NAME or NAME:TAG, separated by commas
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub(crate) collections: Vec<String>,
    /// Documents: a file or a folder, may be repeated [env: METAHUB_CATALOG]
    #[arg(long, value_name = "PATH", value_hint = ValueHint::AnyPath)]
    pub(crate) catalog: Vec<PathBuf>,
    /// Also read the images, for what the documents do not say; then any image can be named
    #[arg(long)]
    pub(crate) images: bool,
    /// With --images: the MetaHub to ask for names without a host
    #[arg(long, value_name = "URL", requires = "images")]
    pub(crate) server: Option<Url>,
    /// Configuration file, for the catalog, the site's CPU targets and upstreams
    /// [env: METAHUB_CONFIG] [default: none]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) config: Option<PathBuf>,
    /// How to print
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    pub(crate) format: CoverageFormat,
}

/// How the table is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum CoverageFormat {
    /// A table for people
    #[default]
    Text,
    /// JSON for programs
    Json,
    /// A line for each image and target, separated by commas
    Csv,
    /// A heat map as one page for a browser
    Html,
}

/// What a fleet is likely to have, where no targets are named: the levels of x86-64, and the
/// servers of the last ten years.
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

pub(crate) async fn run(args: CoverageArgs) -> miette::Result<Exit> {
    let settings = SettingsArgs {
        config: args.config.clone(),
        data: None,
    };
    let flags = Layer {
        catalog: (!args.catalog.is_empty()).then(|| args.catalog.clone()),
        ..Layer::default()
    };
    let config = load_config(&settings, flags)?;
    let catalog = load(&config)?;
    let columns = columns(&catalog, &args.targets)?;
    let wanted = Wanted::parse(&args.collections)?;
    let mut matrix = Matrix::new(columns);
    if args.images {
        let registry = reader::registry(&config, catalog.clone(), args.server.as_ref()).await?;
        for (name, tag) in wanted.images(&catalog) {
            let image = format!("{name}:{tag}");
            match registry.entries(&name, &tag).await {
                Ok((index, warning)) => matrix.add(image, &index, warning),
                Err(error) => matrix.add_unread(image, error.to_string()),
            }
        }
    } else {
        wanted.known(&catalog)?;
        for collection in wanted.collections(&catalog) {
            let (index, note) = matrix.by_documents(collection);
            let image = format!("{}:{}", collection.name, collection.tag);
            matrix.add(image, &index, note);
        }
    }
    if matrix.rows.is_empty() {
        return Err(miette!(
            help = "name documents with --catalog FOLDER, or a configuration with --config FILE",
            "there is no collection to look at"
        ));
    }
    print(&matrix, args.format)?;
    Ok(Exit::Ok)
}

fn load(config: &Config) -> miette::Result<Catalog> {
    let graph = config
        .graph()
        .into_diagnostic()
        .wrap_err("`hardware` of the configuration cannot be used")?;
    let Loaded {
        catalog, problems, ..
    } = Catalog::load_in(graph, &config.catalog);
    let errors: Vec<String> = problems
        .iter()
        .filter(|problem| problem.is_error())
        .map(ToString::to_string)
        .collect();
    if errors.is_empty() {
        return Ok(catalog);
    }
    Err(miette!(
        help = "metahub check PATH... shows each with its place in the document",
        "the catalog has errors:\n{}",
        errors.join("\n")
    ))
}

fn columns(catalog: &Catalog, named: &[String]) -> miette::Result<Vec<Column>> {
    let all: Vec<String> = match named {
        [] => USUAL.iter().map(ToString::to_string).collect(),
        [all] if all == "all" => all_targets(catalog.graph()),
        named => named.to_vec(),
    };
    all.into_iter()
        .map(|login| {
            let meant = catalog.interpret(&login, &|_| false).into_diagnostic()?;
            let target = meant.profile.provided().targets().next().cloned();
            Ok(Column {
                login,
                profile: meant.profile,
                target,
            })
        })
        .collect()
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

/// The collections that were asked for: `NAME` for all its tags, `NAME:TAG` for one.
struct Wanted(Vec<ImageReference>);

impl Wanted {
    fn parse(texts: &[String]) -> miette::Result<Self> {
        texts
            .iter()
            .map(|text| text.parse().into_diagnostic())
            .collect::<miette::Result<_>>()
            .map(Self)
    }

    fn has(&self, collection: &Collection) -> bool {
        let is = |image: &ImageReference| {
            *image.name() == collection.name && image.tag().is_none_or(|t| *t == collection.tag)
        };
        self.0.is_empty() || self.0.iter().any(is)
    }

    fn collections<'c>(&self, catalog: &'c Catalog) -> Vec<&'c Collection> {
        let mut found: Vec<&Collection> = catalog.collections().filter(|c| self.has(c)).collect();
        found.sort_by_key(|c| (&c.name, &c.tag));
        found
    }

    /// Names that no collection has are an error where only documents are looked at.
    fn known(&self, catalog: &Catalog) -> miette::Result<()> {
        for image in &self.0 {
            let one = Self(vec![image.clone()]);
            if one.collections(catalog).is_empty() {
                return Err(miette!(
                    help = "with --images, other images are looked at, too",
                    "no collection is called {image}"
                ));
            }
        }
        Ok(())
    }

    /// The collections, then what is no collection.
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

fn print(matrix: &Matrix, format: CoverageFormat) -> miette::Result<()> {
    match format {
        CoverageFormat::Text => text(matrix),
        CoverageFormat::Json => output::json(matrix),
        CoverageFormat::Csv => csv(matrix),
        CoverageFormat::Html => output::line(html::page(matrix)),
    }
}

/// Targets down, images across: there are usually more targets.
fn text(matrix: &Matrix) -> miette::Result<()> {
    let mut head = vec!["TARGET"];
    head.extend(matrix.rows.iter().map(|row| row.image.as_str()));
    let mut table = output::table(&head);
    for (at, target) in matrix.targets.iter().enumerate() {
        let cells = matrix.rows.iter().map(|row| match row.cells.get(at) {
            Some(cell) => cell.short(),
            None => "?".to_owned(),
        });
        table.add_row(std::iter::once(target.clone()).chain(cells));
    }
    output::print_table(&mut table)?;
    output::line("")?;
    output::line(output::faint(
        "= built for it   → the nearest build that it runs   generic: runs anywhere   - nothing fits",
    ))?;
    for row in &matrix.rows {
        if let Some(note) = &row.note {
            anstream::eprintln!("{}: {note}", row.image);
        }
    }
    Ok(())
}

/// One line for each pair, for whatever reads tables.
fn csv(matrix: &Matrix) -> miette::Result<()> {
    output::line("image,target,kind,runs,entry,why")?;
    for Row { image, cells, .. } in &matrix.rows {
        for (target, cell) in matrix.targets.iter().zip(cells) {
            let fields = [
                image.as_str(),
                target,
                cell.kind.as_str(),
                cell.to.as_deref().unwrap_or(""),
                cell.entry.as_deref().unwrap_or(""),
                &cell.why,
            ];
            output::line(fields.map(quoted).join(","))?;
        }
    }
    Ok(())
}

/// As RFC 4180 says. A leading sign that a spreadsheet would take for a formula cannot occur:
/// names of images and targets begin with letters or digits, and the rest are our own words.
fn quoted(field: &str) -> String {
    if field.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", field.replace('"', "\"\""))
    } else {
        field.to_owned()
    }
}

impl matrix::Cell {
    fn short(&self) -> String {
        match (self.kind, &self.to) {
            (Kind::Exact, _) => "=".to_owned(),
            (Kind::Fallback, Some(to)) => format!("→ {to}"),
            (Kind::Fallback, None) => "→".to_owned(),
            (Kind::Generic, _) => "generic".to_owned(),
            (Kind::None, _) => "-".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests;
