//! Upkeep on a schedule: garbage collection and scrubbing at the configured intervals, for as long
//! as the server runs.
//!
//! The time of the last run is that of an empty file in the data folder, so that a server which is
//! restarted often still runs it, and one that was just restarted does not repeat it.

use std::fs;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use metahub_registry::{Registry, RegistryError};
use metahub_store::{GcOptions, ScrubOptions, StoreError};

use crate::config::Upkeep;
use crate::guarded::guarded;

/// The delay after startup.
const SETTLING: Duration = Duration::from_mins(1);

/// Runs upkeep when it is due.
pub(crate) fn keep(registry: &Registry, data: &Path, upkeep: &Upkeep) {
    let collecting = GcOptions {
        grace: upkeep.gc_grace,
        dry_run: false,
    };
    let collector = registry.clone();
    repeat(data.join("last-gc"), upkeep.gc_every, move || {
        let (registry, options) = (collector.clone(), collecting.clone());
        async move { registry.collect_garbage(&options).await.map(drop) }
    });
    let scrubbing = ScrubOptions {
        bytes_per_second: Some(upkeep.scrub_rate),
        dry_run: false,
        accept_loss: false,
    };
    let scrubber = registry.clone();
    repeat(data.join("last-scrub"), upkeep.scrub_every, move || {
        let registry = scrubber.clone();
        async move { registry.scrub(scrubbing, |_| {}).await.map(drop) }
    });
}

/// Runs `work` periodically; the time of the file `mark` is that of the last run.
fn repeat<F>(mark: PathBuf, every: Duration, work: impl Fn() -> F + Send + 'static)
where
    F: Future<Output = Result<(), RegistryError>> + Send + 'static,
{
    if every.is_zero() {
        return;
    }
    tokio::spawn(async move {
        tokio::time::sleep(first_wait(last(&mark), every)).await;
        loop {
            match guarded("upkeep", work()).await {
                Ok(()) => done(&mark),
                Err(RegistryError::Store(StoreError::Closed)) => return,
                // Tried again at the next interval; nothing is lost until then.
                Err(error) => tracing::warn!(%error, work = %mark.display(), "upkeep failed"),
            }
            tokio::time::sleep(every).await;
        }
    });
}

/// The time since the last run, if there was one.
fn last(mark: &Path) -> Option<Duration> {
    let modified = fs::metadata(mark).and_then(|file| file.modified()).ok()?;
    // After the clock was set back, it counts as just done.
    Some(
        SystemTime::now()
            .duration_since(modified)
            .unwrap_or_default(),
    )
}

fn first_wait(last: Option<Duration>, every: Duration) -> Duration {
    let rest = last.map_or(Duration::ZERO, |age| every.saturating_sub(age));
    rest.max(SETTLING.min(every))
}

fn done(mark: &Path) {
    // Writing it sets its time. If that fails, the next start repeats the work.
    if let Err(error) = fs::write(mark, b"") {
        tracing::warn!(%error, file = %mark.display(), "cannot note that upkeep was done");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_hours(24);

    #[tokio::test(start_paused = true)]
    async fn upkeep_that_panics_is_done_the_next_time() {
        let folder = tempfile::tempdir().unwrap();
        let mark = folder.path().join("last-gc");
        let (sender, mut turns) = tokio::sync::mpsc::unbounded_channel();
        let marks = mark.clone();
        repeat(mark, DAY, move || {
            let (sender, is_marked) = (sender.clone(), marks.exists());
            async move {
                sender.send(is_marked).unwrap();
                assert!(sender.is_closed(), "on purpose");
                Ok(())
            }
        });
        // A turn that panicked is none that was done.
        assert_eq!(turns.recv().await, Some(false));
        assert_eq!(turns.recv().await, Some(false));
        turns.close();
        while turns.recv().await.is_some() {}
    }

    #[test]
    fn what_is_due_is_done_soon_after_the_start_and_the_rest_in_its_time() {
        assert_eq!(first_wait(None, DAY), SETTLING);
        assert_eq!(first_wait(Some(DAY * 3), DAY), SETTLING);
        let hour = Duration::from_hours(1);
        assert_eq!(first_wait(Some(hour), DAY), DAY - hour);
        let short = Duration::from_millis(50);
        assert_eq!(first_wait(None, short), short);
    }

    #[test]
    fn a_mark_tells_how_long_ago_the_work_was_done() {
        let folder = tempfile::tempdir().unwrap();
        let mark = folder.path().join("last-gc");
        assert_eq!(last(&mark), None);
        done(&mark);
        assert!(last(&mark).unwrap() < DAY);
        let ago = SystemTime::now() - DAY;
        let file = fs::File::options().write(true).open(&mark).unwrap();
        file.set_modified(ago).unwrap();
        assert!(last(&mark).unwrap() >= DAY);
        done(&mark);
        assert!(last(&mark).unwrap() < DAY);
    }
}
