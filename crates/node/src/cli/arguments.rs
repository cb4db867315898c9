//! The commands and their arguments.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum, ValueHint};
use clap_complete::Shell;

use crate::setup::Named;
use crate::{examples, setup};

/// What a node is, and the logins and client configurations that follow from it.
#[derive(Debug, Parser)]
#[command(
    name = "metahub-node",
    version,
    propagate_version = true,
    after_help = examples::EXIT_CODES
)]
pub(super) struct Cli {
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Print what this node provides
    #[command(after_help = examples::DETECT)]
    Detect(DetectArgs),
    /// Print this node's login
    #[command(after_help = examples::LOGIN)]
    Login {
        /// The login for this registry, which may know the node by an older target only
        #[arg(long, value_name = "HOST")]
        registry: Option<String>,
    },
    /// Look at this node, ask the registries what they know of it, and write the cache
    #[command(after_help = examples::REFRESH)]
    Refresh,
    /// Join a MetaHub: exchange a join token, read from standard input, for a token of this node
    #[command(after_help = examples::JOIN)]
    Join {
        /// The MetaHub, as NAME or NAME:PORT
        #[arg(long, value_name = "HOST")]
        registry: String,
        /// Read the join token from this file
        #[arg(long, value_name = "FILE")]
        token_file: Option<PathBuf>,
        /// The node's name, where it is not its host name
        #[arg(long, value_name = "NAME")]
        name: Option<String>,
    },
    /// Answer as a credential helper: get, store, erase, list or version
    #[command(after_help = examples::CREDENTIAL)]
    Credential {
        /// get, store, erase, list or version
        action: String,
    },
    /// Print the reference by digest that this node gets; exit 3 where nothing fits
    #[command(after_help = examples::RESOLVE)]
    Resolve {
        /// HOST/NAME:TAG
        image: String,
    },
    /// Run a client with digests in the place of HOST/NAME:TAG
    #[command(after_help = examples::EXEC)]
    Exec {
        /// CLIENT ARGS...
        #[arg(last = true, required = true)]
        command: Vec<OsString>,
    },
    /// Print which image a Slurm job names, and the constraint of the nodes that can run it
    #[command(after_help = examples::SLURM)]
    Slurm {
        /// Words of the job's command line
        words: Vec<String>,
    },
    /// Import images for pyxis: get URI prints the path of a squashfs, release removes it
    #[command(after_help = examples::IMPORTER)]
    Importer {
        /// get or release
        action: String,
        /// docker://HOST/NAME:TAG, or docker://HOST#NAME:TAG
        uri: Option<String>,
    },
    /// Answer the kubelet as a credential provider
    #[command(after_help = examples::KUBELET)]
    Kubelet,
    /// Configure clients, or take that back
    #[command(after_help = examples::SETUP)]
    Setup(SetupArgs),
    /// Say what stands between this node and its images, and what to do
    #[command(after_help = examples::DOCTOR)]
    Doctor {
        /// Images to resolve, as HOST/NAME:TAG
        images: Vec<String>,
    },
    /// Print a completion script for a shell
    #[command(after_help = examples::COMPLETIONS)]
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Print the manual page, or write one per command into a folder
    #[command(after_help = examples::MAN)]
    Man {
        /// The folder to write into
        #[arg(long, value_name = "FOLDER", value_hint = ValueHint::DirPath)]
        out: Option<PathBuf>,
    },
}

#[derive(Debug, Args)]
pub(super) struct DetectArgs {
    /// How to print it
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(super) format: Format,
    /// Also say how the CPU target was chosen, and which missing flags were forgiven
    #[arg(long)]
    pub(super) why: bool,
    /// Read files below this folder; no tools are run then
    #[arg(long, value_name = "DIR", default_value = "/")]
    pub(super) root: PathBuf,
    /// Read this file in place of /proc/cpuinfo
    #[arg(long, value_name = "FILE")]
    pub(super) cpuinfo: Option<PathBuf>,
}

/// How `detect` prints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// For people.
    Text,
    /// For programs.
    Json,
    /// For Node Feature Discovery's features.d.
    Nfd,
    /// For slurm.conf.
    Slurm,
    /// For Flux's configuration of resources.
    Flux,
}

#[derive(Debug, Args)]
pub(super) struct SetupArgs {
    /// The clients; with --all those that are installed
    #[arg(value_parser = setup::parser(), required_unless_present = "all", conflicts_with = "all")]
    pub(super) clients: Vec<Named>,
    /// Every client that is installed here
    #[arg(long)]
    pub(super) all: bool,
    /// The MetaHub, as NAME or NAME:PORT
    #[arg(long, value_name = "HOST")]
    pub(super) registry: String,
    /// For all users of this machine
    #[arg(long, conflicts_with = "user")]
    pub(super) system: bool,
    /// For the caller
    #[arg(long)]
    pub(super) user: bool,
    /// Print the files and write nothing
    #[arg(long)]
    pub(super) print: bool,
    /// Take it back
    #[arg(long)]
    pub(super) undo: bool,
    /// Write system-wide files below this folder, as for an image of a node
    #[arg(long, value_name = "DIR", default_value = "/", requires = "system")]
    pub(super) root: PathBuf,
    /// The version of Slurm, where its programs are not to be asked
    #[arg(long, value_name = "VERSION")]
    pub(super) slurm_version: Option<String>,
}
