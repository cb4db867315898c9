//! Having an order to a data folder carried out: by the server that runs on it, or here if there
//! is none. Shows how far it is on a terminal.

use std::io::IsTerminal as _;
use std::sync::Arc;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use metahub_catalog::Catalog;
use metahub_store::{Mode, Options, Store, StoreError};
use miette::{IntoDiagnostic as _, WrapErr as _};
use serde_json::Value;
use tokio::sync::watch;

use crate::app::App;
use crate::config::Config;
use crate::control::{self, Order, Progress};
use crate::data;
use crate::documents::Documents;

/// Has the order carried out; what it reports.
pub(crate) async fn done(config: &Config, order: Order) -> miette::Result<Value> {
    if is_upkeep(&order) {
        data::must_exist(&config.data)?;
    }
    let bar = match order {
        Order::Backup { .. } => bytes_bar(0),
        _ => bar(),
    };
    let shown = bar.clone();
    let progress = move |now: Progress| {
        shown.set_length(now.total);
        shown.set_position(now.done);
        shown.set_message(indicatif::HumanBytes(now.bytes).to_string());
    };
    let options = Options {
        accept_loss: matches!(
            order,
            Order::Scrub {
                accept_loss: true,
                ..
            }
        ),
        ..Options::default()
    };
    let report = match Store::open_with(&config.data, Mode::Serve, options).await {
        Ok(store) => {
            let report = here(&store, config, order, progress).await;
            store.close().await;
            report
        }
        Err(StoreError::InUse(_)) => control::send(&config.data, order, progress).await,
        Err(error) => Err(data::failed(&config.data, &error)),
    };
    bar.finish_and_clear();
    report
}

/// Whether an order has nothing to do with documents, which may then be wrong.
fn is_upkeep(order: &Order) -> bool {
    matches!(
        order,
        Order::Gc { .. }
            | Order::Scrub { .. }
            | Order::Backup { .. }
            | Order::Release { .. }
            | Order::EmptyNames
    )
}

async fn here(
    store: &Store,
    config: &Config,
    order: Order,
    progress: impl FnMut(Progress) + Send + Sync,
) -> miette::Result<Value> {
    let documents = if is_upkeep(&order) {
        None
    } else {
        let graph = config
            .graph()
            .into_diagnostic()
            .wrap_err("`hardware` of the configuration cannot be used")?;
        Some(Documents::read(graph, &config.catalog, store.folder())?)
    };
    let (_builtin, builtin) = watch::channel(Arc::new(Catalog::builtin()));
    let catalog = documents.as_ref().map_or(builtin, Documents::catalog);
    let app = App::new(store.clone(), catalog, config).await?;
    control::carry_out(app.registry(), order, progress).await
}

fn bar() -> ProgressBar {
    shown(0, "{bar:40} {pos}/{len} {msg} {elapsed} left {eta}")
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
