//! `metahub profile|collection list|show|push|pull|diff|rollback|delete`: the API documents of a
//! running MetaHub.

use std::fs;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, ValueHint};
use metahub_catalog::{Catalog, Loader};
use metahub_operations::{DocumentKind, Listed, VersionInfo};
use miette::{IntoDiagnostic as _, WrapErr as _, miette};
use serde_json::Value;
use similar::TextDiff;

use crate::args::Format;
use crate::commands::document_server::{self, DocumentServer, Expects, ServerArgs};
use crate::exit::Exit;
use crate::output;

#[derive(Debug, Subcommand)]
pub(crate) enum DocumentCommand {
    /// List what there is, of the API and of files
    List {
        /// How to print
        #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
        format: Format,
        #[command(flatten)]
        server: ServerArgs,
    },
    /// Print a document as it was written, or who changed it when
    Show(ShowArgs),
    /// Create or replace what each file defines
    Push {
        /// Documents that define one profile or one collection each
        #[arg(required = true, value_name = "FILE", value_hint = ValueHint::FilePath)]
        files: Vec<PathBuf>,
        /// Push only if this is still the document's entity tag, as show and pull tell it
        #[arg(long)]
        etag: Option<String>,
        #[command(flatten)]
        server: ServerArgs,
    },
    /// Write documents of the API into a folder, one file each
    Pull {
        /// Which ones; all without a name
        names: Vec<String>,
        /// The folder, made if it is missing
        #[arg(long, value_name = "FOLDER", default_value = ".", value_hint = ValueHint::DirPath)]
        out: PathBuf,
        #[command(flatten)]
        server: ServerArgs,
    },
    /// Print what pushing a file would change; ends with 1 if there is a difference
    Diff {
        /// A document that defines one profile or one collection
        #[arg(value_hint = ValueHint::FilePath)]
        file: PathBuf,
        /// Compare with this version instead of the last one
        #[arg(long, value_name = "VERSION")]
        at: Option<u64>,
        #[command(flatten)]
        server: ServerArgs,
    },
    /// Make an earlier version the last one again
    Rollback {
        /// Its name
        name: String,
        /// The version, as show --history tells it
        #[arg(long, value_name = "VERSION")]
        to: u64,
        #[command(flatten)]
        server: ServerArgs,
    },
    /// Delete a document; its versions stay
    Delete {
        /// Its name
        name: String,
        #[command(flatten)]
        server: ServerArgs,
    },
}

#[derive(Debug, Args)]
pub(crate) struct ShowArgs {
    /// Its name
    name: String,
    /// An earlier version
    #[arg(long, value_name = "VERSION", conflicts_with = "history")]
    at: Option<u64>,
    /// Who made which version when, newest first
    #[arg(long)]
    history: bool,
    /// How to print the history
    #[arg(
        long,
        value_enum,
        default_value_t,
        value_name = "FORMAT",
        requires = "history"
    )]
    format: Format,
    #[command(flatten)]
    server: ServerArgs,
}

pub(crate) async fn run(kind: DocumentKind, command: DocumentCommand) -> miette::Result<Exit> {
    match command {
        DocumentCommand::List { format, server } => {
            let listed = server.open(kind)?.list().await?;
            match format {
                Format::Json => output::json(&listed)?,
                Format::Text => list(&listed)?,
            }
        }
        DocumentCommand::Show(args) => show(kind, &args).await?,
        DocumentCommand::Push {
            files,
            etag,
            server,
        } => {
            if etag.is_some() && files.len() > 1 {
                return Err(miette!("--etag goes with one file"));
            }
            let server = server.open(kind)?;
            for file in &files {
                push(&server, file, etag.as_deref()).await?;
            }
        }
        DocumentCommand::Pull { names, out, server } => {
            pull(&server.open(kind)?, names, &out).await?;
        }
        DocumentCommand::Diff { file, at, server } => {
            return diff(&server.open(kind)?, &file, at).await;
        }
        DocumentCommand::Rollback { name, to, server } => {
            rollback(&server.open(kind)?, &name, to).await?;
        }
        DocumentCommand::Delete { name, server } => {
            let server = server.open(kind)?;
            let name = server.name(&name)?;
            let there = server.get(&name, None).await?;
            server.delete(&name, &there.etag).await?;
            output::line(format!("deleted {name}"))?;
        }
    }
    Ok(Exit::Ok)
}

fn list(listed: &[Listed]) -> miette::Result<()> {
    let mut table = output::table(&["NAME", "SOURCE", "VERSION", "CHANGED", "BY", ""]);
    for one in listed {
        let version = one.version.as_ref();
        let remark = match &one.shadowed {
            Some(by) => format!("shadowed by {by}"),
            None if one.left_out => "left out: it has errors, which the log tells".to_owned(),
            None => String::new(),
        };
        table.add_row([
            one.name.clone(),
            one.source.clone(),
            version.map(|v| v.version.to_string()).unwrap_or_default(),
            version.map(|v| v.changed_at.clone()).unwrap_or_default(),
            version.map(|v| v.account.clone()).unwrap_or_default(),
            remark,
        ]);
    }
    output::print_table(&mut table)
}

