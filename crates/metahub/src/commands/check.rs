//! `metahub check PATH...`: lints profile and collection documents. Reads, never writes; what
//! is right and wrong is decided by the catalog, which a server loads the same way.

use std::io::IsTerminal as _;

use metahub_catalog::{Catalog, Loaded};
use serde_json::json;

use crate::cli::{CheckArgs, ReportFormat};
use crate::exit::Exit;
use crate::output;

/// Width of reports where the terminal does not say its own, in characters.
const WIDTH: usize = 100;

pub(crate) fn run(args: &CheckArgs) -> miette::Result<Exit> {
    let Loaded {
        problems, files, ..
    } = Catalog::load(&args.paths);
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
            for problem in &problems {
                output::line(problem.to_string())?;
            }
        }
        ReportFormat::Text => {
            let colour = std::io::stdout().is_terminal();
            for problem in &problems {
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
