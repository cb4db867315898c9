//! HTTP: the distribution API, tokens, MetaHub's own API. Handlers are thin: they parse, call the
//! registry, and answer. Rights are checked in `access`, errors become answers in `error`, and both
//! happen nowhere else.

mod access;
mod admission;
mod app;
mod body;
mod call;
mod channels;
mod client_certificate;
mod connection;
mod dispatch;
mod error;
mod followed;
mod forwarded;
mod handlers;
mod host_header;
mod kind;
mod limits;
mod listen;
mod log;
mod metrics;
mod operate;
mod operation;
mod overdue;
mod path;
mod range;
mod request;
mod request_body;
mod respond;
mod route;
mod scrape;
mod send_blobs;
mod sendfile;
mod sendfile_queue;
mod sendfile_turns;
mod stream;
mod streams;
mod timeouts;
mod tls;
mod tls_error;

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpListener;

use dispatch::Dispatcher;
use metrics::Metrics;

pub use app::App;
pub use followed::FollowedCatalogs;
pub use forwarded::{Addresses, Proxies, PublicUrl, PublicUrlError};
pub use limits::Limits;
pub use metrics::MetricsAccess;
pub use send_blobs::SendBlobs;
pub use tls::Tls;
pub use tls_error::TlsError;

/// A server that listens and does not answer yet.
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    tls: Option<Tls>,
}

impl Server {
    /// Binds `address`; port 0 takes a free one.
    pub async fn bind(address: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        Ok(Self {
            listener,
            address,
            tls: None,
        })
    }

    /// The same over TLS only.
    #[must_use]
    pub fn with_tls(mut self, tls: Option<Tls>) -> Self {
        self.tls = tls;
        self
    }

    /// Its listening address.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers requests until `shutdown` completes; then accepts no more and drains the running
    /// ones.
    pub async fn run(self, app: App, shutdown: impl Future<Output = ()>) {
        let limits = app.limits.clone();
        let send_blobs = app.send_blobs;
        let metrics = Arc::new(Metrics::default());
        let dispatcher = Arc::new(Dispatcher::new(app, Arc::clone(&metrics)));
        let handler = move |request, peer| Arc::clone(&dispatcher).answer(request, peer);
        let serving = listen::How {
            limits: &limits,
            send_blobs,
            metrics,
        };
        listen::serve(self.listener, self.tls, serving, handler, shutdown).await;
    }
}
