//! Runs work with a time limit.

use std::sync::mpsc;
use std::time::Duration;

/// What `work` gives, if it does within `time`. What takes longer ends with the program.
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
