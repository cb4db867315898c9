//! The control protocol: sends operations on a data folder to the server that runs on it, through a
//! Unix socket in the folder, which only its owner may open. One JSON object per line: the request,
//! then progress, last its report or its failure. `metahub_operations` does the work.

use std::path::Path;
use std::time::Duration;

use metahub_operations::{OperationError, Progress, Request};
use metahub_registry::Registry;
use miette::{Diagnostic as _, IntoDiagnostic as _, WrapErr as _, miette};
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

/// Longest request, in bytes: it may name many images.
const MAX_ORDER: u64 = 4 * 1024 * 1024;
/// Longest line of an answer, in bytes: a report may name many findings.
const MAX_LINE: u64 = 64 * 1024 * 1024;

/// How long a client may take to send its request.
const SENDING: Duration = Duration::from_secs(10);
/// A client that takes nothing for so long has gone away; its operation ends.
const STALLED: Duration = Duration::from_mins(10);
/// How long a client may take to read its report.
const READING: Duration = Duration::from_secs(60);

/// One line of an answer.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Word {
    Progress(Progress),
    Report(Value),
    Failure(String),
    NothingFits(String),
}

/// Accepts requests for as long as the server runs.
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
            serde_json::from_str::<Request>(&line)
                .map_err(|error| format!("no such order: {error}"))
        }
        Err(_) => Err(format!("no order came within {} s", SENDING.as_secs())),
    };
    let order = match order {
        Ok(order) => order,
        Err(problem) => return finish(&mut write, &Word::Failure(problem)).await,
    };
    tracing::info!(?order, "carrying out an order");
    let (sender, now) = watch::channel(None);
    // In its own task, so that a slow client delays only its own view of the progress; the task
    // ends when the client has gone away.
    let mut work = JoinSet::new();
    work.spawn(async move {
        let progress = move |now| {
            sender.send_replace(Some(now));
        };
        order.carry_out(&registry, progress).await
    });
    tell(&mut write, now).await?;
    let outcome = work.join_next().await;
    let last = match outcome {
        Some(Ok(Ok(report))) => Word::Report(report),
        Some(Ok(Err(OperationError::NothingFits(message)))) => Word::NothingFits(message),
        Some(Ok(Err(error))) => Word::Failure(match error.help() {
            Some(help) => format!("{error}: {help}"),
            None => error.to_string(),
        }),
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

/// Sends progress to a client, until the operation has ended. Slow readers miss some of it.
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

/// Sends the last word. A client that does not take it loses it.
async fn finish(write: &mut OwnedWriteHalf, word: &Word) -> std::io::Result<()> {
    let said = timeout(READING, say(write, word)).await;
    said.unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into()))
}

async fn say(write: &mut (impl tokio::io::AsyncWrite + Unpin), word: &Word) -> std::io::Result<()> {
    let mut line = serde_json::to_vec(word)?;
    line.push(b'\n');
    write.write_all(&line).await
}

/// Sends a request to the server that runs on the folder `data`.
pub(crate) async fn send(
    data: &Path,
    order: &Request,
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
    let mut line = serde_json::to_vec(order).into_diagnostic()?;
    line.push(b'\n');
    write.write_all(&line).await.into_diagnostic()?;
    let mut lines = BufReader::new(tokio::io::AsyncReadExt::take(read, MAX_LINE)).lines();
    while let Some(line) = lines.next_line().await.into_diagnostic()? {
        match serde_json::from_str::<Word>(&line).into_diagnostic()? {
            Word::Progress(now) => progress(now),
            Word::Report(report) => return Ok(report),
            Word::Failure(message) => return Err(miette!("{message}")),
            Word::NothingFits(message) => return Err(OperationError::NothingFits(message).into()),
        }
    }
    Err(miette!(
        "the server went away before the order was carried out"
    ))
}
