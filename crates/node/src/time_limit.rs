//! Runs work with a time limit.

use std::sync::mpsc;
use std::time::Duration;

/// The result of `work`, if it ends within `time`. A thread that takes longer ends with the
/// program.
pub fn within<T: Send + 'static>(
    time: Duration,
    work: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    let (sender, receiver) = mpsc::channel();
    std::thread::Builder::new()
        .spawn(move || {
            let _ = sender.send(work());
        })
        .ok()?;
    receiver.recv_timeout(time).ok()
}
