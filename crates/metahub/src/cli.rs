//! The command line: every command, flag and help text. Values are parsed here into types that
//! cannot be wrong; what they mean is decided in `commands`.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::builder::styling::{AnsiColor, Styles};
use clap::{Args, Parser, Subcommand, ValueEnum, ValueHint};
use clap_complete::Shell;
use metahub_auth::{AccountName, AnonymousAccess, Role};
use metahub_oci::{Host, ImageReference, Platform};
use url::Url;

use crate::commands::backup::{BackupArgs, RestoreArgs};
use crate::commands::bundle::{ExportArgs, ImportArgs};
use crate::commands::release::ReleaseArgs;
use crate::commands::upkeep::{GcArgs, ScrubArgs};
use crate::commands::warm::WarmArgs;
use crate::exit;
use crate::logging::LogFormat;

const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Green.on_default().bold())
    .usage(AnsiColor::Green.on_default().bold())
    .literal(AnsiColor::Cyan.on_default().bold())
    .placeholder(AnsiColor::Cyan.on_default());

/// MetaHub: `module load`, moved into the container registry.
///
/// Log in under a profile, such as `docker login HOST -u zen3`, and every pull of the same tag
/// yields the image that fits that profile's hardware, or that image with layers added.
#[derive(Debug, Parser)]
#[command(
    name = "metahub",
    version,
    styles = STYLES,
    after_help = exit::TABLE,
    propagate_version = true,
    arg_required_else_help = true
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) log: LogArgs,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What to log, and how.
#[derive(Debug, Args)]
#[command(next_help_heading = "Logging")]
pub(crate) struct LogArgs {
    /// What to log on standard error: a level, or TARGET=LEVEL pairs
    #[arg(long, global = true, env = "METAHUB_LOG", value_name = "FILTER")]
    pub(crate) log: Option<String>,
    /// How log lines look
    #[arg(
        long,
        global = true,
        env = "METAHUB_LOG_FORMAT",
        value_enum,
        default_value_t,
        value_name = "FORMAT"
    )]
    pub(crate) log_format: LogFormat,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the registry
    Serve(ServeArgs),
    /// Run a whole registry with demo images, and show what each login gets
    Demo(DemoArgs),
    /// Check profile and collection documents for mistakes
    Check(CheckArgs),
    /// Show which build each kind of machine gets of each collection
    Coverage(CoverageArgs),
    /// Show which image a login gets, and why
    Resolve(Box<ResolveArgs>),
    /// Manage the accounts that may push or administer
    #[command(subcommand)]
    Account(AccountCommand),
    /// Remove content that nothing needs any more
    Gc(GcArgs),
    /// Reread all content, set damaged content aside, and fetch it again where it came from
    Scrub(ScrubArgs),
    /// Copy content, accounts and keys into a folder, while the server runs or without one
    Backup(BackupArgs),
    /// Make a data folder of a backup
    Restore(RestoreArgs),
    /// Let names that were pushed to be found at upstreams again, or list those that hold nothing
    Release(ReleaseArgs),
    /// Fetch images from their upstreams before anybody pulls them
    Warm(WarmArgs),
    /// Write images, collections and profiles into one file, for a site without a network
    Export(ExportArgs),
    /// Take in a file of metahub export, or an OCI archive of another tool
    Import(ImportArgs),
    /// Print the JSON Schema of profile and collection documents
    Schema,
    /// Print a completion script for a shell
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Print the manual page, or write one per command into a folder
    Man {
        /// The folder to write into
        #[arg(long, value_name = "FOLDER", value_hint = ValueHint::DirPath)]
        out: Option<PathBuf>,
    },
}

/// Where settings come from; flags win over environment variables, those over the file.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct SettingsArgs {
    /// Configuration file (YAML) [env: METAHUB_CONFIG] [default: none]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) config: Option<PathBuf>,
    /// Folder that holds content, accounts and keys [env: METAHUB_DATA] [default: metahub-data]
    #[arg(long, value_name = "FOLDER", value_hint = ValueHint::DirPath)]
    pub(crate) data: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    #[command(flatten)]
    pub(crate) settings: SettingsArgs,
    /// Address and port to listen on; port 0 takes a free one [env: METAHUB_LISTEN] [default:
    /// 127.0.0.1:5000]
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) listen: Option<SocketAddr>,
    /// Profile and collection documents: a file or a folder, may be repeated [env:
    /// METAHUB_CATALOG]
    #[arg(long, value_name = "PATH", value_hint = ValueHint::AnyPath)]
    pub(crate) catalog: Vec<PathBuf>,
    /// What everybody may do without an account: none, read or write [env: METAHUB_ANONYMOUS]
    /// [default: read]
    #[arg(long, value_name = "ACCESS")]
    pub(crate) anonymous: Option<AnonymousAccess>,
}

