//! Having an operation on a data folder carried out: by the server that runs on it, or here if
//! there is none. Shows how far it is on a terminal.

use std::io::IsTerminal as _;
use std::sync::Arc;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use metahub_catalog::Catalog;
use metahub_operations::{Operation, Progress, Request, Scrub, api_documents};
use metahub_store::{Mode, Options, Store, StoreError};
use miette::IntoDiagnostic as _;
use serde_json::Value;
use tokio::sync::watch;

use crate::app::App;
use crate::config::Config;
use crate::control;
use crate::data;
use crate::documents::Documents;
use crate::follow;
use crate::sources::{Sources, texts_of};

/// Has `operation` carried out; what it reports.
pub(crate) async fn done<O>(config: &Config, operation: O) -> miette::Result<O::Report>
where
    O: Operation + Into<Request>,
{
    let report = report(config, operation.into()).await?;
    serde_json::from_value(report).into_diagnostic()
}

async fn report(config: &Config, request: Request) -> miette::Result<Value> {
    if request.is_upkeep() {
        data::must_exist(&config.data)?;
    }
    let bar = match request {
        Request::Backup(_) => bytes_bar(0),
        _ => bar(),
    };
    let progress = on_bar(&bar);
    let options = Options {
        accept_loss: matches!(
            request,
            Request::Scrub(Scrub {
                accept_loss: true,
                ..
            })
        ),
        ..Options::default()
    };
    let report = match Store::open_with(&config.data, Mode::Serve, options).await {
        Ok(store) => {
            let report = here(&store, config, request, progress).await;
            store.close().await;
            report
        }
        Err(StoreError::InUse(_)) => control::send(&config.data, &request, progress).await,
        Err(error) => Err(data::failed(&config.data, &error)),
    };
    bar.finish_and_clear();
    report
}

async fn here(
    store: &Store,
    config: &Config,
    request: Request,
    progress: impl FnMut(Progress) + Send + Sync,
) -> miette::Result<Value> {
    let documents = if request.is_upkeep() {
        None
    } else {
        let sources = Sources::of(config, store.folder())?;
        let kept = api_documents(store).await.into_diagnostic()?;
        sources.add(texts_of(kept));
        follow::stored(config, &sources)?;
        Some(Documents::read(sources)?)
    };
    let (_builtin, builtin) = watch::channel(Arc::new(Catalog::builtin()));
    let catalog = documents.as_ref().map_or(builtin, Documents::catalog);
    let app = App::new(store.clone(), catalog, config).await?;
    Ok(request.carry_out(app.registry(), progress).await?)
}

/// A bar that counts what is done.
pub(crate) fn bar() -> ProgressBar {
    shown(0, "{bar:40} {pos}/{len} {msg} {elapsed} left {eta}")
}

/// Shows progress on `bar`.
pub(crate) fn on_bar(bar: &ProgressBar) -> impl Fn(Progress) + Clone + Send + Sync + 'static {
    let bar = bar.clone();
    move |now| {
        bar.set_length(now.total);
        bar.set_position(now.done);
        bar.set_message(indicatif::HumanBytes(now.bytes).to_string());
    }
}

/// A bar that counts bytes.
pub(crate) fn bytes_bar(total: u64) -> ProgressBar {
    shown(
        total,
        "{bar:40} {bytes}/{total_bytes} {bytes_per_sec} left {eta}",
    )
}

/// A progress bar on a terminal, nothing elsewhere.
fn shown(total: u64, template: &str) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(total);
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}
