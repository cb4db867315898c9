//! Orders to a data folder: `metahub gc`, `scrub`, `warm`, `export` and `import`.
//!
//! Only one process may change a folder's content, because it keeps what it serves in memory. If
//! a server runs there, an order goes to it through a Unix socket in the folder, which only its
//! owner may open; otherwise the command carries it out itself. One JSON object a line: the order,
//! then words about its progress, last its report or its failure.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use metahub_oci::{ImageReference, Platform};
use metahub_registry::{Gathering, Import, Importing, Plan, Registry, RegistryError, Wanted};
use metahub_store::{GcOptions, ScrubOptions};
use miette::{IntoDiagnostic as _, WrapErr as _, miette};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc;

use crate::imported::ImportedDocuments;

/// Longest order, in bytes: it may name many images.
const MAX_ORDER: u64 = 4 * 1024 * 1024;
/// Longest line read of the other side, in bytes: a report may name many findings.
const MAX_LINE: u64 = 64 * 1024 * 1024;

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
    },
    /// Fetch what is missing of images.
    Warm(Images),
    /// The same, and say what they consist of.
    Plan(Images),
    /// Take in a bundle.
    Import {
        /// An absolute path.
        path: PathBuf,
        name: Option<ImageReference>,
        documents: bool,
    },
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
    fn wanted(&self, registry: &Registry) -> miette::Result<Wanted> {
        let login = self.login.as_deref().map(|login| {
            // Whoever may read the folder is asked for no password, so no account is looked up.
            registry.catalog().interpret(login, &|_| false)
        });
        Ok(Wanted {
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

/// The socket of the data folder `data`.
fn socket(data: &Path) -> PathBuf {
    data.join("control.sock")
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
        } => {
            let options = ScrubOptions {
                bytes_per_second,
                dry_run,
            };
            let told = |now: metahub_store::ScrubProgress| {
                progress(Progress {
                    done: now.checked,
                    total: now.total,
                    bytes: now.bytes,
                });
            };
            let scrubbed = registry.scrub(options, told).await.into_diagnostic()?;
            let whole = scrubbed.is_whole();
            let mut report = serde_json::to_value(scrubbed).into_diagnostic()?;
            if let Some(report) = report.as_object_mut() {
                report.insert("whole".to_owned(), whole.into());
            }
            Ok(report)
        }
        Order::Warm(images) => {
            let plan = gather(registry, &images, progress).await?;
            Ok(serde_json::json!({
                "images": images.images,
                "contents": plan.contents.len(),
                "bytes": plan.bytes(),
                "warnings": plan.warnings,
            }))
        }
        Order::Plan(images) => {
            let plan = gather(registry, &images, progress).await?;
            serde_json::to_value(plan).into_diagnostic()
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
            let told = |now: Importing| {
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

pub(crate) async fn gather(
    registry: &Registry,
    images: &Images,
    mut progress: impl FnMut(Progress) + Send + Sync,
) -> miette::Result<Plan> {
    let wanted = images.wanted(registry)?;
    let told = |now: Gathering| {
        progress(Progress {
            done: now.done,
            total: now.total,
            bytes: now.bytes,
        });
    };
    match registry.gather(&wanted, told).await {
        Err(error) if matches!(error.root(), RegistryError::NothingFits { .. }) => {
            Err(NothingFits(error.to_string()).into())
        }
        outcome => outcome.into_diagnostic(),
    }
}

/// Takes orders for as long as the server runs. A folder whose path is too long for a socket has
/// none: commands then say that a server is in the way.
pub(crate) fn listen(data: &Path, registry: Registry) -> Option<Socket> {
    let path = socket(data);
    // What a killed server left behind. Nobody listens there: this process holds the folder.
    let _ = std::fs::remove_file(&path);
    let listener = match UnixListener::bind(&path) {
        Ok(listener) => listener,
        Err(error) => {
            tracing::warn!(socket = %path.display(), %error, "takes no orders from commands");
            return None;
        }
    };
    if let Err(error) = std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)) {
        tracing::warn!(socket = %path.display(), %error, "takes no orders from commands");
        return None;
    }
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let registry = registry.clone();
            tokio::spawn(async move {
                if let Err(error) = answer(stream, &registry).await {
                    tracing::warn!(%error, "an order ended early");
                }
            });
        }
    });
    Some(Socket(path))
}

/// The socket's file; goes away with this.
pub(crate) struct Socket(PathBuf);

impl Drop for Socket {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

async fn answer(stream: UnixStream, registry: &Registry) -> std::io::Result<()> {
    let (read, mut write) = stream.into_split();
    let mut line = String::new();
    let bounded = tokio::io::AsyncReadExt::take(read, MAX_ORDER);
    BufReader::new(bounded).read_line(&mut line).await?;
    let order = match serde_json::from_str::<Order>(&line) {
        Ok(order) => order,
        Err(error) => {
            return say(
                &mut write,
                &Word::Failure(format!("no such order: {error}")),
            )
            .await;
        }
    };
    tracing::info!(?order, "carrying out an order");
    let (sender, mut words) = mpsc::channel(16);
    let work = carry_out(registry, order, move |now| {
        // A slow reader misses words about progress, and nothing else.
        let _ = sender.try_send(now);
    });
    let mut work = std::pin::pin!(work);
    let outcome = loop {
        tokio::select! {
            outcome = &mut work => break outcome,
            Some(now) = words.recv() => say(&mut write, &Word::Progress(now)).await?,
        }
    };
    let last = match outcome {
        Ok(report) => Word::Report(report),
        Err(error) => match error.downcast::<NothingFits>() {
            Ok(nothing) => Word::NothingFits(nothing.0),
            Err(error) => Word::Failure(match error.help() {
                Some(help) => format!("{error}: {help}"),
                None => error.to_string(),
            }),
        },
    };
    say(&mut write, &last).await
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
    let path = socket(data);
    let stream = UnixStream::connect(&path)
        .await
        .into_diagnostic()
        .wrap_err_with(|| {
            format!(
                "a server uses this folder and takes no orders at {}",
                path.display()
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
