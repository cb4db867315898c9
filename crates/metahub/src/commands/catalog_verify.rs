//! `metahub catalog verify PATH...`: verifies collections against the registries of their images.

use std::fs;
use std::path::{Path, PathBuf};

use clap::{Args, ValueHint};
use metahub_operations::{CatalogLock, MAX_LOCK_BYTES, Moved, VerifyCatalog, VerifyReport};
use miette::{IntoDiagnostic as _, WrapErr as _, miette};
use serde_json::json;

use crate::args::{Format, graph};
use crate::commands::registry_reading::RegistryReadingArgs;
use crate::commands::replace_file::replace;
use crate::exit::{self, Exit};
use crate::output;

const EXAMPLES: &str = "\
Examples:
  metahub catalog verify catalog/collections/gromacs
  metahub catalog verify catalog --lock catalog.lock.json
  metahub catalog verify catalog --lock catalog.lock.json --locked";

#[derive(Debug, Args)]
#[command(after_help = exit::table_after(EXAMPLES))]
pub(crate) struct VerifyArgs {
    /// Files, or folders of .yaml and .yml files
    #[arg(required = true, value_name = "PATH", value_hint = ValueHint::AnyPath)]
    paths: Vec<PathBuf>,
    /// Write the digest of every image into this file, if all is well; tell what differs from the
    /// one that is there
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    lock: Option<PathBuf>,
    /// Leave the lock as it is, and fail where an image differs from it
    #[arg(long, requires = "lock")]
    locked: bool,
    #[command(flatten)]
    reading: RegistryReadingArgs,
    /// How to print
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    format: Format,
}

pub(crate) async fn run(args: VerifyArgs) -> miette::Result<Exit> {
    let config = args.reading.load_config()?;
    let locked = args.lock.as_deref().map(read_lock).transpose()?.flatten();
    if let (true, None, Some(file)) = (args.locked, &locked, &args.lock) {
        return Err(miette!(
            help = "write it with --lock alone",
            "there is no lock at {}",
            file.display()
        ));
    }
    let verify = VerifyCatalog {
        graph: graph(&config)?,
        paths: args.paths.clone(),
        images: args.reading.images(&config),
    };
    let report = verify.run().await?;
    let now = report.lock();
    let moved = locked.map(|locked| locked.moved(&now)).unwrap_or_default();
    let well = report.problems.is_empty() && (moved.is_empty() || !args.locked);
    if let (Some(file), true, false) = (&args.lock, well, args.locked) {
        replace(file, &now.to_text().into_diagnostic()?)?;
    }
    print(&args, &report, &moved)?;
    Ok(if well { Exit::Ok } else { Exit::Failure })
}

fn read_lock(file: &Path) -> miette::Result<Option<CatalogLock>> {
    let named = || format!("{} cannot be read", file.display());
    match fs::metadata(file) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Ok(found) if found.len() > MAX_LOCK_BYTES => {
            return Err(miette!("it has more than {MAX_LOCK_BYTES} bytes")).wrap_err_with(named);
        }
        _ => {}
    }
    let text = fs::read_to_string(file).into_diagnostic();
    let lock = CatalogLock::parse(&text.wrap_err_with(named)?).into_diagnostic();
    lock.wrap_err_with(named).map(Some)
}

fn print(args: &VerifyArgs, report: &VerifyReport, moved: &[Moved]) -> miette::Result<()> {
    if args.format == Format::Json {
        return output::json(&json!({
            "images": report.images,
            "problems": report.problems,
            "moved": moved,
        }));
    }
    for problem in &report.problems {
        anstream::eprintln!("{problem}");
    }
    for Moved {
        image,
        locked,
        found,
    } in moved
    {
        let told = match (locked, found) {
            (None, _) => "is not in the lock".to_owned(),
            (Some(_), None) => "is in the lock, and no document names it".to_owned(),
            (Some(locked), Some(found)) => format!("was {locked} and is {found}"),
        };
        anstream::eprintln!("{image} {told}");
    }
    output::line(format!(
        "{} images are there, {} problems, {} differ from the lock",
        report.images.len(),
        report.problems.len(),
        moved.len()
    ))
}
