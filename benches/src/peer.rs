//! A server under measurement: started on the servers' core, asked for what it costs, ended with
//! the comparison. Each kind of server has a file of its own here.
//!
//! All servers answer the same paths, so that one load fits them all.

use std::net::TcpListener;
use std::path::{Path, PathBuf};

use clap::ValueEnum;
use metahub_e2e::daemon::Daemon;
use metahub_e2e::http::basic;
use metahub_e2e::process::Cmd;
use miette::{IntoDiagnostic as _, Result, WrapErr as _, miette};

use crate::certificate::Certificate;
use crate::client::{Body, Client};
use crate::pin::Cores;
use crate::usage::{self, Memory};

mod angos;
mod docker_registry;
mod metahub;
mod nginx;
mod zot;

/// What to start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    /// The build of this workspace that is shipped
    #[value(name = "metahub")]
    MetaHub,
    /// Another build of MetaHub, as `--before` names it
    #[value(name = "before")]
    Before,
    /// Debian's docker-registry
    DockerRegistry,
    /// zot
    Zot,
    /// zot, syncing what it stores before it answers
    ZotSynced,
    /// Angos
    Angos,
    /// nginx serving files: the limit of what a server can do, and no registry
    Nginx,
}

/// Where and how to start it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place<'a> {
    /// `None` on a machine of one core.
    pub(crate) cores: Option<Cores>,
    /// An existing folder of its own.
    pub(crate) folder: &'a Path,
    /// Without it, there is no second listener with TLS.
    pub(crate) certificate: Option<&'a Certificate>,
}

/// A running server.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) kind: Kind,
    /// `127.0.0.1:PORT`, plain HTTP.
    pub(crate) host: String,
    /// `127.0.0.1:PORT`, TLS; nothing if it has none.
    pub(crate) tls: Option<String>,
    /// `127.0.0.1:PORT` of the same server with settings of its own that make it faster, and what
    /// they are.
    pub(crate) tuned: Option<(&'static str, String)>,
    /// The folder under which it keeps content.
    pub(crate) content: PathBuf,
    daemons: Vec<Daemon>,
    /// User name and password, where it wants a login.
    login: Option<(&'static str, &'static str)>,
}

impl Kind {
    pub(crate) const ALL: [Self; 7] = [
        Self::MetaHub,
        Self::Before,
        Self::DockerRegistry,
        Self::Zot,
        Self::ZotSynced,
        Self::Angos,
        Self::Nginx,
    ];

    /// Those that take pushes.
    pub(crate) const REGISTRIES: [Self; 6] = [
        Self::MetaHub,
        Self::Before,
        Self::DockerRegistry,
        Self::Zot,
        Self::ZotSynced,
        Self::Angos,
    ];

    /// Whether it is a build of MetaHub.
    pub(crate) const fn is_ours(self) -> bool {
        matches!(self, Self::MetaHub | Self::Before)
    }

    /// Its name in the report.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::MetaHub => "MetaHub",
            Self::Before => "MetaHub before",
            Self::DockerRegistry => "docker-registry",
            Self::Zot => "zot",
            Self::ZotSynced => "zot, synced",
            Self::Angos => "angos",
            Self::Nginx => "nginx",
        }
    }

    /// The program, and nothing if it is not installed. `before`: the other build of MetaHub.
    pub(crate) fn program(self, before: Option<&Path>) -> Result<Option<PathBuf>> {
        match self {
            Self::MetaHub => metahub::program().map(Some),
            Self::Before => Ok(before.map(Path::to_path_buf)),
            Self::DockerRegistry => Ok(find("docker-registry")),
            Self::Zot | Self::ZotSynced => Ok(find("zot")),
            Self::Angos => Ok(find("angos")),
            Self::Nginx => Ok(find("nginx")),
        }
    }

    /// What the program says of its version.
    pub(crate) fn version(self, program: &Path) -> String {
        let flag = if self == Self::Nginx {
            "-v"
        } else {
            "--version"
        };
        let said = std::process::Command::new(program).arg(flag).output();
        let said = said
            .map(|said| [said.stdout, said.stderr].concat())
            .unwrap_or_default();
        let line = String::from_utf8_lossy(&said);
        line.lines()
            .next()
            .unwrap_or("of an unknown version")
            .to_owned()
    }

    /// Starts it.
    pub(crate) fn start(self, program: &Path, place: Place<'_>) -> Result<Peer> {
        match self {
            Self::MetaHub | Self::Before => metahub::start(self, program, place),
            Self::DockerRegistry => docker_registry::start(program, place),
            Self::Zot | Self::ZotSynced => zot::start(self, program, place),
            Self::Angos => angos::start(program, place),
            Self::Nginx => nginx::start(program, place),
        }
        .wrap_err_with(|| format!("starting {}", self.name()))
    }
}

