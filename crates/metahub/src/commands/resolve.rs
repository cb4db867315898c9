//! `metahub resolve IMAGE`: which image a login gets, and why: from a running MetaHub, or worked
//! out here of documents and images.

use std::io::Read as _;

use clap::Args;
use metahub_client::session::{Login, SessionError};
use metahub_oci::{ImageReference, Platform};
use metahub_operations::{NothingFits, Resolve, Resolved};
use metahub_registry::{Resolution, SourceKind};
use metahub_resolve::{Verdict, Verdicts};
use miette::{IntoDiagnostic as _, miette};
use serde_json::json;

use crate::args::Format;
use crate::commands::asked_server::AskedServer;
use crate::commands::resolve_local::LocalArgs;
use crate::exit;
use crate::exit::Exit;
use crate::output;

#[derive(Debug, Args)]
#[command(after_help = exit::TABLE)]
pub(crate) struct ResolveArgs {
    /// The image as the registry names it, such as qnib/featuretest:latest
    pub(crate) image: ImageReference,
    /// The login to resolve for: a profile, a feature such as cpu=zen3, an account, or several
    /// joined with + (nobody by default)
    #[arg(long = "as", value_name = "LOGIN", env = "METAHUB_LOGIN")]
    pub(crate) login: Option<String>,
    /// Read the login's password from standard input; public profiles need none
    #[arg(long)]
    pub(crate) password_stdin: bool,
    #[command(flatten)]
    pub(crate) server: AskedServer,
    #[command(flatten)]
    pub(crate) local: LocalArgs,
    /// Only this platform
    #[arg(long, value_name = "OS/ARCH")]
    pub(crate) platform: Option<Platform>,
    /// Say entry by entry why it was taken or left
    #[arg(long)]
    pub(crate) explain: bool,
    /// How to print
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    pub(crate) format: Format,
}

/// Most that is read of a password on standard input, in bytes.
const MAX_PASSWORD: u64 = 8192;

/// What documents and images answer without a server; else how the command ends, which has said
/// why.
async fn work_out(args: &ResolveArgs) -> miette::Result<Result<Resolution, Exit>> {
    let request = Resolve {
        image: args.image.clone(),
        platform: args.platform.clone(),
    };
    match args
        .local
        .operation(request, args.login.clone())?
        .run()
        .await?
    {
        Resolved::Image(resolution) => Ok(Ok(*resolution)),
        Resolved::Nothing { message, detail } => nothing_fits(args, &message, &detail).map(Err),
    }
}

/// What the server answers; else how the command ends, which has said why.
pub(crate) async fn ask(args: &ResolveArgs) -> miette::Result<Result<Resolution, Exit>> {
    let client = args.server.client(login(args)?)?;
    let request = Resolve {
        image: args.image.clone(),
        platform: args.platform.clone(),
    };
    let query = request.query();
    let query: Vec<(&str, &str)> = query.iter().map(|(key, value)| (*key, &**value)).collect();
    match client.api(Resolve::PATH, &query).await {
        Ok(resolution) => Ok(Ok(resolution)),
        Err(error) => failed(args, error).map(Err),
    }
}

pub(crate) async fn run(args: &ResolveArgs) -> miette::Result<Exit> {
    let answer = if args.local.is_given() {
        work_out(args).await?
    } else {
        ask(args).await?
    };
    let resolution = match answer {
        Ok(resolution) => resolution,
        Err(exit) => return Ok(exit),
    };
    match args.format {
        Format::Json => output::json(&resolution)?,
        Format::Text => {
            output::line(reference(args, &resolution))?;
            if let Some(warning) = &resolution.warning {
                anstream::eprintln!("warning: {warning}");
            }
            for remark in &resolution.remarks {
                anstream::eprintln!("warning: {remark}");
            }
            if args.explain {
                explain(&resolution)?;
            }
        }
    }
    Ok(Exit::Ok)
}

/// The image by digest, as a client of that server names it.
fn reference(args: &ResolveArgs, resolution: &Resolution) -> String {
    let name = match args.image.host() {
        Some(host) => format!("{host}/{}", args.image.name()),
        None => args.image.name().to_string(),
    };
    // Who asks for one platform gets its manifest; who does not gets what serves them all.
    let digest = match args.platform {
        Some(_) => &resolution.manifest,
        None => &resolution.digest,
    };
    format!("{name}@{digest}")
}

