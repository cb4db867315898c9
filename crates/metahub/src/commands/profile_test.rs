//! `metahub profile test FILE...`: runs the tests beside profiles.

use std::path::PathBuf;

use clap::{Args, ValueEnum, ValueHint};
use metahub_catalog::Problem;
use metahub_operations::{ProfileTest, ProfileTestReport};
use miette::miette;

use crate::args::{SettingsArgs, graph, load_config};
use crate::commands::test_formats;
use crate::config::{Config, Layer};
use crate::exit::Exit;
use crate::output;

#[derive(Debug, Args)]
pub(crate) struct ProfileTestArgs {
    /// Documents with `tests:`, or folders of .yaml and .yml files
    #[arg(required = true, value_name = "FILE", value_hint = ValueHint::AnyPath)]
    pub(crate) paths: Vec<PathBuf>,
    /// Further documents that the tests need; their own tests are not run
    #[arg(long, value_name = "PATH", value_hint = ValueHint::AnyPath)]
    catalog: Vec<PathBuf>,
    /// Configuration file, for the site's CPU targets and what is done with images that may not
    /// fit [env: METAHUB_CONFIG] [default: none]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    config: Option<PathBuf>,
    /// How to report
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    format: TestFormat,
}

/// How the outcome of tests is reported.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum TestFormat {
    /// One line per test, and one per failure: FILE:LINE:COLUMN: MESSAGE
    #[default]
    Text,
    /// JSON for programs
    Json,
    /// JUnit's XML
    Junit,
    /// Test Anything Protocol, version 14
    Tap,
}

pub(crate) async fn run(args: ProfileTestArgs) -> miette::Result<Exit> {
    let config = config(&args)?;
    let report = report(args, &config).await?;
    Ok(if failed(&report) {
        Exit::Failure
    } else {
        Exit::Ok
    })
}

/// The configuration that `args` name.
pub(crate) fn config(args: &ProfileTestArgs) -> miette::Result<Config> {
    let settings = SettingsArgs {
        config: args.config.clone(),
        data: None,
    };
    load_config(&settings, Layer::default())
}

/// Whether the documents are wrong or a test failed.
pub(crate) fn failed(report: &ProfileTestReport) -> bool {
    report.failed > 0 || report.problems.iter().any(Problem::is_error)
}

/// Runs the tests and prints the results. Documents without any are an error.
pub(crate) async fn report(
    args: ProfileTestArgs,
    config: &Config,
) -> miette::Result<ProfileTestReport> {
    let test = ProfileTest {
        graph: graph(config)?,
        paths: args.paths,
        beside: args.catalog,
        policy: config.registry.policy,
    };
    let report = test.run().await?;
    // If standard output is for programs, problems are printed on standard error for people.
    for problem in &report.problems {
        anstream::eprintln!("{problem}");
    }
    match args.format {
        TestFormat::Text => text(&report)?,
        TestFormat::Json => output::json(&report)?,
        TestFormat::Junit => output::line(test_formats::junit(&report))?,
        TestFormat::Tap => output::line(test_formats::tap(&report))?,
    }
    let errors = report.problems.iter().any(Problem::is_error);
    if !errors && report.tests.is_empty() {
        return Err(miette!(
            help = "write `tests:` beside a profile: metahub schema shows its form",
            "there are no tests in these documents"
        ));
    }
    Ok(report)
}

fn text(report: &ProfileTestReport) -> miette::Result<()> {
    for test in &report.tests {
        let verdict = if test.passed {
            output::good("ok    ")
        } else {
            output::bad("FAILED")
        };
        output::line(format!("{verdict}  {}", test.name))?;
        for mismatch in &test.mismatches {
            output::line(mismatch.to_string())?;
        }
    }
    if report.problems.iter().any(Problem::is_error) {
        return output::line("the documents have errors: no test was run");
    }
    output::line(format!(
        "{} passed, {} failed",
        report.passed, report.failed
    ))
}
