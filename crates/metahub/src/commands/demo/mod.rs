//! `metahub demo`: a whole MetaHub on loopback, filled with images made in process, that shows what
//! each login gets and how to try it. Contacts no upstream and needs no other program.

mod pull;

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use clap::{Args, ValueHint};
use comfy_table::{Cell, Table};
use metahub_catalog::Catalog;
use metahub_demo::{DemoImage, FEATURETEST, GROMACS, LOGINS};
use metahub_oci::{Digest, ImageReference, Platform, RepositoryName};
use metahub_registry::Registry;
use metahub_store::{Mode, Store};
use miette::{IntoDiagnostic as _, WrapErr as _, bail};
use tokio::sync::{oneshot, watch};
use url::Url;

use self::pull::Pulled;
use crate::app::{self, App};
use crate::config::Config;
use crate::exit;
use crate::exit::Exit;
use crate::output;
use crate::signals::Stop;
use metahub_client::session::{Client, Login, SessionError};

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

/// The address to try first, which documentation and muscle memory name.
const USUAL: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 5000);
const ANY_PORT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
/// A misspelled profile.
const MISSPELT: &str = "zen33";

pub(crate) async fn run(args: DemoArgs) -> miette::Result<Exit> {
    let images = metahub_demo::images().into_diagnostic()?;
    let app = assemble(&args).await?;
    fill(app.registry(), &images)
        .await
        .wrap_err("the demo images cannot be stored")?;
    // From here on a signal ends the server rather than the process.
    let stop = Stop::listen()?;
    let server = match (args.listen, args.check) {
        (Some(address), _) => app::bind(address).await?,
        (None, true) => app::bind(ANY_PORT).await?,
        (None, false) => match app::bind(USUAL).await {
            Ok(server) => server,
            Err(_) => app::bind(ANY_PORT).await?,
        },
    };
    let address = server.address();
    let (end, ended) = oneshot::channel::<()>();
    let ended = async move {
        // Sent or dropped: either way it is time to stop.
        let _ = ended.await;
    };
    let serving = tokio::spawn(app.serve(server, ended, stop.clone().told_again()));
    let all_well = show(address, &images).await?;
    if !args.check {
        invite(address)?;
        stop.told().await;
    }
    drop(end);
    serving.await.into_diagnostic()?;
    Ok(if all_well { Exit::Ok } else { Exit::Failure })
}

async fn assemble(args: &DemoArgs) -> miette::Result<App> {
    let loaded = Catalog::from_documents(&metahub_demo::catalog());
    if let Some(problem) = loaded.problems.first() {
        bail!("the demo catalog is wrong: {problem}");
    }
    let store = match &args.data {
        Some(folder) => Store::open(folder, Mode::Serve).await,
        None => Store::temporary().await,
    }
    .into_diagnostic()
    .wrap_err("the demo's data folder cannot be opened")?;
    let mut config = Config::default();
    config.upstreams.upstreams.clear();
    config.upstreams.offline = true;
    let (_, catalog) = watch::channel(Arc::new(loaded.catalog));
    App::new(store, catalog, &config).await
}

async fn fill(registry: &Registry, images: &[DemoImage]) -> miette::Result<()> {
    for image in images {
        let name = &image.repository;
        for (digest, bytes) in &image.blobs {
            registry
                .store()
                .put_blob(name, digest, bytes.clone())
                .await
                .into_diagnostic()?;
        }
        for document in &image.documents {
            let reference = image.reference_of(document);
            let bytes = document.bytes().clone();
            registry
                .operator()
                .push(name)
                .into_diagnostic()?
                .push_manifest(&reference, Some(document.media_type()), bytes, Vec::new())
                .await
                .into_diagnostic()?;
        }
    }
    Ok(())
}

