//! Runs the tests of documents without a server: the given images are put into a store in memory,
//! and pulled by the registry's own code, so that a test and a server cannot disagree. Nothing is
//! fetched, and nothing is written.

mod given;
mod image;
mod mismatch;
mod outcome;
mod pull;

use std::path::PathBuf;
use std::sync::Arc;

use metahub_catalog::{Catalog, Loader, Location, Problem, TestCase};
use metahub_hardware::Microarchitectures;
use metahub_registry::Policy;
use serde::Serialize;

use crate::error::OperationError;
use given::World;
pub use mismatch::Mismatch;

/// Runs the tests of documents.
#[derive(Clone, Debug)]
pub struct ProfileTest {
    /// The CPU targets that documents may name.
    pub graph: Arc<Microarchitectures>,
    /// Files, or folders of them, whose tests are run.
    pub paths: Vec<PathBuf>,
    /// Further documents that they need; their tests are not run.
    pub beside: Vec<PathBuf>,
    /// The policy for unknown facts, as in the server's configuration.
    pub policy: Policy,
}

/// The report of the tests of documents.
#[derive(Clone, Debug, Serialize)]
pub struct ProfileTestReport {
    /// How many files were read.
    pub files: usize,
    /// Problems of the documents. With an error among them no test was run.
    pub problems: Vec<Problem>,
    /// The tests, in the order of the documents.
    pub tests: Vec<TestOutcome>,
    /// How many of them passed.
    pub passed: usize,
    /// How many of them failed.
    pub failed: usize,
}

/// The result of one test.
#[derive(Clone, Debug, Serialize)]
pub struct TestOutcome {
    /// Its name: as written, else its image and login.
    pub name: String,
    /// Its place.
    #[serde(flatten)]
    pub location: Location,
    /// The login.
    pub login: String,
    /// What was pulled.
    pub pull: String,
    /// Whether it passed.
    pub passed: bool,
    /// The differences.
    pub mismatches: Vec<Mismatch>,
}

impl ProfileTest {
    /// Runs them.
    ///
    /// # Errors
    /// When a test cannot be run at all; one that fails is in the report.
    pub async fn run(self) -> Result<ProfileTestReport, OperationError> {
        let mut loader = Loader::new(Catalog::in_graph(self.graph));
        for path in &self.paths {
            loader.add_path(path);
        }
        let cases = loader.take_cases();
        for path in &self.beside {
            loader.add_path(path);
        }
        let loaded = loader.finish();
        let mut report = ProfileTestReport {
            files: loaded.files,
            tests: Vec::new(),
            passed: 0,
            failed: 0,
            problems: loaded.problems,
        };
        if report.problems.iter().any(Problem::is_error) {
            return Ok(report);
        }
        let catalog = Arc::new(loaded.catalog);
        for case in &cases {
            let outcome = run_one(&catalog, self.policy, case).await?;
            if outcome.passed {
                report.passed += 1;
            } else {
                report.failed += 1;
            }
            report.tests.push(outcome);
        }
        Ok(report)
    }
}

async fn run_one(
    catalog: &Arc<Catalog>,
    policy: Policy,
    case: &TestCase,
) -> Result<TestOutcome, OperationError> {
    let came = match catalog.interpret(&case.login, &|_| false) {
        Ok(login) => {
            let world = World::of(Arc::clone(catalog), policy, case, &login.profile).await?;
            pull::run(&world, case, &login.profile).await?
        }
        Err(error) => outcome::Pull::from(error.to_string()).into(),
    };
    let mismatches = came.mismatches(case);
    let usual = || format!("{} as {}", case.pull, case.login);
    Ok(TestOutcome {
        name: case.name.clone().unwrap_or_else(usual),
        location: case.location.clone(),
        login: case.login.clone(),
        pull: case.pull.to_string(),
        passed: mismatches.is_empty(),
        mismatches,
    })
}
