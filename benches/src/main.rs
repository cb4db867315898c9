//! `compare`: MetaHub and its peers on the same data, one after the other and interleaved over
//! several rounds, and a table of what each could do and what it cost.
//!
//! Everything is on the loopback, servers on one core and the load on another, and bounded in
//! time and count. It judges MetaHub and changes nothing in it; `docs/benchmarks.md` says how
//! each row is measured.

mod certificate;
mod client;
mod content;
mod hammer;
mod http;
mod latency;
mod peer;
mod pin;
mod plan;
mod report;
mod rows;
mod scratch;
mod table;
mod usage;
mod watch;
mod world;

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Parser, ValueEnum};
use miette::{IntoDiagnostic as _, Result, miette};

use crate::certificate::Certificate;
use crate::content::Material;
use crate::peer::Kind;
use crate::pin::Cores;
use crate::plan::Plan;
use crate::report::Row;
use crate::rows::Name;
use crate::scratch::Scratch;
use crate::world::World;

/// Compare MetaHub with the registries that are installed, and with nginx as the limit
#[derive(Debug, Parser)]
#[command(name = "compare", version)]
struct Cli {
    /// What to measure [default: everything]
    #[arg(long, value_enum, value_delimiter = ',', value_name = "ROW")]
    rows: Vec<Name>,
    /// Only these servers [default: all that are installed]
    #[arg(long, value_enum, value_delimiter = ',', value_name = "SERVER")]
    servers: Vec<Kind>,
    /// Another build of MetaHub, measured beside this one in the same rounds
    #[arg(long, value_name = "PROGRAM")]
    before: Option<PathBuf>,
    /// A tenth of the data and less than half of the rounds: to see that all works
    #[arg(long)]
    quick: bool,
    /// How often every server has its turn [default: 5, or 2 with --quick]
    #[arg(long, value_name = "NUMBER")]
    rounds: Option<usize>,
    /// How long a turn of a load lasts [default: 3, or 1 with --quick]
    #[arg(long, value_name = "SECONDS")]
    seconds: Option<f64>,
    /// How to print
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    format: Format,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Tables for people
    #[default]
    Text,
    /// Every value of every round, for programs
    Json,
}

fn main() -> Result<()> {
    let cli = Cli::parse();
    let cores = Cores::choose()?;
    if let Some(cores) = cores {
        cores.stay_on_client()?;
    }
    let lasting = target_folder()?.join("compare");
    std::fs::create_dir_all(&lasting).into_diagnostic()?;
    let scratch = Scratch::make(&lasting)?;
    let mut programs = Vec::new();
    let wanted = |kind: &Kind| cli.servers.is_empty() || cli.servers.contains(kind);
    for kind in Kind::ALL.into_iter().filter(wanted) {
        programs.extend(
            kind.program(cli.before.as_deref())?
                .map(|program| (kind, program)),
        );
    }
    let plan = Plan {
        rounds: cli.rounds.unwrap_or(if cli.quick { 2 } else { 5 }).max(1),
        turn: Duration::try_from_secs_f64(cli.seconds.unwrap_or(if cli.quick { 1.0 } else { 3.0 }))
            .into_diagnostic()?,
        quick: cli.quick,
        cores,
        folder: scratch.path(),
        lasting,
        programs,
        certificate: Some(Certificate::make(&scratch.path())?),
    };
    let head = head(&plan);
    if cli.format == Format::Text {
        print(&head.join("\n"));
    }
    let names = if cli.rows.is_empty() {
        Name::value_variants()
    } else {
        &cli.rows
    };
    let rows = measure(&plan, names, cli.format)?;
    match cli.format {
        Format::Text => print(&table::summary(&rows)),
        Format::Json => {
            let report = serde_json::json!({ "machine": head, "rows": rows });
            print(&serde_json::to_string_pretty(&report).into_diagnostic()?);
        }
    }
    Ok(())
}

fn measure(plan: &Plan, names: &[Name], format: Format) -> Result<Vec<Row>> {
    let material = Material::new();
    let mut world = None;
    let mut all = Vec::new();
    for name in names {
        if name.needs_world() && world.is_none() {
            world = Some(World::start(plan, &material)?);
        }
        let mut rows = name.measure(plan, &material, world.as_ref())?;
        rows.iter_mut().for_each(Row::check_before);
        rows.iter_mut().for_each(Row::note_others);
        if format == Format::Text {
            rows.iter().for_each(|row| print(&table::row(row)));
        }
        all.extend(rows);
    }
    Ok(all)
}

/// What is compared, and on what.
fn head(plan: &Plan) -> Vec<String> {
    let cores = match plan.cores {
        Some(cores) => format!(
            "servers on core {}, the load on core {}",
            cores.server, cores.client
        ),
        None => "servers and load share the only core: figures are of little use".to_owned(),
    };
    let mut head = vec![
        processor(),
        cores,
        format!(
            "{} rounds, {:?} a turn{}",
            plan.rounds,
            plan.turn,
            plan.size("", ", quick")
        ),
    ];
    for kind in Kind::ALL {
        head.push(match plan.program(kind) {
            Some(program) => {
                format!(
                    "{}: {} ({})",
                    kind.name(),
                    kind.version(program),
                    size(program)
                )
            }
            None => format!("{}: not here", kind.name()),
        });
    }
    head
}

fn size(program: &Path) -> String {
    std::fs::metadata(program).map_or_else(
        |error| error.to_string(),
        |file| format!("{:.1} MiB", hammer::bytes(file.len()) / f64::from(1 << 20)),
    )
}

fn processor() -> String {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with("model name"));
    let name = line.and_then(|line| line.split_once(": "));
    name.map_or("an unknown processor", |(_, name)| name)
        .to_owned()
}

/// `target/`, found from where this program is (`target/PROFILE/compare`).
fn target_folder() -> Result<PathBuf> {
    let program = std::env::current_exe().into_diagnostic()?;
    let folder = program.ancestors().nth(2).map(Path::to_path_buf);
    folder.ok_or_else(|| miette!("{} is in no target folder", program.display()))
}

#[expect(
    clippy::print_stdout,
    reason = "the report is what this program is for"
)]
fn print(text: &str) {
    println!("{text}");
}
