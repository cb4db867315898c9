//! Signals to a server: SIGTERM and Ctrl-C shut it down gracefully, a second one at once; SIGHUP
//! reloads files.

use miette::IntoDiagnostic as _;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// Counts received signals.
type Count = watch::Receiver<u64>;

/// SIGTERM and Ctrl-C. From now on they no longer end the process by themselves.
#[derive(Clone)]
pub(crate) struct Stop(Count);

impl Stop {
    pub(crate) fn listen() -> miette::Result<Self> {
        count(&[SignalKind::terminate(), SignalKind::interrupt()]).map(Self)
    }

    /// Completes when the process is asked to shut down.
    pub(crate) async fn told(mut self) {
        at_least(&mut self.0, 1).await;
    }

    /// Completes with the second shutdown signal.
    pub(crate) async fn told_again(mut self) {
        at_least(&mut self.0, 2).await;
    }
}

/// SIGHUP. From now on it no longer ends the process.
#[derive(Clone)]
pub(crate) struct Hangup(Count);

impl Hangup {
    pub(crate) fn listen() -> miette::Result<Self> {
        count(&[SignalKind::hangup()]).map(Self)
    }

    /// One for tests, and what gives the signals.
    #[cfg(test)]
    pub(crate) fn by_hand() -> (watch::Sender<u64>, Self) {
        let (sender, count) = watch::channel(0);
        (sender, Self(count))
    }

    /// Completes with the next one.
    pub(crate) async fn received(&mut self) {
        if self.0.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

fn count(kinds: &[SignalKind]) -> miette::Result<Count> {
    let (sender, receiver) = watch::channel(0);
    for kind in kinds {
        let mut signals = signal(*kind).into_diagnostic()?;
        let sender = sender.clone();
        tokio::spawn(async move {
            while signals.recv().await.is_some() {
                sender.send_modify(|count| *count += 1);
            }
        });
    }
    Ok(receiver)
}

async fn at_least(count: &mut Count, times: u64) {
    if count.wait_for(|count| *count >= times).await.is_err() {
        std::future::pending::<()>().await;
    }
}