impl Kind {
    /// Starts it as a proxy of the registry at `upstream`; nothing for what is none.
    pub(crate) fn start_proxy(
        self,
        program: &Path,
        place: Place<'_>,
        upstream: &str,
    ) -> Result<Option<Peer>> {
        match self {
            Self::MetaHub | Self::Before => metahub::start_proxy(self, program, place, upstream),
            Self::DockerRegistry => docker_registry::start_proxy(program, place, upstream),
            Self::Zot => zot::start_proxy(program, place, upstream),
            Self::ZotSynced | Self::Angos | Self::Nginx => return Ok(None),
        }
        .map(Some)
        .wrap_err_with(|| format!("starting {} as a proxy", self.name()))
    }
}

impl Peer {
    /// Starts a MetaHub whose one listener speaks TLS. Others speak it on a second listener.
    pub(crate) fn start_secured(
        program: &Path,
        place: Place<'_>,
        certificate: &Certificate,
    ) -> Result<Self> {
        metahub::start_secured(program, place, certificate).wrap_err("starting MetaHub with TLS")
    }

    /// Starts a MetaHub with the documents of a folder.
    pub(crate) fn start_with_documents(
        program: &Path,
        place: Place<'_>,
        catalog: Option<&Path>,
    ) -> Result<Self> {
        metahub::start_with_documents(program, place, catalog)
            .wrap_err("starting MetaHub with documents")
    }

    /// Starts a MetaHub that inspects as `mode` says.
    pub(crate) fn start_inspecting(program: &Path, place: Place<'_>, mode: &str) -> Result<Self> {
        metahub::start_inspecting(program, place, mode).wrap_err("starting MetaHub that inspects")
    }

