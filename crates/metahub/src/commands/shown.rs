//! Shows long work to its user: a bar on a terminal, and on Ctrl-C or SIGTERM what was done and
//! what is left.

use std::future::Future;
use std::io::IsTerminal as _;
use std::time::Duration;

use indicatif::{HumanBytes, ProgressBar, ProgressStyle};
use metahub_operations::Progress;

use crate::exit::INTERRUPTED;
use crate::signals::Stop;

/// A signal ended the work. Displays what was done and what is left.
#[derive(Debug)]
pub(crate) struct Interrupted {
    far: String,
    kept: &'static str,
}

impl std::fmt::Display for Interrupted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "interrupted: {}. {}", self.far, self.kept)
    }
}

impl std::error::Error for Interrupted {}

impl miette::Diagnostic for Interrupted {}

/// The progress of work.
pub(crate) struct Shown {
    bar: ProgressBar,
    in_bytes: bool,
}

impl Shown {
    /// Counts pieces of whatever the work consists of.
    pub(crate) fn pieces() -> Self {
        Self {
            bar: bar(0, "{bar:40} {pos}/{len} {msg} {elapsed} left {eta}"),
            in_bytes: false,
        }
    }

    /// Counts bytes.
    pub(crate) fn bytes(total: u64) -> Self {
        let template = "{bar:40} {bytes}/{total_bytes} {bytes_per_sec} left {eta}";
        Self {
            bar: bar(total, template),
            in_bytes: true,
        }
    }

    /// Shows nothing: the work is short.
    pub(crate) fn hidden() -> Self {
        Self {
            bar: ProgressBar::hidden(),
            in_bytes: false,
        }
    }

    /// Receives progress reports.
    pub(crate) fn progress(&self) -> impl Fn(Progress) + Clone + Send + Sync + 'static {
        let bar = self.bar.clone();
        move |now| {
            bar.set_length(now.total);
            bar.set_position(now.done);
            bar.set_message(HumanBytes(now.bytes).to_string());
        }
    }

    /// Runs `work` to its end, or drops it on a signal. `kept` states what remains of it and how to
    /// continue. A second signal ends the process at once, even if the work is blocked on input.
    ///
    /// # Errors
    /// [`Interrupted`], or when the process may not listen to signals.
    pub(crate) async fn until_done<T>(
        &self,
        work: impl Future<Output = T>,
        kept: &'static str,
    ) -> miette::Result<T> {
        let stop = Stop::listen()?;
        let again = tokio::spawn({
            let stop = stop.clone();
            async move {
                stop.told_again().await;
                std::process::exit(INTERRUPTED.into());
            }
        });
        let done = tokio::select! {
            biased;
            done = work => Ok(done),
            () = stop.told() => Err(Interrupted { far: self.far(), kept }.into()),
        };
        self.bar.finish_and_clear();
        if done.is_ok() {
            again.abort();
        }
        done
    }

    fn far(&self) -> String {
        let (done, total) = (self.bar.position(), self.bar.length().unwrap_or(0));
        let left = total.saturating_sub(done);
        if total == 0 {
            "nothing was done yet".to_owned()
        } else if self.in_bytes {
            let (done, total) = (HumanBytes(done), HumanBytes(total));
            format!("{done} of {total} done, {} left", HumanBytes(left))
        } else {
            let bytes = self.bar.message();
            format!("{done} of {total} done ({bytes}), {left} left")
        }
    }
}

/// A progress bar on a terminal, nothing elsewhere.
fn bar(total: u64, template: &str) -> ProgressBar {
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
