//! `metahub catalog update PATH...`: adds collections for new versions of applications.

use std::path::PathBuf;

use clap::{Args, ValueHint};
use metahub_catalog::Problem;
use metahub_operations::{ChangedDocument, UpdateCatalog};
use similar::TextDiff;

use crate::args::{Format, graph};
use crate::commands::registry_reading::RegistryReadingArgs;
use crate::commands::replace_file::replace;
use crate::exit::{self, Exit};
use crate::output;

const EXAMPLES: &str = "\
Examples:
  metahub catalog update catalog --dry-run
  metahub catalog update catalog/collections/openfoam";

#[derive(Debug, Args)]
#[command(after_help = exit::table_after(EXAMPLES))]
pub(crate) struct UpdateArgs {
    /// Files, or folders of .yaml and .yml files
    #[arg(required = true, value_name = "PATH", value_hint = ValueHint::AnyPath)]
    paths: Vec<PathBuf>,
    /// Only print what would change
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    reading: RegistryReadingArgs,
    /// How to print
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    format: Format,
}

pub(crate) async fn run(args: UpdateArgs) -> miette::Result<Exit> {
    let config = args.reading.load_config()?;
    let update = UpdateCatalog {
        graph: graph(&config)?,
        paths: args.paths,
        images: args.reading.images(&config),
    };
    let report = update.run().await?;
    for problem in &report.problems {
        anstream::eprintln!("{problem}");
    }
    if report.problems.iter().any(Problem::is_error) {
        return Ok(Exit::Failure);
    }
    for incomplete in &report.incomplete {
        anstream::eprintln!("left out: {incomplete}");
    }
    for document in &report.changed {
        if args.format == Format::Text {
            print(document)?;
        }
        if !args.dry_run {
            replace(&document.file, &document.after)?;
        }
    }
    if args.format == Format::Json {
        output::json(&report)?;
    } else if report.changed.is_empty() {
        output::line(format!(
            "nothing new: {} collections are followed",
            report.followed
        ))?;
    }
    Ok(exit::in_part(&report.failed))
}

fn print(document: &ChangedDocument) -> miette::Result<()> {
    let file = document.file.display().to_string();
    let diff = TextDiff::from_lines(&document.before, &document.after);
    let unified = diff.unified_diff().header(&file, &file).to_string();
    output::line(unified.trim_end())
}
