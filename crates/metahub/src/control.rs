//! Orders to a data folder: `metahub gc`, `scrub`, `backup`, `warm`, `export` and `import`.
//!
//! Only one process may change a folder's content, because it keeps what it serves in memory. If
//! a server runs there, an order goes to it through a Unix socket in the folder, which only its
//! owner may open; otherwise the command carries it out itself. One JSON object a line: the order,
//! then words about its progress, last its report or its failure.

use std::path::{Path, PathBuf};
use std::time::Duration;

use metahub_oci::{ImageReference, Platform, RepositoryName};
use metahub_registry::{
    ImageSelection, Import, ImportProgress, Inventory, Registry, RegistryError, TransferProgress,
};
use metahub_store::{BackupOptions, GcOptions, ScrubOptions};
use miette::{IntoDiagnostic as _, WrapErr as _, miette};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;
use tokio::net::unix::OwnedWriteHalf;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::control_socket::{self, Socket};
use crate::guarded::tell as tell_panic;
use crate::imported::ImportedDocuments;

/// Longest order, in bytes: it may name many images.
const MAX_ORDER: u64 = 4 * 1024 * 1024;
/// Longest line read of the other side, in bytes: a report may name many findings.
const MAX_LINE: u64 = 64 * 1024 * 1024;

/// How long a client may take to send its order.
const SENDING: Duration = Duration::from_secs(10);
/// A client that takes nothing for so long has gone away; its order ends.
const STALLED: Duration = Duration::from_mins(10);
/// How long a client may take to read its report.
const READING: Duration = Duration::from_secs(60);

/// What is to be done.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "order", rename_all = "kebab-case")]
pub(crate) enum Order {
    /// Collect garbage.
    Gc {
        /// What is younger than this stays.
        grace_seconds: u64,
        dry_run: bool,
    },
    /// Reread everything.
    Scrub {
        bytes_per_second: Option<u64>,
        dry_run: bool,
        /// Absent in what an earlier version's command sends.
        #[serde(default)]
        accept_loss: bool,
    },
    /// Copy everything.
    Backup {
        /// An absolute path.
        folder: PathBuf,
        prune: bool,
    },
    /// Fetch what is missing of images.
    Warm(Images),
    /// The same, and say what they consist of.
    Inventory(Images),
    /// Take in a bundle.
    Import {
        /// An absolute path.
        path: PathBuf,
        name: Option<ImageReference>,
        documents: bool,
    },
    /// Let names be found at upstreams again.
    Release { names: Vec<RepositoryName> },
    /// List the local names that hold nothing that was pushed.
    EmptyNames,
}

/// Which images, for whom.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Images {
    pub(crate) images: Vec<ImageReference>,
    pub(crate) login: Option<String>,
    /// All, if none are named.
    pub(crate) platforms: Vec<Platform>,
    pub(crate) profiles: bool,
}

impl Images {
    fn wanted(&self, registry: &Registry) -> miette::Result<ImageSelection> {
        let login = self.login.as_deref().map(|login| {
            // Whoever may read the folder is asked for no password, so no account is looked up.
            registry.catalog().interpret(login, &|_| false)
        });
        Ok(ImageSelection {
            images: self.images.clone(),
            profile: login.transpose().into_diagnostic()?.map(|l| l.profile),
            platforms: self.platforms.clone(),
            profiles: self.profiles,
        })
    }
}

/// That no image can run on what the login provides; commands end with a code of its own then.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("{0}")]
pub(crate) struct NothingFits(pub(crate) String);

/// How far an order is.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Progress {
    pub(crate) done: u64,
    pub(crate) total: u64,
    pub(crate) bytes: u64,
}

/// One line of an answer.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Word {
    Progress(Progress),
    Report(Value),
    Failure(String),
    NothingFits(String),
}

