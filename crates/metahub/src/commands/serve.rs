//! `metahub serve`: the registry, until it is asked to shut down.

use std::net::SocketAddr;

use clap::{Args, ValueHint};
use metahub_auth::AnonymousAccess;
use metahub_catalog::Catalog;
use metahub_operations::{Curation, api_documents};
use metahub_store::{Mode, Options, Store, StoreError};
use miette::IntoDiagnostic as _;

use crate::app::{self, App};
use crate::args::{SettingsArgs, graph, load_config};
use crate::bounds;
use crate::certificate::Certificate;
use crate::commands::config::variables;
use crate::config::{CatalogEntry, Config, Layer, misspelt};
use crate::control;
use crate::data;
use crate::demand;
use crate::descriptors;
use crate::documents::Documents;
use crate::exit::Exit;
use crate::follow;
use crate::output;
use crate::reload;
use crate::schedule;
use crate::signals::{Hangup, Stop};
use crate::sources::{Sources, Texts, texts_of};
use crate::sweep;
use crate::warm;

#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    #[command(flatten)]
    pub(crate) settings: SettingsArgs,
    /// Address and port to listen on; port 0 takes a free one [env: METAHUB_LISTEN] [default:
    /// 127.0.0.1:5000]
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) listen: Option<SocketAddr>,
    /// Profile and collection documents: a file, a folder, or
    /// oci://HOST/NAME:TAG to follow; may be repeated [env: METAHUB_CATALOG]
    #[arg(long, value_name = "PATH", value_hint = ValueHint::AnyPath)]
    pub(crate) catalog: Vec<CatalogEntry>,
    /// What everybody may do without an account: none, read or write [env: METAHUB_ANONYMOUS]
    /// [default: read]
    #[arg(long, value_name = "ACCESS")]
    pub(crate) anonymous: Option<AnonymousAccess>,
}

pub(crate) async fn run(args: ServeArgs) -> miette::Result<Exit> {
    let flags = Layer {
        listen: args.listen,
        catalog: (!args.catalog.is_empty()).then_some(args.catalog),
        anonymous: args.anonymous,
        ..Layer::default()
    };
    let config = load_config(&args.settings, flags)?;
    let sources = Sources::of(&config, &config.data)?;
    let api = sources.add(Texts::default());
    let mut followers = follow::prepare(&config, &sources)?;
    follow::first_look(&mut followers).await;
    let mut documents = Documents::read(sources)?;
    let in_force = documents.catalog();
    let certificate = config
        .tls
        .files()
        .as_ref()
        .map(Certificate::read)
        .transpose()?;
    descriptors::raise_limit(config.limits.connections);
    let options = Options {
        upload_idle: config.upload_idle,
        ..Options::default()
    };
    let store = Store::open_with(&config.data, Mode::Serve, options)
        .await
        .map_err(|error| data::failed(&config.data, &error))?;
    // From here on a signal ends the server rather than the process.
    let stop = Stop::listen()?;
    let tls = certificate.as_ref().map(Certificate::tls);
    let server = app::bind(config.listen).await?.with_tls(tls);
    let hangup = Hangup::listen()?;
    sweep::keep(store.clone(), config.upload_idle);
    let kept = api_documents(&store).await.into_diagnostic()?;
    if !kept.is_empty() {
        api.publish(texts_of(kept));
        documents.take_up();
    }
    let curation = Curation::new(
        store.clone(),
        graph(&config)?,
        documents.catalog(),
        Box::new(api),
    );
    let app = App::new(store, documents.catalog(), &config)
        .await?
        .with_curation(curation)
        .following(follow::keep(followers, &hangup, &in_force));
    if let Some(certificate) = certificate {
        reload::keep(certificate, config.reload_interval, hangup.clone());
    }
    reload::keep(documents, config.reload_interval, hangup);
    schedule::keep(app.registry(), &config.data, &config.upkeep);
    let _orders = control::listen(&config.data, app.registry().clone());
    bounds::keep(app.registry().clone(), &config.registry.cache);
    demand::keep(app.registry().clone());
    warm::keep(app.registry(), &config.warm);
    for (name, near) in misspelt(variables()) {
        tracing::warn!(
            variable = name,
            "no setting of this server: did you mean {near}?"
        );
    }
    greet(server.address(), &config, &app.registry().catalog())?;
    let again = stop.clone().told_again();
    let store = app.registry().store().clone();
    let stopped = async {
        tokio::select! {
            () = stop.told() => false,
            () = store.superseded() => true,
        }
    };
    let (says, superseded) = tokio::sync::oneshot::channel();
    let stopped = async {
        let _ = says.send(stopped.await);
    };
    let exit = app.serve(server, stopped, again).await;
    if superseded.await.unwrap_or(false) {
        return Err(data::failed(&config.data, &StoreError::Superseded));
    }
    tracing::info!("ended");
    Ok(exit)
}

/// Prints the address, the data folder, and what to do next.
fn greet(address: SocketAddr, config: &Config, catalog: &Catalog) -> miette::Result<()> {
    let data = std::path::absolute(&config.data).unwrap_or_else(|_| config.data.clone());
    let scheme = if config.tls.files().is_some() {
        "https"
    } else {
        "http"
    };
    output::line(format!(
        "MetaHub listens on {scheme}://{address}, data in {}",
        data.display()
    ))?;
    if scheme == "http" && is_public(address, config) {
        tracing::warn!(
            %address,
            "plain HTTP beyond this machine: passwords and tokens can be read on the way; set `tls`, \
             or `public_url: https://…` where a proxy speaks TLS"
        );
    }
    let upstreams = &config.upstreams;
    let hosts: Vec<&str> = upstreams
        .upstreams
        .iter()
        .map(|known| known.host.as_str())
        .collect();
    let hosts = match (upstreams.offline, hosts.is_empty()) {
        (true, _) => "none is asked (offline)".to_owned(),
        (false, true) => "none".to_owned(),
        (false, false) => hosts.join(", "),
    };
    let own = catalog
        .profiles()
        .filter(|profile| profile.location.is_some());
    // Clients take plain HTTP from the loopback only, and nobody connects to "all addresses".
    let host = match &config.public_url {
        Some(url) => url.host().to_string(),
        None if address.ip().is_unspecified() => format!("localhost:{}", address.port()),
        None => address.to_string(),
    };
    output::line(output::faint(&format!(
        "  version:                 {}\n  \
           upstreams:               {hosts}\n  \
           documents:               {} profiles and {} tags of collections\n  \
           log in under a profile:  docker login {host} -u zen3 -p any\n  \
           pull through it:         docker pull {host}/library/debian:stable-slim\n  \
           add an account to push:  metahub account add NAME --data {}\n  \
           check own documents:     metahub check FOLDER, then serve --catalog FOLDER",
        env!("CARGO_PKG_VERSION"),
        own.count(),
        catalog.collections().count(),
        data.display()
    )))
}

/// Whether clients of other machines reach it without TLS, as far as the configuration tells.
fn is_public(address: SocketAddr, config: &Config) -> bool {
    let proxied = config.public_url.as_ref();
    let proxied = proxied.is_some_and(|url| url.is_https());
    !address.ip().is_loopback() && !proxied
}
