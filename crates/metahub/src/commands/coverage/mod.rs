//! `metahub coverage`: which image each kind of machine gets of each collection, printed as a table
//! of images × targets.

mod fleet;
mod html;

use std::path::PathBuf;

use clap::{Args, ValueEnum, ValueHint};
use metahub_operations::{Cell, Coverage, Kind, Matrix, Row};

use self::fleet::Fleet;
use crate::args::{ReadingArgs, graph};
use crate::config::Layer;
use crate::exit::Exit;
use crate::local_documents::{LocalDocuments, entries};
use crate::output;

#[derive(Debug, Args)]
pub(crate) struct CoverageArgs {
    /// What machines there are: CPU targets, or any logins such as zen4+driver=550, separated by
    /// commas; `all` for every target that is known [default: the usual servers, and profiles of
    /// the documents that state a CPU target]
    #[arg(long, value_name = "LOGINS", value_delimiter = ',')]
    pub(crate) targets: Vec<String>,
    /// The nodes that there are, those of one kind together: nodes of the data folder that have
    /// shown who they are and reported what they provide
    #[arg(long, conflicts_with = "targets")]
    pub(crate) fleet: bool,
    /// Folder that the nodes are read from [env: METAHUB_DATA] [default: metahub-data]
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath, requires = "fleet")]
    pub(crate) data: Option<PathBuf>,
    /// Only these collections: NAME or NAME:TAG, separated by commas
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub(crate) collections: Vec<String>,
    /// Documents: a file or a folder, may be repeated [env: METAHUB_CATALOG]
    #[arg(long, value_name = "PATH", value_hint = ValueHint::AnyPath)]
    pub(crate) catalog: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) reading: ReadingArgs,
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

pub(crate) async fn run(args: CoverageArgs) -> miette::Result<Exit> {
    let flags = Layer {
        catalog: entries(&args.catalog),
        data: args.data,
        ..Layer::default()
    };
    let config = args.reading.load_config(flags)?;
    let LocalDocuments { paths, followed } = LocalDocuments::of(&config)?;
    let fleet = if args.fleet {
        Some(Fleet::read(&config).await?)
    } else {
        None
    };
    let targets = match &fleet {
        Some(fleet) => fleet.kinds.iter().map(|(login, _)| login.clone()).collect(),
        None => args.targets,
    };
    let coverage = Coverage {
        graph: graph(&config)?,
        images: args.reading.images(&config),
        paths,
        followed,
        targets,
        collections: args.collections,
    };
    let mut matrix = coverage.run().await?;
    if let Some(fleet) = fleet {
        matrix.targets = fleet.labels();
        for node in &fleet.left_out {
            anstream::eprintln!("{node} is left out: it has reported no processor that is known");
        }
    }
    print(&matrix, args.format)?;
    Ok(Exit::Ok)
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
            Some(cell) => short(cell),
            None => "?".to_owned(),
        });
        table.add_row(std::iter::once(target.clone()).chain(cells));
    }
    output::print_table(&mut table)?;
    output::line("")?;
    output::line(output::faint(
        "= built for it   → the nearest build that it runs   generic: runs anywhere   needs X: only with X   - nothing fits",
    ))?;
    for row in &matrix.rows {
        let taken = taken(row);
        if !taken.is_empty() {
            output::line(format!("{}: {}", row.image, taken.join(", ")))?;
        }
    }
    for row in &matrix.rows {
        if let Some(note) = &row.note {
            anstream::eprintln!("{}: {note}", row.image);
        }
    }
    Ok(())
}

/// The entries behind the cells of an image, each once: `zen3 is lab/app:zen3`.
fn taken(row: &Row) -> Vec<String> {
    let mut all = Vec::new();
    for cell in &row.cells {
        let (Some(entry), to) = (&cell.entry, cell.to.as_deref().unwrap_or("generic")) else {
            continue;
        };
        let one = format!("{to} is {entry}");
        if !all.contains(&one) {
            all.push(one);
        }
    }
    all
}

/// One line for each pair, as comma-separated values.
fn csv(matrix: &Matrix) -> miette::Result<()> {
    output::line("image,target,kind,runs,entry,needs,why")?;
    for Row { image, cells, .. } in &matrix.rows {
        for (target, cell) in matrix.targets.iter().zip(cells) {
            let fields = [
                image.as_str(),
                target,
                cell.kind.as_str(),
                cell.to.as_deref().unwrap_or(""),
                cell.entry.as_deref().unwrap_or(""),
                &cell.needs.join(" "),
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

fn short(cell: &Cell) -> String {
    let needs = cell.needs.join(" ");
    match (cell.kind, &cell.to) {
        (Kind::Generic, _) if !needs.is_empty() => format!("needs {needs}"),
        (Kind::Exact, _) if !needs.is_empty() => format!("= needs {needs}"),
        (Kind::Fallback, Some(to)) if !needs.is_empty() => format!("→ {to}, needs {needs}"),
        (Kind::Exact, _) => "=".to_owned(),
        (Kind::Fallback, Some(to)) => format!("→ {to}"),
        (Kind::Fallback, None) => "→".to_owned(),
        (Kind::Generic, _) => "generic".to_owned(),
        (Kind::None, _) => "-".to_owned(),
    }
}

#[cfg(test)]
mod tests;