/// Carries out an order here.
pub(crate) async fn carry_out(
    registry: &Registry,
    order: Order,
    mut progress: impl FnMut(Progress) + Send + Sync,
) -> miette::Result<Value> {
    match order {
        Order::Gc {
            grace_seconds,
            dry_run,
        } => {
            let options = GcOptions {
                grace: Duration::from_secs(grace_seconds),
                dry_run,
            };
            let report = registry.collect_garbage(&options).await.into_diagnostic()?;
            serde_json::to_value(report).into_diagnostic()
        }
        Order::Scrub {
            bytes_per_second,
            dry_run,
            accept_loss,
        } => {
            let options = ScrubOptions {
                bytes_per_second,
                dry_run,
                accept_loss,
            };
            scrub(registry, options, progress).await
        }
        Order::Backup { folder, prune } => {
            backup(registry, &folder, BackupOptions { prune }, progress).await
        }
        Order::Warm(images) => {
            let plan = gather(registry, &images, progress).await?;
            Ok(serde_json::json!({
                "images": images.images,
                "contents": plan.contents.len(),
                "bytes": plan.bytes(),
                "warnings": plan.warnings,
                "failed": plan.failed,
            }))
        }
        Order::Inventory(images) => {
            let plan = gather(registry, &images, progress).await?;
            serde_json::to_value(plan).into_diagnostic()
        }
        Order::Release { names } => {
            let released = registry.release_names(&names).await.into_diagnostic()?;
            serde_json::to_value(released).into_diagnostic()
        }
        Order::EmptyNames => {
            let names = registry.empty_local_names().await.into_diagnostic()?;
            serde_json::to_value(names).into_diagnostic()
        }
        Order::Import {
            path,
            name,
            documents,
        } => {
            let import = Import::open(&path, name).await.into_diagnostic()?;
            let texts = if documents { import.documents() } else { &[] };
            let folder = registry.store().folder();
            let documents = ImportedDocuments::check(folder, &registry.catalog(), texts)?;
            let told = |now: ImportProgress| {
                progress(Progress {
                    done: now.done,
                    total: now.total,
                    bytes: now.bytes,
                });
            };
            let imported = registry.import(&import, told).await.into_diagnostic()?;
            let names = documents.write()?;
            let mut report = serde_json::to_value(imported).into_diagnostic()?;
            if let Some(report) = report.as_object_mut() {
                report.insert("documents".to_owned(), names.into());
            }
            Ok(report)
        }
    }
}

/// Rereads everything.
async fn scrub(
    registry: &Registry,
    options: ScrubOptions,
    mut progress: impl FnMut(Progress) + Send + Sync,
) -> miette::Result<Value> {
    let told = |now: metahub_store::ScrubProgress| {
        progress(Progress {
            done: now.checked,
            total: now.total,
            bytes: now.bytes,
        });
    };
    let scrubbed = registry.scrub(options, told).await.into_diagnostic()?;
    let whole = scrubbed.is_whole();
    with_whole(serde_json::to_value(scrubbed).into_diagnostic()?, whole)
}

/// Copies everything into `folder`.
async fn backup(
    registry: &Registry,
    folder: &Path,
    options: BackupOptions,
    mut progress: impl FnMut(Progress) + Send + Sync,
) -> miette::Result<Value> {
    let told = |now: metahub_store::Copying| {
        progress(Progress {
            done: now.bytes,
            total: now.total,
            bytes: now.bytes,
        });
    };
    let store = registry.store();
    let report = store
        .backup(folder, options, told)
        .await
        .into_diagnostic()?;
    let whole = report.is_whole();
    with_whole(serde_json::to_value(report).into_diagnostic()?, whole)
}

/// A report that says whether everything is whole.
pub(crate) fn with_whole(mut report: Value, whole: bool) -> miette::Result<Value> {
    if let Some(report) = report.as_object_mut() {
        report.insert("whole".to_owned(), whole.into());
    }
    Ok(report)
}

pub(crate) async fn gather(
    registry: &Registry,
    images: &Images,
    mut progress: impl FnMut(Progress) + Send + Sync,
) -> miette::Result<Inventory> {
    let wanted = images.wanted(registry)?;
    let told = |now: TransferProgress| {
        progress(Progress {
            done: now.done,
            total: now.total,
            bytes: now.bytes,
        });
    };
    match registry.fetch_images(&wanted, told).await {
        Err(error) if matches!(error.root(), RegistryError::NothingFits { .. }) => {
            Err(NothingFits(error.to_string()).into())
        }
        outcome => outcome.into_diagnostic(),
    }
}

/// Takes orders for as long as the server runs.
pub(crate) fn listen(data: &Path, registry: Registry) -> Option<Socket> {
    match control_socket::bind(data) {
        Ok((listener, socket)) => {
            tokio::spawn(control_socket::serve(listener, move |stream| {
                answer(stream, registry.clone())
            }));
            Some(socket)
        }
        Err(error) => {
            tracing::warn!(data = %data.display(), %error, "takes no orders from commands");
            None
        }
    }
}