async fn show(kind: DocumentKind, args: &ShowArgs) -> miette::Result<()> {
    let server = args.server.open(kind)?;
    let name = server.name(&args.name)?;
    if !args.history {
        let document = server.get(&name, args.at).await?;
        anstream::eprintln!("etag: {}", document.etag);
        return output::line(document.text.trim_end_matches('\n'));
    }
    let versions = server.history(&name).await?;
    if args.format == Format::Json {
        return output::json(&versions);
    }
    let mut table = output::table(&["VERSION", "CHANGED", "BY", ""]);
    for version in &versions {
        let VersionInfo {
            version,
            account,
            changed_at,
            deleted,
            ..
        } = version;
        let remark = if *deleted { "deleted" } else { "" };
        table.add_row([&version.to_string(), changed_at, account, remark]);
    }
    output::print_table(&mut table)
}

/// A file, its text, and the name that it defines.
fn read(kind: DocumentKind, file: &Path) -> miette::Result<(String, String)> {
    let text = fs::read_to_string(file)
        .into_diagnostic()
        .wrap_err_with(|| format!("{} cannot be read", file.display()))?;
    let mut loader = Loader::new(Catalog::builtin());
    loader.add_text(&file.display().to_string(), &text);
    let (profiles, collections) = loader.names();
    let (own, others) = match kind {
        DocumentKind::Profile => (profiles, collections),
        DocumentKind::Collection => (collections, profiles),
    };
    match (own.as_slice(), others.as_slice()) {
        ([name], []) => Ok((name.clone(), text)),
        // Its problems are reported with their places.
        ([], []) => {
            let problems = loader.finish().problems;
            let errors: Vec<String> = problems.iter().map(ToString::to_string).collect();
            Err(miette!(
                "{} defines no {}\n{}",
                file.display(),
                kind.as_str(),
                errors.join("\n")
            ))
        }
        (own, others) => Err(miette!(
            help = "put each into a file of its own",
            "{} defines {}: the API takes one {} at a time",
            file.display(),
            [own, others].concat().join(", "),
            kind.as_str()
        )),
    }
}

async fn push(server: &DocumentServer, file: &Path, etag: Option<&str>) -> miette::Result<()> {
    let (name, text) = read(server.kind, file)?;
    let there = server.find(&name, None).await?;
    if there.as_ref().is_some_and(|there| there.text == text) {
        return output::line(format!("{name} is the same already"));
    }
    let expects = match (etag, &there) {
        (Some(etag), _) => Expects::Tag(etag),
        (None, Some(there)) => Expects::Tag(&there.etag),
        (None, None) => Expects::Nothing,
    };
    let file = file.display().to_string();
    let changed = server.put(&name, text, expects, Some(&file)).await?;
    tell(&name, &changed, Some(&file))
}

/// Prints the new state of a document, and its warnings.
fn tell(name: &str, changed: &Value, file: Option<&str>) -> miette::Result<()> {
    let warnings = changed.get("warnings").and_then(Value::as_array);
    for warning in warnings.into_iter().flatten() {
        anstream::eprintln!("{}", document_server::line(warning, file));
    }
    let version = changed.get("version").and_then(Value::as_u64);
    output::line(format!(
        "{name} is at version {}",
        version.unwrap_or_default()
    ))
}

async fn pull(server: &DocumentServer, names: Vec<String>, out: &Path) -> miette::Result<()> {
    let names = if names.is_empty() {
        let listed = server.list().await?.into_iter();
        listed
            .filter(|one| one.version.is_some())
            .map(|one| one.name)
            .collect()
    } else {
        names
    };
    fs::create_dir_all(out)
        .into_diagnostic()
        .wrap_err_with(|| format!("{} cannot be made", out.display()))?;
    for name in names {
        let name = server.name(&name)?;
        let document = server.get(&name, None).await?;
        let safe = name.replace('/', "+").replace(':', "@");
        let file = out.join(format!("{}-{safe}.yaml", server.kind.as_str()));
        fs::write(&file, &document.text)
            .into_diagnostic()
            .wrap_err_with(|| format!("{} cannot be written", file.display()))?;
        output::line(format!(
            "{}  {name}  etag: {}",
            file.display(),
            document.etag
        ))?;
    }
    Ok(())
}

async fn diff(server: &DocumentServer, file: &Path, version: Option<u64>) -> miette::Result<Exit> {
    let (name, text) = read(server.kind, file)?;
    let there = match version {
        Some(_) => Some(server.get(&name, version).await?),
        None => server.find(&name, None).await?,
    };
    let former = there.map(|there| there.text).unwrap_or_default();
    if former == text {
        return Ok(Exit::Ok);
    }
    let file = file.display().to_string();
    let diff = TextDiff::from_lines(&former, &text);
    let unified = diff.unified_diff().header(&name, &file).to_string();
    output::line(unified.trim_end_matches('\n'))?;
    Ok(Exit::Failure)
}

async fn rollback(server: &DocumentServer, name: &str, to: u64) -> miette::Result<()> {
    let name = server.name(name)?;
    let former = server.get(&name, Some(to)).await?;
    let there = server.find(&name, None).await?;
    if there
        .as_ref()
        .is_some_and(|there| there.text == former.text)
    {
        return output::line(format!("{name} is the same already"));
    }
    let expects = match &there {
        Some(there) => Expects::Tag(&there.etag),
        None => Expects::Nothing,
    };
    let changed = server.put(&name, former.text, expects, None).await?;
    tell(&name, &changed, None)
}
