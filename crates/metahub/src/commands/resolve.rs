//! `metahub resolve IMAGE`: which image a login gets, and why: from a running MetaHub, or computed
//! here from documents and images. For several logins see `resolve_several`.

use std::io::Read as _;

use clap::Args;
use metahub_client::session::{Login, SessionError};
use metahub_oci::{Digest, ImageReference, Platform};
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

const EXAMPLES: &str = "\
Examples:
  metahub resolve qnib/featuretest:latest --as zen3
  metahub resolve qnib/featuretest:latest --as zen3 --as cascadelake
  metahub resolve qnib/featuretest:latest --as zen3 --as cascadelake --common
";

#[derive(Debug, Args)]
#[command(after_help = exit::table_after(EXAMPLES))]
pub(crate) struct ResolveArgs {
    /// The image as the registry names it, such as qnib/featuretest:latest
    pub(crate) image: ImageReference,
    /// The login to resolve for: a profile, a feature such as cpu=zen3, an account, or several
    /// joined with + (nobody by default); repeated, what each of them gets
    #[arg(long = "as", value_name = "LOGIN", env = "METAHUB_LOGIN")]
    pub(crate) logins: Vec<String>,
    /// The best single image that every login can run, for jobs that must run one binary
    #[arg(long)]
    pub(crate) common: bool,
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

impl ResolveArgs {
    /// Whether several logins are given, which `resolve_several` answers.
    pub(crate) fn is_for_several(&self) -> bool {
        self.common || self.logins.len() > 1
    }
}

/// Most that is read of a password on standard input, in bytes.
const MAX_PASSWORD: u64 = 8192;

/// What one login gets.
pub(crate) enum Answer {
    Image(Box<Resolution>),
    /// The image exists, and none of it fits.
    Nothing {
        message: String,
        detail: Box<NothingFits>,
    },
}

/// Answers for one login after another.
pub(crate) struct Asking<'a> {
    pub(crate) args: &'a ResolveArgs,
    /// Of every login.
    password: String,
}

impl<'a> Asking<'a> {
    pub(crate) fn new(args: &'a ResolveArgs) -> miette::Result<Self> {
        let mut password = String::new();
        // Without a login there is nobody whose password it is.
        if args.password_stdin && args.logins.iter().any(|login| !login.is_empty()) {
            let stdin = std::io::stdin().lock();
            stdin
                .take(MAX_PASSWORD)
                .read_to_string(&mut password)
                .map_err(|error| {
                    miette!("cannot read the password from standard input: {error}")
                })?;
            password.truncate(password.trim_end_matches(['\r', '\n']).len());
        }
        Ok(Self { args, password })
    }

    /// What `login` gets, from the server or, if given, from local documents and images.
    pub(crate) async fn answer(&self, login: Option<&str>) -> miette::Result<Answer> {
        let login = login.filter(|login| !login.is_empty());
        let request = Resolve {
            image: self.args.image.clone(),
            platform: self.args.platform.clone(),
        };
        if !self.args.local.is_given() {
            return self.ask(&request, login).await;
        }
        let operation = self
            .args
            .local
            .operation(request, login.map(str::to_owned))?;
        Ok(match operation.run().await? {
            Resolved::Image(resolution) => Answer::Image(resolution),
            Resolved::Nothing { message, detail } => Answer::Nothing {
                message,
                detail: Box::new(detail),
            },
        })
    }

    async fn ask(&self, request: &Resolve, login: Option<&str>) -> miette::Result<Answer> {
        let login = login.map(|name| Login {
            name: name.to_owned(),
            password: self.password.clone(),
        });
        let client = self.args.server.client(login)?;
        let query = request.query();
        let query: Vec<(&str, &str)> = query.iter().map(|(key, value)| (*key, &**value)).collect();
        match client.api(Resolve::PATH, &query).await {
            Ok(resolution) => Ok(Answer::Image(Box::new(resolution))),
            Err(error) => failed(error),
        }
    }
}

/// What the one login gets; or the exit code, after printing why.
pub(crate) async fn one(args: &ResolveArgs) -> miette::Result<Result<Resolution, Exit>> {
    let asking = Asking::new(args)?;
    match asking
        .answer(args.logins.first().map(String::as_str))
        .await?
    {
        Answer::Image(resolution) => Ok(Ok(*resolution)),
        Answer::Nothing { message, detail } => nothing_fits(args, &message, &detail).map(Err),
    }
}

pub(crate) async fn run(args: &ResolveArgs) -> miette::Result<Exit> {
    let resolution = match one(args).await? {
        Ok(resolution) => resolution,
        Err(exit) => return Ok(exit),
    };
    match args.format {
        Format::Json => output::json(&resolution)?,
        Format::Text => {
            output::line(reference(args, &resolution))?;
            warn(&resolution);
            if args.explain {
                explain(&resolution)?;
            }
        }
    }
    Ok(Exit::Ok)
}

/// Prints warnings and remarks on standard error.
pub(crate) fn warn(resolution: &Resolution) {
    for warning in resolution.warning.iter().chain(&resolution.remarks) {
        anstream::eprintln!("warning: {warning}");
    }
}

/// The image under `digest`, as a client of that server names it.
pub(crate) fn by_digest(image: &ImageReference, digest: &Digest) -> String {
    match image.host() {
        Some(host) => format!("{host}/{}@{digest}", image.name()),
        None => format!("{}@{digest}", image.name()),
    }
}

/// The image by digest, as a client of that server names it.
pub(crate) fn reference(args: &ResolveArgs, resolution: &Resolution) -> String {
    // With a platform, its manifest; otherwise what serves all platforms.
    let digest = match args.platform {
        Some(_) => &resolution.manifest,
        None => &resolution.digest,
    };
    by_digest(&args.image, digest)
}

/// Separates "nothing fits" from other failures.
fn failed(error: SessionError) -> miette::Result<Answer> {
    match error {
        SessionError::Refused {
            message, detail, ..
        } => match serde_json::from_value(detail) {
            Ok(detail @ NothingFits { .. }) if detail.reason == NothingFits::REASON => {
                Ok(Answer::Nothing {
                    message,
                    detail: Box::new(detail),
                })
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

/// Prints that nothing fits.
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

/// Prints the full explanation: the source, the verdict on each entry, the added layers.
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
