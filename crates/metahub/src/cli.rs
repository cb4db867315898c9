//! The command line: every command. The arguments of each are in its own file below `commands`.

use std::path::PathBuf;

use clap::builder::styling::{AnsiColor, Styles};
use clap::{Args, Parser, Subcommand, ValueHint};
use clap_complete::Shell;

use crate::commands::account::AccountCommand;
use crate::commands::backup::{BackupArgs, RestoreArgs};
use crate::commands::bundle::{ExportArgs, ImportArgs};
use crate::commands::catalog::CatalogCommand;
use crate::commands::check::CheckArgs;
use crate::commands::config::ConfigArgs;
use crate::commands::coverage::CoverageArgs;
use crate::commands::demand::DemandArgs;
use crate::commands::demo::DemoArgs;
use crate::commands::documents::DocumentCommand;
use crate::commands::inspect::InspectArgs;
use crate::commands::layer::LayerCommand;
use crate::commands::node::NodeCommand;
use crate::commands::pin::PinArgs;
use crate::commands::profile::ProfileCommand;
use crate::commands::release::ReleaseArgs;
use crate::commands::resolve::ResolveArgs;
use crate::commands::schema::SchemaArgs;
use crate::commands::serve::ServeArgs;
use crate::commands::upkeep::{GcArgs, ScrubArgs};
use crate::commands::warm::WarmArgs;
use crate::commands::why::WhyArgs;
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
    /// Write and verify collections that others use; push, pull and list catalogs of registries
    #[command(subcommand)]
    Catalog(CatalogCommand),
    /// Show which build each kind of machine gets of each collection
    Coverage(CoverageArgs),
    /// Show which builds are missing: pulls that fell back to a lesser build or found none
    Demand(DemandArgs),
    /// Show which image a login gets, and why
    Resolve(Box<ResolveArgs>),
    /// Test profiles, and change the API profiles of a running MetaHub
    #[command(subcommand)]
    Profile(ProfileCommand),
    /// Explain an image: its source, the actions on it, and why it was chosen
    Why(Box<WhyArgs>),
    /// Change the API collections of a running MetaHub
    #[command(subcommand)]
    Collection(DocumentCommand),
    /// Tell what an image's code needs, by reading it
    Inspect(Box<InspectArgs>),
    /// Make layer images, which profiles add to other images
    #[command(subcommand)]
    Layer(LayerCommand),
    /// Manage the accounts that may push or administer
    #[command(subcommand)]
    Account(AccountCommand),
    /// Manage the nodes that prove their identity, and their join tokens
    // Its manual pages: metahub-node(1) is that of the program on a node.
    #[command(subcommand, display_name = "metahub-nodes")]
    Node(NodeCommand),
    /// Remove content that nothing needs any more
    Gc(GcArgs),
    /// Reread all content, quarantine damaged content, and fetch it again from its upstream
    Scrub(ScrubArgs),
    /// Copy content, accounts and keys into a folder, while the server runs or without one
    Backup(BackupArgs),
    /// Make a data folder of a backup
    Restore(RestoreArgs),
    /// Pin derived or cached images so that they stay, list pins, or remove them
    Pin(PinArgs),
    /// Release local names, so that upstreams are asked for them again, or list those without content
    Release(ReleaseArgs),
    /// Fetch images from their upstreams before anybody pulls them
    Warm(WarmArgs),
    /// Write images, collections and profiles into one file, for a site without a network
    Export(ExportArgs),
    /// Import a file of metahub export, or an OCI archive of another tool
    Import(ImportArgs),
    /// Check a configuration, or show where each setting comes from
    Config(ConfigArgs),
    /// Print a JSON Schema for editors: of profile and collection documents, or of the
    /// configuration
    Schema(SchemaArgs),
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

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