#[derive(Debug, Args)]
#[command(after_help = exit::TABLE)]
pub(crate) struct DemoArgs {
    /// Play the client over HTTP: log in, pull, verify every digest; then end with 0 or 1
    #[arg(long)]
    pub(crate) check: bool,
    /// Address and port to listen on [default: 127.0.0.1:5000, or a free port if that is taken or
    /// with --check]
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) listen: Option<SocketAddr>,
    /// Folder to keep the demo's content in [default: one that is removed at the end]
    #[arg(long, value_name = "FOLDER", value_hint = ValueHint::DirPath)]
    pub(crate) data: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    /// Files, or folders of .yaml and .yml files
    #[arg(required = true, value_name = "PATH", value_hint = ValueHint::AnyPath)]
    pub(crate) paths: Vec<PathBuf>,
    /// Also read the images that collections name, and tell where the two disagree
    #[arg(long)]
    pub(crate) images: bool,
    /// With --images: the MetaHub to ask for names without a host
    #[arg(long, value_name = "URL", requires = "images")]
    pub(crate) server: Option<Url>,
    /// Configuration file, for the site's CPU targets and upstreams [env: METAHUB_CONFIG]
    /// [default: none]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) config: Option<PathBuf>,
    /// How to report
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    pub(crate) format: ReportFormat,
}

/// How problems are reported.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum ReportFormat {
    /// With the lines of the document around each problem
    #[default]
    Text,
    /// One line per problem, FILE:LINE:COLUMN: SEVERITY: MESSAGE
    Short,
    /// JSON for programs
    Json,
}

/// Text for people or JSON for programs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Text for people
    #[default]
    Text,
    /// JSON for programs
    Json,
}

#[derive(Debug, Args)]
pub(crate) struct CoverageArgs {
    /// What machines there are: CPU targets, or any logins such as zen4+driver=550, separated by
    /// commas; `all` for every target that is known [default: the usual servers]
    #[arg(long, value_name = "LOGINS", value_delimiter = ',')]
    pub(crate) targets: Vec<String>,
    /// Only these collections: NAME or NAME:TAG, separated by commas
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub(crate) collections: Vec<String>,
    /// Documents: a file or a folder, may be repeated [env: METAHUB_CATALOG]
    #[arg(long, value_name = "PATH", value_hint = ValueHint::AnyPath)]
    pub(crate) catalog: Vec<PathBuf>,
    /// Also read the images, for what the documents do not say; then any image can be named
    #[arg(long)]
    pub(crate) images: bool,
    /// With --images: the MetaHub to ask for names without a host
    #[arg(long, value_name = "URL", requires = "images")]
    pub(crate) server: Option<Url>,
    /// Configuration file, for the catalog, the site's CPU targets and upstreams
    /// [env: METAHUB_CONFIG] [default: none]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) config: Option<PathBuf>,
    /// How to print
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    pub(crate) format: CoverageFormat,
}

/// How the table is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum CoverageFormat {
    /// A table for people
    #[default]
    Text,
    /// JSON for programs
    Json,
    /// A line for each image and target, separated by commas
    Csv,
    /// A heat map as one page for a browser
    Html,
}

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
    /// The MetaHub to ask
    #[arg(
        long,
        value_name = "URL",
        env = "METAHUB_SERVER",
        default_value = "http://127.0.0.1:5000"
    )]
    pub(crate) server: Url,
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

#[derive(Debug, Subcommand)]
pub(crate) enum AccountCommand {
    /// Add an account; its password is asked for, read, or generated and shown once
    Add {
        /// Its name, also the namespace that it may push to
        name: AccountName,
        /// What it may do: reader pulls, pusher also pushes into its own namespace, admin does all
        #[arg(long, default_value = "pusher")]
        role: Role,
        #[command(flatten)]
        password: PasswordArgs,
        #[command(flatten)]
        settings: SettingsArgs,
    },
    /// List the accounts
    List {
        /// How to print
        #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
        format: Format,
        #[command(flatten)]
        settings: SettingsArgs,
    },
    /// Give an account another role
    Role {
        /// The account
        name: AccountName,
        /// reader, pusher or admin
        role: Role,
        #[command(flatten)]
        settings: SettingsArgs,
    },
    /// Give an account another password
    Password {
        /// The account
        name: AccountName,
        #[command(flatten)]
        password: PasswordArgs,
        #[command(flatten)]
        settings: SettingsArgs,
    },
    /// Remove an account and its logins at upstreams; what it pushed stays
    Remove {
        /// The account
        name: AccountName,
        #[command(flatten)]
        settings: SettingsArgs,
    },
    #[command(flatten)]
    Upstream(UpstreamLoginCommand),
}

/// Who accounts are at upstreams that are read for each of them as that account.
#[derive(Debug, Subcommand)]
pub(crate) enum UpstreamLoginCommand {
    /// Say who an account is at an upstream with pass_through: its user name and password there
    #[command(name = "upstream-login")]
    Login {
        /// The account
        name: AccountName,
        /// The upstream's host, as images are written: quay.io
        host: Host,
        /// Its user name there
        #[arg(long, value_name = "USER")]
        username: String,
        /// Read its password or access token there from standard input
        #[arg(long)]
        password_stdin: bool,
        #[command(flatten)]
        settings: SettingsArgs,
    },
    /// List who accounts are at upstreams, without their passwords
    #[command(name = "upstream-logins")]
    Logins {
        /// Only of this account
        name: Option<AccountName>,
        /// How to print
        #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
        format: Format,
        #[command(flatten)]
        settings: SettingsArgs,
    },
    /// Forget who an account is at an upstream
    #[command(name = "upstream-logout")]
    Logout {
        /// The account
        name: AccountName,
        /// The upstream's host
        host: Host,
        #[command(flatten)]
        settings: SettingsArgs,
    },
}

/// Where a password comes from.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct PasswordArgs {
    /// Read the password from standard input
    #[arg(long, conflicts_with = "generate")]
    pub(crate) password_stdin: bool,
    /// Generate a password without asking
    #[arg(long)]
    pub(crate) generate: bool,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
