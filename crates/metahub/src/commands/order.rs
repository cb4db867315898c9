//! Runs an operation on a data folder: in the server that runs on it, or here if there is none.
//! Shows progress on a terminal.

use std::sync::Arc;
use std::time::Duration;

use metahub_catalog::Catalog;
use metahub_operations::{Operation, Progress, Request, Scrub, api_documents};
use metahub_store::{Mode, Options, Store, StoreError};
use miette::IntoDiagnostic as _;
use serde_json::Value;
use tokio::sync::watch;

use crate::app::App;
use crate::commands::shown::Shown;
use crate::config::Config;
use crate::control;
use crate::data;
use crate::documents::Documents;
use crate::follow;
use crate::sources::{Sources, texts_of};

/// How long the store may take to close after an interruption.
const CLOSING: Duration = Duration::from_secs(1);

/// Runs `operation`. Returns its report.
pub(crate) async fn done<O>(config: &Config, operation: O) -> miette::Result<O::Report>
where
    O: Operation + Into<Request>,
{
    // Boxed: it has room for every operation.
    let report = Box::pin(report(config, operation.into())).await?;
    serde_json::from_value(report).into_diagnostic()
}

async fn report(config: &Config, request: Request) -> miette::Result<Value> {
    if request.is_upkeep() {
        data::must_exist(&config.data)?;
    }
    let shown = match request {
        Request::Backup(_) => Shown::bytes(0),
        _ => Shown::pieces(),
    };
    let (progress, kept) = (shown.progress(), kept(&request));
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
    match Store::open_with(&config.data, Mode::Serve, options).await {
        Ok(store) => {
            let work = Box::pin(here(&store, config, request, progress));
            let report = shown.until_done(work, kept).await;
            match report {
                Ok(report) => {
                    store.close().await;
                    report
                }
                Err(interrupted) => {
                    // Nothing is lost if it takes longer: what was acknowledged is on disk.
                    let _ = tokio::time::timeout(CLOSING, store.close()).await;
                    Err(interrupted)
                }
            }
        }
        // The server ends the operation of a command that has gone away.
        Err(StoreError::InUse(_)) => {
            let work = control::send(&config.data, &request, progress);
            shown.until_done(work, kept).await?
        }
        Err(error) => Err(data::failed(&config.data, &error)),
    }
}

/// What remains of interrupted work, and how to continue.
fn kept(request: &Request) -> &'static str {
    match request {
        Request::Gc(_) => "What was removed is gone; another run removes the rest.",
        Request::Scrub(_) => "What was found damaged so far is set aside; another run begins anew.",
        Request::Backup(_) => {
            "What was copied stays in the backup's folder; the same command copies the rest."
        }
        Request::Warm(_) | Request::Inventory(_) => {
            "What arrived is kept; the same command fetches the rest."
        }
        Request::Import(_) => {
            "None of its images is there yet, and what was read is kept for a day; the same \
             command reads the rest."
        }
        Request::Release(_)
        | Request::EmptyNames(_)
        | Request::Pin(_)
        | Request::Unpin(_)
        | Request::Pins(_)
        | Request::Demand(_) => "Run the same command again.",
    }
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
