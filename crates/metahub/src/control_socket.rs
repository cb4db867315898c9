//! The Unix socket of the data folder: binds it however long its path is, accepts connections for
//! as long as the server runs, and never waits for a client that sends nothing or takes nothing.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;

use crate::guarded::tell;

/// The socket's name in the data folder.
const NAME: &str = "control.sock";

/// Longest path that a socket's address takes, in bytes (unix(7)), without its final zero.
const LONGEST: usize = 107;

/// Most concurrent connections. More than a few are a mistake or an attack.
const CONNECTIONS: usize = 128;

/// Pause after a connection that could not be taken, doubled up to the longest.
const PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// A path under which the socket can be bound and reached, and what must stay open meanwhile.
struct Address {
    path: PathBuf,
    _folder: Option<File>,
}

/// The address of the socket in `data`. A path that is too long for the system is reached through
/// the folder's descriptor.
fn address(data: &Path) -> io::Result<Address> {
    let path = data.join(NAME);
    if path.as_os_str().as_bytes().len() <= LONGEST {
        return Ok(Address {
            path,
            _folder: None,
        });
    }
    let folder = File::open(data)?;
    let path = PathBuf::from(format!("/proc/self/fd/{}/{NAME}", folder.as_raw_fd()));
    Ok(Address {
        path,
        _folder: Some(folder),
    })
}

/// Connects to the server of the data folder `data`.
pub(crate) async fn connect(data: &Path) -> io::Result<UnixStream> {
    let address = address(data)?;
    UnixStream::connect(&address.path).await
}

/// The socket's file; goes away with this.
pub(crate) struct Socket(PathBuf);

impl Drop for Socket {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Binds the socket of `data`, which only its owner may open.
pub(crate) fn bind(data: &Path) -> io::Result<(UnixListener, Socket)> {
    let (file, address) = (data.join(NAME), address(data)?);
    // A stale socket of a killed server: this process has the lock on the folder.
    let _ = std::fs::remove_file(&file);
    let listener = UnixListener::bind(&address.path)?;
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600))?;
    Ok((listener, Socket(file)))
}

/// What connections come from; for tests, one that fails now and then.
pub(crate) trait Accept: Send {
    /// The next connection.
    fn next(&mut self) -> impl Future<Output = io::Result<UnixStream>> + Send;
}

impl Accept for UnixListener {
    async fn next(&mut self) -> io::Result<UnixStream> {
        self.accept().await.map(|(stream, _)| stream)
    }
}

/// Answers connections, each by itself, for as long as this is polled. An error to take one, such
/// as too many open files, passes: it is tried again.
pub(crate) async fn serve<A, F>(mut listener: A, answer: impl Fn(UnixStream) -> F)
where
    A: Accept,
    F: Future<Output = io::Result<()>> + Send + 'static,
{
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let mut pause = PAUSE;
    loop {
        // While all places are taken, new connections wait in the kernel.
        let Ok(place) = Arc::clone(&places).acquire_owned().await else {
            return;
        };
        let stream = match listener.next().await {
            Ok(stream) => stream,
            Err(error) => {
                tracing::warn!(%error, "a command's connection could not be taken");
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
                continue;
            }
        };
        pause = PAUSE;
        let answered = tokio::spawn(answer(stream));
        tokio::spawn(async move {
            match answered.await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::warn!(%error, "an order ended early"),
                Err(error) => {
                    if let Ok(panic) = error.try_into_panic() {
                        tell("order", &*panic);
                    }
                }
            }
            drop(place);
        });
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::sync::mpsc;

    use super::*;

    struct Scripted(VecDeque<io::Result<UnixStream>>, mpsc::Receiver<UnixStream>);

    impl Accept for Scripted {
        async fn next(&mut self) -> io::Result<UnixStream> {
            match self.0.pop_front() {
                Some(scripted) => scripted,
                None => self.1.recv().await.ok_or(io::ErrorKind::BrokenPipe.into()),
            }
        }
    }

    async fn hello(mut stream: UnixStream) -> io::Result<()> {
        stream.write_all(b"hello").await
    }

    #[tokio::test(start_paused = true)]
    async fn errors_to_take_a_connection_do_not_end_the_socket() {
        // EMFILE, ENFILE, ECONNABORTED, ENOMEM, EINTR.
        let errors = [24, 23, 103, 12, 4].map(|code| Err(io::Error::from_raw_os_error(code)));
        let (sender, receiver) = mpsc::channel(1);
        let serving = tokio::spawn(serve(Scripted(errors.into(), receiver), hello));
        let (mut here, there) = UnixStream::pair().unwrap();
        sender.send(there).await.unwrap();
        let mut said = String::new();
        here.read_to_string(&mut said).await.unwrap();
        assert_eq!(said, "hello");
        assert!(!serving.is_finished());
        serving.abort();
    }

    #[tokio::test]
    async fn orders_that_panic_take_no_place_from_those_that_come_next() {
        let (sender, receiver) = mpsc::channel(1);
        let count = Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let serving = tokio::spawn(serve(Scripted(VecDeque::new(), receiver), move |stream| {
            let before = count.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            async move {
                assert!(before >= CONNECTIONS + 10, "on purpose");
                hello(stream).await
            }
        }));
        for at in 0..CONNECTIONS + 11 {
            let (mut here, there) = UnixStream::pair().unwrap();
            sender.send(there).await.unwrap();
            let mut said = String::new();
            here.read_to_string(&mut said).await.unwrap();
            let expected = if at < CONNECTIONS + 10 { "" } else { "hello" };
            assert_eq!(said, expected);
        }
        serving.abort();
    }

    #[tokio::test]
    async fn a_path_that_is_too_long_for_the_system_is_bound_and_reached() {
        let folder = tempfile::tempdir().unwrap();
        let long = folder.path().join("x".repeat(100)).join("y".repeat(100));
        std::fs::create_dir_all(&long).unwrap();
        for data in [folder.path(), &long] {
            let (listener, socket) = bind(data).unwrap();
            let serving = tokio::spawn(serve(listener, hello));
            let mut said = String::new();
            let mut stream = connect(data).await.unwrap();
            stream.read_to_string(&mut said).await.unwrap();
            assert_eq!(said, "hello");
            let mode = data.join(NAME).metadata().unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
            drop(socket);
            assert!(!data.join(NAME).exists());
            serving.abort();
        }
    }
}