fn login(args: &ResolveArgs) -> miette::Result<Option<Login>> {
    let Some(name) = args.login.clone().filter(|name| !name.is_empty()) else {
        return Ok(None);
    };
    let mut password = String::new();
    if args.password_stdin {
        std::io::stdin()
            .lock()
            .take(MAX_PASSWORD)
            .read_to_string(&mut password)
            .map_err(|error| miette!("cannot read the password from standard input: {error}"))?;
        password.truncate(password.trim_end_matches(['\r', '\n']).len());
    }
    Ok(Some(Login { name, password }))
}

/// Tells that nothing fits from every other failure.
fn failed(args: &ResolveArgs, error: SessionError) -> miette::Result<Exit> {
    match error {
        SessionError::Refused {
            message, detail, ..
        } => match serde_json::from_value(detail) {
            Ok(detail @ NothingFits { .. }) if detail.reason == NothingFits::REASON => {
                nothing_fits(args, &message, &detail)
            }
            _ => Err(miette!("{message}")),
        },
        SessionError::Unreachable { .. } => Err(miette!(
            help = "start it with metahub serve, or name another with --server or METAHUB_SERVER",
            "{error}"
        )),
        error => Err(error).into_diagnostic(),
    }
}

fn nothing_fits(args: &ResolveArgs, message: &str, detail: &NothingFits) -> miette::Result<Exit> {
    let NothingFits {
        reason,
        wanted,
        existing,
        entries,
    } = detail;
    if args.format == Format::Json {
        output::json(&json!({
            "image": args.image,
            "reason": reason,
            "message": message,
            "wanted": wanted,
            "existing": existing,
            "entries": entries,
        }))?;
    } else {
        anstream::eprintln!("{message}");
        if args.explain {
            print_verdicts(entries)?;
        }
    }
    Ok(Exit::NothingFits)
}

/// Prints the whole story: where the image came from, what became of each entry, what was added.
fn explain(resolution: &Resolution) -> miette::Result<()> {
    let explanation = &resolution.explanation;
    let login = match resolution.profile.as_str() {
        "" => "(none)",
        profile => profile,
    };
    let source = match explanation.source {
        SourceKind::Collection => "collection",
        SourceKind::Local => "held here",
        SourceKind::Upstream => "upstream",
    };
    let mut facts = vec![
        ("image", resolution.image.clone()),
        ("login", login.to_owned()),
        ("by", resolution.profile_by.clone().unwrap_or_default()),
        ("source", format!("{source}, {}", explanation.source_digest)),
        (
            "served",
            format!("{} ({})", resolution.digest, resolution.media_type),
        ),
        ("platform", resolution.platform.to_string()),
        ("manifest", resolution.manifest.to_string()),
        ("why", resolution.why.clone()),
    ];
    facts.retain(|(_, fact)| !fact.is_empty());
    facts.extend(
        resolution
            .remarks
            .iter()
            .map(|remark| ("note", remark.clone())),
    );
    for added in &explanation.added {
        let platform = added
            .platform
            .as_ref()
            .map(|p| format!(", {p}"))
            .unwrap_or_default();
        facts.push((
            "added",
            format!("{} layers of {}{platform}", added.layers, added.image),
        ));
    }
    for step in &explanation.actions {
        let not = if step.done { "" } else { "not done: " };
        facts.push(("action", format!("{}: {not}{}", step.action, step.what)));
    }
    let entries = &explanation.entries;
    if !entries.is_empty() {
        let read = entries.iter().filter(|verdict| verdict.read).count();
        let of = entries.len();
        facts.push((
            "read",
            format!("what {read} of {of} images say of themselves"),
        ));
    }
    output::line("")?;
    for (name, fact) in facts {
        output::line(format!(
            "{}  {fact}",
            output::heading(&format!("{name:<8}"))
        ))?;
    }
    if explanation.entries.is_empty() {
        return Ok(());
    }
    output::line("")?;
    print_verdicts(&explanation.entries)
}

pub(crate) fn print_verdicts(entries: &Verdicts) -> miette::Result<()> {
    let mut table = output::table(&Verdict::HEADINGS);
    for verdict in entries.iter() {
        table.add_row(verdict.cells());
    }
    output::print_table(&mut table)
}
