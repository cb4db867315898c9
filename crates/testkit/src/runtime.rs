//! The asynchronous runtime for tests that are not asynchronous.

use std::sync::OnceLock;

use tokio::runtime::Runtime;

/// The runtime of this process's tests.
///
/// # Panics
/// When threads cannot be started.
pub fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| {
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .expect("threads can be started")
    })
}

/// Serves `app` on a free port of the loopback: its `127.0.0.1:PORT`, and the task to abort. For
/// servers that are no registries: proxies and pages.
///
/// # Panics
/// When the loopback has no free port.
#[must_use]
pub fn serve(app: axum::Router) -> (String, tokio::task::JoinHandle<()>) {
    runtime().block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a port is free");
        let host = listener.local_addr().expect("it is bound").to_string();
        let server = tokio::spawn(async move {
            let _ = axum::serve(listener, app).await;
        });
        (host, server)
    })
}
