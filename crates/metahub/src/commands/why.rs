//! `metahub why IMAGE`: explains what a running MetaHub serves for an image.

use clap::Args;
use metahub_oci::{ImageReference, Platform};
use metahub_operations::Story;
use metahub_registry::SourceKind;

use crate::args::Format;
use crate::commands::asked_server::AskedServer;
use crate::commands::resolve::{self, ResolveArgs};
use crate::commands::resolve_local::LocalArgs;
use crate::exit::{self, Exit};
use crate::output;

const EXAMPLES: &str = "\
Examples:
  metahub why qnib/featuretest:latest --as zen3+aws/cli
  metahub why lab/app@sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a
";

#[derive(Debug, Args)]
#[command(after_help = exit::table_after(EXAMPLES))]
pub(crate) struct WhyArgs {
    /// The image as the registry names it: NAME:TAG for what a login gets, or NAME@DIGEST for
    /// what somebody got
    #[arg(value_name = "IMAGE")]
    image: ImageReference,
    /// The login to tell of: a profile, a feature such as cpu=zen3, an account, or several joined
    /// with + (nobody by default)
    #[arg(long = "as", value_name = "LOGIN", env = "METAHUB_LOGIN")]
    login: Option<String>,
    /// Read the login's password from standard input; public profiles need none
    #[arg(long)]
    password_stdin: bool,
    #[command(flatten)]
    server: AskedServer,
    /// Only this platform
    #[arg(long, value_name = "OS/ARCH")]
    platform: Option<Platform>,
    /// How to print
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    format: Format,
}

impl From<WhyArgs> for ResolveArgs {
    fn from(args: WhyArgs) -> Self {
        Self {
            image: args.image,
            logins: args.login.into_iter().collect(),
            common: false,
            password_stdin: args.password_stdin,
            server: args.server,
            local: LocalArgs::default(),
            platform: args.platform,
            explain: true,
            format: args.format,
        }
    }
}

pub(crate) async fn run(args: WhyArgs) -> miette::Result<Exit> {
    let args = ResolveArgs::from(args);
    let story = match resolve::one(&args).await? {
        Ok(resolution) => Story::from(resolution),
        Err(exit) => return Ok(exit),
    };
    match args.format {
        Format::Json => output::json(&story)?,
        Format::Text => tell(&story)?,
    }
    Ok(Exit::Ok)
}

/// Prints the explanation in the order of events.
fn tell(story: &Story) -> miette::Result<()> {
    let mut facts = vec![("image", story.image.clone())];
    if !story.profile.login.is_empty() {
        facts.push(("login", story.profile.login.clone()));
    }
    facts.extend(story.profile.by.clone().map(|by| ("by", by)));
    if !story.profile.provides.is_empty() {
        facts.push(("provides", story.profile.provides.join(" ")));
    }
    let kind = match story.source.kind {
        Some(SourceKind::Collection) => ", a collection",
        Some(SourceKind::Local) => ", held here",
        Some(SourceKind::Upstream) => ", from an upstream",
        None => "",
    };
    facts.push(("source", format!("{}{kind}", story.source.reference)));
    facts.push(("chosen", story.source.manifest.clone()));
    facts.push(("because", story.chosen.why.clone()));
    for layer in &story.layers {
        let plural = if layer.layers == 1 { "layer" } else { "layers" };
        let (number, image, reference) = (layer.layers, &layer.image, &layer.reference);
        facts.push((
            "layers",
            format!("{number} {plural} of {image}, {reference}"),
        ));
    }
    for (at, action) in story.actions.iter().enumerate() {
        facts.push((
            "action",
            format!("{}. {} {}", at + 1, action.name, action.did),
        ));
    }
    if !story.derived {
        facts.push(("derived", "no: it is as its publisher made it".to_owned()));
    }
    let version = story.metahub.iter();
    facts.extend(version.map(|version| ("derived", format!("by MetaHub {version}"))));
    facts.push(("platform", story.chosen.platform.to_string()));
    facts.push(("manifest", story.manifest.to_string()));
    facts.push(("digest", story.digest.to_string()));
    let remarks = story.chosen.remarks.iter();
    facts.extend(remarks.map(|remark| ("note", remark.clone())));
    for (name, fact) in facts {
        let name = output::heading(&format!("{name:<8}"));
        output::line(format!("{name}  {fact}"))?;
    }
    if story.chosen.entries.is_empty() {
        return Ok(());
    }
    output::line("")?;
    resolve::print_verdicts(&story.chosen.entries)
}