    /// Its name in the report.
    pub(crate) fn name(&self) -> &'static str {
        self.kind.name()
    }

    /// What it is.
    pub(crate) fn kind(&self) -> Kind {
        self.kind
    }

    /// User name and password, where it wants them.
    pub(crate) fn login(&self) -> Option<(&'static str, &'static str)> {
        self.login
    }

    /// Whether it takes pushes.
    pub(crate) fn is_registry(&self) -> bool {
        self.kind != Kind::Nginx
    }

    /// `Authorization` for pulls from and pushes to a repository, as a client gets it: a token
    /// for a login. Nothing if the server wants none.
    pub(crate) fn token(&self, repository: &str) -> Result<Option<String>> {
        self.token_under(repository, None)
    }

    /// The same for a login with a profile.
    pub(crate) fn token_under(
        &self,
        repository: &str,
        profile: Option<&str>,
    ) -> Result<Option<String>> {
        let Some((user, password)) = self.login else {
            return Ok(None);
        };
        let login = match profile {
            Some(profile) => basic(&format!("{user}/{profile}"), password),
            None => basic(user, password),
        };
        let mut client = Client::connect(&self.host, Some(login))?;
        let scope = format!("repository:{repository}:pull,push");
        let said = client.text(&format!("/token?service=compare&scope={scope}"))?;
        let said: serde_json::Value = serde_json::from_str(&said).into_diagnostic()?;
        let token = said.get("token").and_then(serde_json::Value::as_str);
        let token = token.ok_or_else(|| miette!("{} gave no token", self.name()))?;
        Ok(Some(format!("Bearer {token}")))
    }

    /// `Authorization` with user name and password. Nothing if the server wants none.
    pub(crate) fn basic(&self) -> Option<String> {
        self.login.map(|(user, password)| basic(user, password))
    }

    /// A connection with a token for a repository.
    pub(crate) fn connect(&self, repository: &str) -> Result<Client> {
        Client::connect(&self.host, self.token(repository)?)
    }

    /// Makes a manifest that it can serve under a tag, with a config and layers it already has.
    pub(crate) fn put_manifest(
        &self,
        client: &mut Client,
        repository: &str,
        tag: &str,
        manifest: &[u8],
    ) -> Result<()> {
        let body = Body::Bytes(metahub_e2e::pusher::MANIFEST, manifest);
        client.ask(
            "PUT",
            &format!("/v2/{repository}/manifests/{tag}"),
            body,
            201,
        )?;
        Ok(())
    }

    /// The server's processes.
    pub(crate) fn processes(&self) -> Result<Vec<u32>> {
        let families = self.daemons.iter().map(|daemon| usage::family(daemon.id()));
        let families = families.collect::<Result<Vec<_>>>()?;
        Ok(families.concat())
    }

    /// Processor seconds so far.
    pub(crate) fn cpu(&self) -> Result<f64> {
        self.sum(usage::cpu_seconds)
    }

    /// Bytes read from disks so far.
    pub(crate) fn read_from_disk(&self) -> Result<f64> {
        self.sum(|process| Ok(crate::hammer::bytes(usage::read_from_disk(process)?)))
    }

    /// Memory now.
    pub(crate) fn memory(&self) -> Result<Memory> {
        self.daemons.first().map_or_else(
            || Err(miette!("{} does not run", self.name())),
            |daemon| usage::memory(daemon.id()),
        )
    }

    /// Begins a new peak of memory.
    pub(crate) fn forget_peak(&self) -> Result<()> {
        self.daemons
            .iter()
            .try_for_each(|daemon| usage::forget_peak(daemon.id()))
    }

    fn sum(&self, of: impl Fn(u32) -> Result<f64>) -> Result<f64> {
        self.daemons.iter().map(|daemon| of(daemon.id())).sum()
    }
}

/// Where a program is: in `PATH`, or where Go installs.
fn find(program: &str) -> Option<PathBuf> {
    metahub_e2e::require::find(program).or_else(|| {
        let folder = std::env::var_os("GOBIN").map(PathBuf::from).or_else(|| {
            let go = std::env::var_os("GOPATH").map(PathBuf::from);
            let go = go.or_else(|| Some(Path::new(&std::env::var_os("HOME")?).join("go")))?;
            Some(go.join("bin"))
        })?;
        Some(folder.join(program)).filter(|file| file.is_file())
    })
}

/// Starts a program on the servers' core.
fn daemon(name: &str, place: Place<'_>, program: &Path, args: impl FnOnce(Cmd) -> Cmd) -> Daemon {
    let command = match place.cores {
        Some(cores) => {
            let core = cores.server.to_string();
            Cmd::new("taskset").args(["--cpu-list", &core]).arg(program)
        }
        None => Cmd::new(program),
    };
    Daemon::start(
        name,
        &args(command).env("NO_COLOR", "1").env_clear_of_proxies(),
    )
}

/// A port that nobody listens on.
fn free_port() -> Result<u16> {
    let listener = TcpListener::bind("127.0.0.1:0").into_diagnostic()?;
    Ok(listener.local_addr().into_diagnostic()?.port())
}

/// Whether somebody accepts connections there.
fn listens(host: &str) -> bool {
    std::net::TcpStream::connect(host).is_ok()
}

fn write(file: &Path, text: &str) -> Result<()> {
    std::fs::write(file, text)
        .into_diagnostic()
        .wrap_err_with(|| file.display().to_string())
}
