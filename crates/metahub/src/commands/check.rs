//! `metahub check PATH...`: prints what is wrong with profile and collection documents.

use std::io::IsTerminal as _;
use std::path::PathBuf;

use clap::{Args, ValueEnum, ValueHint};
use metahub_operations::{
    Check, CheckReport, LabelVerdict, LocalImages, Verification, VerifiedImage,
};

use crate::args::{READS_IMAGES, ReadingArgs, graph};
use crate::commands::resolve_local::images;
use crate::commands::shown::Shown;
use crate::config::Layer;
use crate::exit::Exit;
use crate::output;

const EXAMPLES: &str = "\
Examples:
  metahub check site.yaml
  metahub check FOLDER --strict
  metahub check FOLDER --verify --server http://127.0.0.1:5000
  metahub check FOLDER --verify --from lab/app:v1=app.tar
";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct CheckArgs {
    /// Files, or folders of .yaml and .yml files
    #[arg(required = true, value_name = "PATH", value_hint = ValueHint::AnyPath)]
    pub(crate) paths: Vec<PathBuf>,
    /// Also holds collections to what a catalog that others follow is: described, documented, for
    /// any machine, and at tags that do not move. A warning fails, too
    #[arg(long)]
    pub(crate) strict: bool,
    /// Also read the code of the images that collections name: an entry that asks for less of the
    /// processor than its code requires is an error, one that asks for more a warning
    #[arg(long, group = READS_IMAGES)]
    verify: bool,
    /// With --verify: images of an archive or a folder of an OCI image layout, or of a folder as
    /// `skopeo copy --all IMAGE dir:FOLDER` writes it, in place of a registry; IMAGE= before it
    /// says what its one image is called; may be repeated
    #[arg(long, value_name = "[IMAGE=]PATH", value_hint = ValueHint::AnyPath, value_parser = images, requires = "verify")]
    from: Vec<LocalImages>,
    #[command(flatten)]
    pub(crate) reading: ReadingArgs,
    /// How to report
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    pub(crate) format: ReportFormat,
}

/// How problems are reported.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum ReportFormat {
    /// Each problem in a line, with its code, the lines of the document around it and help
    #[default]
    Text,
    /// One line per problem, FILE:LINE:COLUMN: SEVERITY: MESSAGE
    Short,
    /// JSON for programs
    Json,
}

/// The default width of reports, in characters.
const WIDTH: usize = 100;

pub(crate) async fn run(args: CheckArgs) -> miette::Result<Exit> {
    let config = args.reading.load_config(Layer::default())?;
    let check = Check {
        graph: graph(&config)?,
        strict: args.strict,
        images: args.reading.images(&config),
        verify: args.verify.then(|| Verification {
            files: args.from,
            reader: args.reading.reader(&config),
        }),
        paths: args.paths,
    };
    let shown = if check.verify.is_some() {
        Shown::pieces()
    } else {
        Shown::hidden()
    };
    let work = Box::pin(check.run(shown.progress()));
    let report = shown.until_done(work, "Nothing of it is kept.").await??;
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
        verified,
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
            if !verified.is_empty() {
                output::line(verdicts(verified))?;
            }
            output::line(format!("{}: {verdict}", count(*files, "file")))?;
        }
    }
    Ok(())
}

/// Counts the verdicts on images.
fn verdicts(verified: &[VerifiedImage]) -> String {
    let of = |verdict| verified.iter().filter(|one| one.verdict == verdict).count();
    let parts = [
        (LabelVerdict::Agrees, "as claimed"),
        (LabelVerdict::ClaimsLess, "need more than claimed"),
        (LabelVerdict::ClaimsMore, "need less than claimed"),
        (LabelVerdict::Unknown, "unknown"),
    ];
    let parts: Vec<String> = parts
        .into_iter()
        .map(|(verdict, words)| (of(verdict), words))
        .filter(|(number, _)| *number > 0)
        .map(|(number, words)| format!("{number} {words}"))
        .collect();
    format!("{}: {}", count(verified.len(), "image"), parts.join(", "))
}

fn count(number: usize, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{plural}")
}