/// Pulls under every demo login, prints the table, and returns whether all got what they should.
async fn show(address: SocketAddr, images: &[DemoImage]) -> miette::Result<bool> {
    let server: Url = format!("http://{address}").parse().into_diagnostic()?;
    let pushed: HashMap<String, Digest> = images
        .iter()
        .filter_map(|image| {
            let root = image.root()?.digest().clone();
            Some((format!("{}:{}", image.repository, image.tag), root))
        })
        .collect();
    let mut table = output::table(&["LOGIN", "IMAGE", "DIGEST", "TARGET", "CHECK", "WHY"]);
    let mut failed = 0;
    for login in &LOGINS {
        let client = client(&server, login.login).into_diagnostic()?;
        let platform = Platform::new("linux", login.architecture);
        for (image, expected) in [(FEATURETEST, login.featuretest), (GROMACS, login.gromacs)] {
            let reference: ImageReference = image.parse().into_diagnostic()?;
            let pulled =
                pull::pull(&client, &reference, &platform, expected, pushed.get(image)).await;
            failed += usize::from(pulled.problem.is_some());
            add_row(&mut table, login.login, image, &pulled);
        }
    }
    let refusal = refused(&server).await?;
    failed += usize::from(refusal.problem.is_some());
    add_row(&mut table, MISSPELT, FEATURETEST, &refusal);
    output::print_table(&mut table)?;
    output::line(if failed > 0 {
        output::bad(&format!("\n{failed} of these are not as they should be"))
    } else {
        format!(
            "\n{} logins asked for the same two tags, and each got what its hardware runs best. All \
             content was verified by its digest.",
            LOGINS.len()
        )
    })?;
    Ok(failed == 0)
}

fn client(server: &Url, login: &str) -> Result<Client, SessionError> {
    // Public profiles take any password.
    let login = (!login.is_empty()).then(|| Login {
        name: login.to_owned(),
        password: "any".to_owned(),
    });
    Client::new(server.clone(), login)
}

/// Logs in under a misspelled name: refused, with a suggestion.
async fn refused(server: &Url) -> miette::Result<Pulled> {
    let name: RepositoryName = FEATURETEST
        .parse::<ImageReference>()
        .into_diagnostic()?
        .name()
        .clone();
    let client = client(server, MISSPELT).into_diagnostic()?;
    let (target, why, problem) = match client.open(&name).await {
        Err(SessionError::Refused {
            status, message, ..
        }) if status.as_u16() == 401 => {
            let near = message.contains("zen3");
            let problem = (!near).then(|| "expected a hint at zen3".to_owned());
            ("login refused", message, problem)
        }
        Err(error) => ("-", String::new(), Some(error.to_string())),
        Ok(_) => ("-", String::new(), Some("expected a refusal".to_owned())),
    };
    Ok(Pulled {
        digest: None,
        target: target.to_owned(),
        why,
        problem,
    })
}

fn add_row(table: &mut Table, login: &str, image: &str, pulled: &Pulled) {
    let digest = pulled.digest.as_ref().map_or("-", Digest::short);
    let (verdict, why) = match &pulled.problem {
        None => (output::verdict(true, "ok"), &pulled.why),
        Some(problem) => (output::verdict(false, "failed"), problem),
    };
    let login = if login.is_empty() { "(none)" } else { login };
    table.add_row([
        Cell::new(login),
        Cell::new(image),
        Cell::new(digest),
        Cell::new(&pulled.target),
        verdict,
        Cell::new(why),
    ]);
}

/// Prints commands to try.
fn invite(address: SocketAddr) -> miette::Result<()> {
    let image = format!("{address}/{FEATURETEST}");
    output::line(format!(
        "\n{}\n\n  {}",
        output::heading("Try it with docker, podman or any other client; any password will do:"),
        [
            format!("docker login {address} -u cascadeLake -p any"),
            format!("docker run --rm --pull=always {image}"),
            format!("docker login {address} -u zen3 -p any"),
            format!("docker run --rm --pull=always {image}"),
            format!("docker login {address} -u aws/cli -p any"),
            format!("docker run --rm --pull=always {image} aws --version"),
            format!("docker run --rm --pull=always {address}/{GROMACS}"),
            format!(
                "metahub resolve {FEATURETEST} --as cpu=icelake --explain --server http://{address}"
            ),
        ]
        .join("\n  ")
    ))?;
    output::line(
        "\nWithout --pull=always docker runs what it has under the tag, which is what the login before \
         got. DIGEST above begins as docker prints it.",
    )?;
    output::line(format!("\nMetaHub listens on {address}; Ctrl-C ends it."))
}