async fn answer(stream: UnixStream, registry: Registry) -> std::io::Result<()> {
    let (read, mut write) = stream.into_split();
    let mut line = String::new();
    let bounded = tokio::io::AsyncReadExt::take(read, MAX_ORDER);
    let mut read = BufReader::new(bounded);
    let sent = timeout(SENDING, read.read_line(&mut line)).await;
    let order = match sent {
        Ok(sent) => {
            sent?;
            serde_json::from_str::<Order>(&line).map_err(|error| format!("no such order: {error}"))
        }
        Err(_) => Err(format!("no order came within {} s", SENDING.as_secs())),
    };
    let order = match order {
        Ok(order) => order,
        Err(problem) => return finish(&mut write, &Word::Failure(problem)).await,
    };
    tracing::info!(?order, "carrying out an order");
    let (sender, now) = watch::channel(None);
    // By itself, so that a client which reads slowly holds up nothing but its own view of it; what
    // runs ends with this, when the client has gone away.
    let mut work = JoinSet::new();
    work.spawn(async move {
        carry_out(&registry, order, move |now| {
            sender.send_replace(Some(now));
        })
        .await
    });
    tell(&mut write, now).await?;
    let outcome = work.join_next().await;
    let last = match outcome {
        Some(Ok(Ok(report))) => Word::Report(report),
        Some(Ok(Err(error))) => match error.downcast::<NothingFits>() {
            Ok(nothing) => Word::NothingFits(nothing.0),
            Err(error) => Word::Failure(match error.help() {
                Some(help) => format!("{error}: {help}"),
                None => error.to_string(),
            }),
        },
        Some(Err(error)) => {
            if let Ok(panic) = error.try_into_panic() {
                tell_panic("order", &*panic);
            }
            Word::Failure("the order failed: see the server's log".to_owned())
        }
        None => Word::Failure("the order was not carried out".to_owned()),
    };
    finish(&mut write, &last).await
}

/// Tells a client how far its order is, until that has ended. Slow readers miss some of it.
async fn tell(
    write: &mut OwnedWriteHalf,
    mut now: watch::Receiver<Option<Progress>>,
) -> std::io::Result<()> {
    while now.changed().await.is_ok() {
        let progress = *now.borrow_and_update();
        if let Some(progress) = progress {
            let said = timeout(STALLED, say(write, &Word::Progress(progress))).await;
            said.unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into()))?;
        }
    }
    Ok(())
}

/// Says the last word. A client that does not take it loses it.
async fn finish(write: &mut OwnedWriteHalf, word: &Word) -> std::io::Result<()> {
    let said = timeout(READING, say(write, word)).await;
    said.unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into()))
}

async fn say(write: &mut (impl tokio::io::AsyncWrite + Unpin), word: &Word) -> std::io::Result<()> {
    let mut line = serde_json::to_vec(word)?;
    line.push(b'\n');
    write.write_all(&line).await
}

/// Sends an order to the server that runs on the folder `data`.
pub(crate) async fn send(
    data: &Path,
    order: Order,
    mut progress: impl FnMut(Progress) + Send + Sync,
) -> miette::Result<Value> {
    let stream = control_socket::connect(data)
        .await
        .into_diagnostic()
        .wrap_err_with(|| {
            format!(
                "a server uses the data folder {} and takes no orders there",
                data.display()
            )
        })?;
    let (read, mut write) = stream.into_split();
    let mut line = serde_json::to_vec(&order).into_diagnostic()?;
    line.push(b'\n');
    write.write_all(&line).await.into_diagnostic()?;
    let mut lines = BufReader::new(tokio::io::AsyncReadExt::take(read, MAX_LINE)).lines();
    while let Some(line) = lines.next_line().await.into_diagnostic()? {
        match serde_json::from_str::<Word>(&line).into_diagnostic()? {
            Word::Progress(now) => progress(now),
            Word::Report(report) => return Ok(report),
            Word::Failure(message) => return Err(miette!("{message}")),
            Word::NothingFits(message) => return Err(NothingFits(message).into()),
        }
    }
    Err(miette!(
        "the server went away before the order was carried out"
    ))
}
