//! The request, the plan and the errors of a setup. Nothing is written here.

use std::path::{Path, PathBuf};

use crate::logins::{Logins, LoginsError};
use crate::policy::{Environment, Policy};

/// A client that can be set up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Client {
    /// Docker's command line.
    Docker,
    /// Podman, Skopeo, Buildah and CRI-O.
    Podman,
    /// containerd, for Kubernetes and `ctr`.
    Containerd,
    /// Apptainer and Singularity.
    Apptainer,
    /// Slurm.
    Slurm,
}

impl Client {
    /// All of them.
    pub const ALL: &'static [Self] = &[
        Self::Docker,
        Self::Podman,
        Self::Containerd,
        Self::Apptainer,
        Self::Slurm,
    ];

    /// If one of these programs exists, the client is installed.
    pub(super) fn programs(self) -> &'static [&'static str] {
        match self {
            Self::Docker => &["docker"],
            Self::Podman => &["podman", "skopeo", "buildah", "crio"],
            Self::Containerd => &["containerd"],
            Self::Apptainer => &["apptainer", "singularity"],
            // Only an administrator sets it up, by editing slurm.conf.
            Self::Slurm => &[],
        }
    }

    /// The default scope.
    pub(super) fn usual_scope(self, is_root: bool) -> Scope {
        match self {
            Self::Docker | Self::Apptainer => Scope::User,
            Self::Podman if !is_root => Scope::User,
            Self::Podman | Self::Containerd | Self::Slurm => Scope::System,
        }
    }
}

/// The users that a client is set up for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// All users of this machine.
    System,
    /// The caller.
    User,
}

/// The action.
#[derive(Clone, Debug)]
pub struct Request {
    /// The clients; those that are installed where none is named.
    pub clients: Vec<Client>,
    /// The MetaHub.
    pub registry: String,
    /// The scope; each client's default without it.
    pub scope: Option<Scope>,
    /// Show and write nothing.
    pub print: bool,
    /// Take it back.
    pub undo: bool,
    /// The folder used as `/` for system-wide files: that of a node image being built, for example.
    pub root: PathBuf,
    /// The version of Slurm, where it is not to be asked.
    pub slurm_version: Option<String>,
}

/// What a client's plan is made from.
pub(super) struct Context<'a> {
    pub(super) host: &'a str,
    pub(super) undo: bool,
    pub(super) scope: Scope,
    pub(super) root: &'a Path,
    pub(super) environment: Environment<'a>,
    pub(super) policy: &'a Policy,
    /// The user's own logins as they are.
    pub(super) logins: &'a Logins,
    /// This node's login at the registry.
    pub(super) node: Option<&'a str>,
    /// The version of Slurm, where it is not to be asked.
    pub(super) slurm_version: Option<&'a str>,
}

impl Context<'_> {
    /// A system-wide file.
    pub(super) fn system(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    /// A folder or file that a variable names.
    pub(super) fn variable(&self, name: &str) -> Option<PathBuf> {
        let value = (self.environment)(name).filter(|value| !value.is_empty())?;
        Some(PathBuf::from(value))
    }

    pub(super) fn home(&self) -> Result<PathBuf, SetupError> {
        self.variable("HOME").ok_or(SetupError::NoHome)
    }
}

/// One file as it is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) path: PathBuf,
    /// `None` where there is none.
    pub(super) before: Option<Vec<u8>>,
    /// `None` where it is to go.
    pub(super) after: Option<Vec<u8>>,
    /// Of a new file.
    pub(super) mode: u32,
}

/// What one client needs.
#[derive(Clone, Debug, Default)]
pub(super) struct Plan {
    pub(super) changes: Vec<Change>,
    /// The user's logins and former helpers as they are to be.
    pub(super) logins: Option<Logins>,
    /// What people should know.
    pub(super) notes: Vec<String>,
    /// Whether the files name the helper.
    pub(super) uses_helper: bool,
}

/// Why a client cannot be set up. Nothing was written then.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// The registry's name.
    #[error("'{0}' is no registry: expected NAME or NAME:PORT, as in hub.example:5000")]
    Registry(String),
    /// No client.
    #[error(
        "name a client (docker, podman, containerd, apptainer, slurm): none of them is installed here"
    )]
    NoClient,
    /// A user without a home.
    #[error("there is no home folder: set HOME, or set clients up with --system")]
    NoHome,
    /// The client cannot be set up so.
    #[error("{0}")]
    Scope(&'static str),
    /// Slurm cannot be set up so.
    #[error("{0}")]
    Slurm(String),
    /// A file that is there is not what its client reads.
    #[error("{file} cannot be read as {form}: {problem}; nothing was written", file = .file.display())]
    Malformed {
        /// The file.
        file: PathBuf,
        /// JSON, TOML.
        form: &'static str,
        /// What is wrong.
        problem: String,
    },
    /// A file cannot be read or written.
    #[error("{file}: {problem}; what was there before is there again", file = .file.display())]
    Io {
        /// The file.
        file: PathBuf,
        /// Why not.
        problem: std::io::Error,
    },
    /// The helper would not be found.
    #[error(
        "{0} is not on PATH, so clients would not find the helper there: add it to PATH, or set \
         up as root with --system; nothing was written"
    )]
    Path(PathBuf),
    /// The policy.
    #[error("{0}")]
    Policy(String),
    /// The user's logins.
    #[error(transparent)]
    Logins(#[from] LoginsError),
}

/// Reads a file that may not be there.
pub(super) fn existing(path: &Path) -> Result<Option<Vec<u8>>, SetupError> {
    match crate::trusted::read_any(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error)
            if matches!(
                error.kind(),
                std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory
            ) =>
        {
            Ok(None)
        }
        Err(problem) => Err(SetupError::Io {
            file: path.to_owned(),
            problem,
        }),
    }
}

pub(super) fn existing_text(path: &Path, form: &'static str) -> Result<Option<String>, SetupError> {
    let bytes = existing(path)?;
    let malformed = |error: std::string::FromUtf8Error| SetupError::Malformed {
        file: path.to_owned(),
        form,
        problem: error.to_string(),
    };
    bytes.map(String::from_utf8).transpose().map_err(malformed)
}
