//! Runs the chosen command, and shows its failure.

use std::future::Future;
use std::time::Duration;

use clap::CommandFactory as _;
use metahub_operations::DocumentKind;
use miette::{IntoDiagnostic as _, WrapErr as _};

use crate::cli::{Cli, Command};
use crate::commands::catalog::CatalogCommand;
use crate::commands::profile::ProfileCommand;
use crate::commands::shown::Interrupted;
use crate::commands::{
    account, backup, bundle, catalog, check, completions, config, coverage, demand, demo,
    documents, inspect, layer, man, node, pin, profile, release, resolve, resolve_several, schema,
    serve, upkeep, warm, why,
};
use crate::exit::Exit;
use crate::logging;

/// How long work may take that is still running when a command has ended.
const LEFTOVERS: Duration = Duration::from_secs(1);

/// Runs the command and reports its failure on standard error.
pub(crate) fn run(cli: Cli) -> Exit {
    match dispatch(cli) {
        Ok(exit) => exit,
        Err(report) => {
            if let Some(interrupted) = report.downcast_ref::<Interrupted>() {
                anstream::eprintln!("{interrupted}");
                return Exit::Interrupted;
            }
            anstream::eprintln!("{report:?}");
            Exit::Failure
        }
    }
}

fn dispatch(cli: Cli) -> miette::Result<Exit> {
    // Only a server logs at `info` by default; other commands print their own output.
    let usual = match cli.command {
        Command::Serve(_) => "info",
        // What is refused in a test is in its report.
        Command::Profile(ProfileCommand::Test(_)) | Command::Catalog(CatalogCommand::Test(_)) => {
            "error"
        }
        // So is it in the answer, and in the demo's table.
        Command::Resolve(ref args) if args.local.is_given() => "error",
        Command::Demo(_) => "error",
        _ => "warn",
    };
    let filter = cli.log.log.as_deref().unwrap_or(usual);
    // Dropped at the very end, whichever that is: what was logged is written before an error is.
    let _log = logging::start(filter, cli.log.log_format)?;
    match cli.command {
        Command::Serve(args) => block_on(serve::run(args)),
        Command::Demo(args) => block_on(demo::run(args)),
        Command::Check(args) => block_on(check::run(args)),
        Command::Catalog(command) => block_on(catalog::run(command)),
        Command::Coverage(args) => block_on(coverage::run(args)),
        Command::Demand(args) => block_on(demand::run(args)),
        Command::Resolve(args) if args.is_for_several() => block_on(resolve_several::run(&args)),
        Command::Resolve(args) => block_on(resolve::run(&args)),
        Command::Profile(command) => block_on(profile::run(command)),
        Command::Why(args) => block_on(why::run(*args)),
        Command::Collection(command) => block_on(documents::run(DocumentKind::Collection, command)),
        Command::Inspect(args) => block_on(inspect::run(*args)),
        Command::Layer(command) => block_on(layer::run(command)),
        Command::Account(command) => block_on(account::run(command)),
        Command::Node(command) => block_on(node::run(command)),
        Command::Gc(args) => block_on(upkeep::gc(args)),
        Command::Scrub(args) => block_on(upkeep::scrub(args)),
        Command::Backup(args) => block_on(backup::backup(args)),
        Command::Restore(args) => block_on(backup::restore(args)),
        Command::Pin(args) => block_on(pin::run(args)),
        Command::Release(args) => block_on(release::run(args)),
        Command::Warm(args) => block_on(warm::run(args)),
        Command::Export(args) => block_on(bundle::export(args)),
        Command::Import(args) => block_on(bundle::import(args)),
        Command::Config(args) => config::run(&args),
        Command::Schema(args) => schema::run(&args),
        Command::Completions { shell } => completions::run(shell, &mut Cli::command()),
        Command::Man { out } => man::run(out.as_deref(), Cli::command()),
    }
}

/// How many tasks a thread of the runtime polls before it checks for I/O events. By default it is
/// 61: with many blobs being sent over TLS, each ready for its next part, a request for a manifest
/// would wait for all of those.
const TASKS_BETWEEN_LOOKS: u32 = 8;

/// Runs a command that needs the async runtime.
fn block_on(command: impl Future<Output = miette::Result<Exit>>) -> miette::Result<Exit> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .event_interval(TASKS_BETWEEN_LOOKS)
        .build()
        .into_diagnostic()
        .wrap_err("the async runtime cannot start")?;
    let outcome = runtime.block_on(command);
    // File work that hangs, as on a dead network file system, does not block the end.
    runtime.shutdown_timeout(LEFTOVERS);
    outcome
}
