//! `metahub check PATH...`: prints what is wrong with profile and collection documents.

use std::io::IsTerminal as _;
use std::path::PathBuf;

use clap::{Args, ValueEnum, ValueHint};
use metahub_operations::{Check, CheckReport};

use crate::args::{ReadingArgs, graph};
use crate::config::Layer;
use crate::exit::Exit;
use crate::output;

#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    /// Files, or folders of .yaml and .yml files
    #[arg(required = true, value_name = "PATH", value_hint = ValueHint::AnyPath)]
    pub(crate) paths: Vec<PathBuf>,
    /// Also holds collections to what a catalog that others follow is: described, documented, for
    /// any machine, and at tags that do not move. A warning fails, too
    #[arg(long)]
    pub(crate) strict: bool,
    #[command(flatten)]
    pub(crate) reading: ReadingArgs,
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
    let config = args.reading.load_config(Layer::default())?;
    let check = Check {
        graph: graph(&config)?,
        strict: args.strict,
        images: args.reading.images(&config),
        paths: args.paths,
    };
    let report = check.run().await?;
    print(&report, args.format)?;
    let failed = report.errors > 0 || args.strict && report.warnings > 0;
    Ok(if failed { Exit::Failure } else { Exit::Ok })
}

fn print(report: &CheckReport, format: ReportFormat) -> miette::Result<()> {
    let CheckReport {
        files,
        problems,
        errors,
        warnings,
    } = report;
    let (errors, warnings) = (*errors, *warnings);
    match format {
        ReportFormat::Json => output::json(report)?,
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
            output::line(format!("{}: {verdict}", count(*files, "file")))?;
        }
    }
    Ok(())
}

fn count(number: usize, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{plural}")
}
