//! MetaHub with an account, as the profile `dist` builds it. It is measured with the token that
//! it wants for every request, and without its log of requests, which no other server here
//! writes either.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use metahub_e2e::daemon::Daemon;
use metahub_e2e::metahub::{PROGRAM, listening};
use miette::{IntoDiagnostic as _, Result, WrapErr as _, ensure, miette};

use super::{Kind, Peer, Place, daemon, write};
use crate::certificate::Certificate;

/// An account that may push anywhere.
const LOGIN: (&str, &str) = ("compare", "only-on-this-loopback");

/// What is not the default: no network beyond this machine, and tokens that outlive a round.
const CONFIG: &str = "token_lifetime: 12h\nallow_any_host: false\n";
const ALONE: &str = "offline: true\nupstreams: []\n";

/// `target/dist/metahub` beside this very program, built first if it is absent; or what
/// `METAHUB_BIN` names.
pub(super) fn program() -> Result<PathBuf> {
    if let Some(given) = std::env::var_os(PROGRAM) {
        return Ok(PathBuf::from(given));
    }
    let target = crate::target_folder()?;
    let program = target.join("dist/metahub");
    if !program.exists() {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let built = Command::new(cargo)
            .args([
                "build",
                "--profile",
                "dist",
                "--package",
                "metahub",
                "--target-dir",
            ])
            .arg(&target)
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .stdout(Stdio::null())
            .status()
            .into_diagnostic()
            .wrap_err("cargo build --profile dist --package metahub")?;
        ensure!(
            built.success(),
            "cargo build --profile dist --package metahub: {built}"
        );
    }
    Ok(program)
}

/// Starts a build of it, `kind`.
pub(super) fn start(kind: Kind, program: &Path, place: Place<'_>) -> Result<Peer> {
    let (daemon, host) = serve(program, place, "metahub.yaml", ALONE)?;
    Ok(peer(kind, place, daemon, host, None))
}

/// Starts it with the documents of a folder.
pub(super) fn start_with_documents(
    program: &Path,
    place: Place<'_>,
    catalog: Option<&Path>,
) -> Result<Peer> {
    let catalog = catalog.map(|folder| format!("catalog: ['{}']\n", folder.display()));
    let settings = format!("{ALONE}{}", catalog.unwrap_or_default());
    let (daemon, host) = serve(program, place, "metahub.yaml", &settings)?;
    Ok(peer(Kind::MetaHub, place, daemon, host, None))
}

/// Starts it with `inspection` set, and no bound on how fast it reads.
pub(super) fn start_inspecting(program: &Path, place: Place<'_>, mode: &str) -> Result<Peer> {
    let settings = format!("{ALONE}inspection: {mode}\ninspection_rate: 64 GiB\n");
    let (daemon, host) = serve(program, place, "metahub.yaml", &settings)?;
    Ok(peer(Kind::MetaHub, place, daemon, host, None))
}

/// Starts it with one upstream, from which all comes that is not here.
pub(super) fn start_proxy(
    kind: Kind,
    program: &Path,
    place: Place<'_>,
    upstream: &str,
) -> Result<Peer> {
    let settings = format!(
        "upstreams:\n  - {{host: upstream.test, url: 'http://{upstream}', default: true, \
         plain_http: true}}\n"
    );
    let (daemon, host) = serve(program, place, "metahub-proxy.yaml", &settings)?;
    Ok(peer(kind, place, daemon, host, None))
}

/// Starts it with a listener that speaks nothing but TLS.
pub(super) fn start_secured(
    program: &Path,
    place: Place<'_>,
    certificate: &Certificate,
) -> Result<Peer> {
    let settings = format!(
        "{ALONE}tls:\n  certificate: {}\n  key: {}\n",
        certificate.file.display(),
        certificate.key.display()
    );
    let (daemon, host) = serve(program, place, "metahub-tls.yaml", &settings)?;
    Ok(peer(Kind::MetaHub, place, daemon, host.clone(), Some(host)))
}

fn peer(kind: Kind, place: Place<'_>, daemon: Daemon, host: String, tls: Option<String>) -> Peer {
    Peer {
        kind,
        host,
        tls,
        tuned: None,
        content: place.folder.join("data"),
        daemons: vec![daemon],
        login: Some(LOGIN),
    }
}

fn serve(program: &Path, place: Place<'_>, name: &str, settings: &str) -> Result<(Daemon, String)> {
    let config = place.folder.join(name);
    let data = place.folder.join("data");
    write(&config, &format!("{CONFIG}{settings}"))?;
    if !data.exists() {
        add_account(program, &config, &data)?;
    }
    let mut daemon = daemon("metahub", place, program, |command| {
        command
            .args(["serve", "--listen", "127.0.0.1:0", "--config"])
            .arg(&config)
            .arg("--data")
            .arg(&data)
            .env("METAHUB_LOG", "warn")
    });
    let host = listening(&mut daemon);
    Ok((daemon, host))
}

fn add_account(program: &Path, config: &Path, data: &Path) -> Result<()> {
    let mut child = Command::new(program)
        .args([
            "account",
            "add",
            LOGIN.0,
            "--role",
            "admin",
            "--password-stdin",
            "--config",
        ])
        .arg(config)
        .arg("--data")
        .arg(data)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .into_diagnostic()?;
    if let Some(mut pipe) = child.stdin.take() {
        pipe.write_all(LOGIN.1.as_bytes()).into_diagnostic()?;
    }
    let said = child.wait_with_output().into_diagnostic()?;
    if said.status.success() {
        return Ok(());
    }
    Err(miette!(
        "metahub account add: {}",
        String::from_utf8_lossy(&said.stderr)
    ))
}
