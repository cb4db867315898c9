//! Receives a blob from its upstream, to its end or until it has no readers.

use std::ops::Range;
use std::time::Duration;

use futures_util::StreamExt;
use metahub_oci::Digest;
use metahub_store::{Blob, Fill, FillError};
use metahub_upstream::{BlobStream, Route, UpstreamError};
use tokio::time::{Instant, timeout};

use crate::Registry;
use crate::access::location::UpstreamRepository;
use crate::cache::blob_bound::Bound;
use crate::cache::room::Taken;
use crate::error::RegistryError;

/// A prefetched range of at least this size is skipped by a new request; a smaller one is received
/// again and dropped, which costs less than another request.
const WORTH_ASKING: u64 = 1024 * 1024;

/// Received bytes wait at most this long before readers get them.
const LONGEST_GATHERED: Duration = Duration::from_millis(50);

/// A fetch that begins.
pub(super) struct Opened {
    pub(super) fill: Fill,
    pub(super) stream: BlobStream,
    pub(super) bound: Bound,
    pub(super) room: Taken,
}

impl Registry {
    /// Receives a blob; `None` if it lost all readers. The next fetch resumes an interrupted one.
    pub(super) async fn receive(
        &self,
        opened: Opened,
        from: &UpstreamRepository,
    ) -> Result<Option<Blob>, ReceiveError> {
        let Opened {
            mut fill,
            stream,
            bound,
            mut room,
        } = opened;
        match self
            .receive_all(&mut fill, stream, from.route(), bound, &mut room)
            .await
        {
            Ok(End::Whole) => {
                let blob = from.stored().commit(fill).await?;
                room.written(blob.size());
                room.stored();
                Ok(Some(blob))
            }
            Ok(End::Unread) => {
                fill.give_up().await;
                Ok(None)
            }
            Err(error) => {
                if matches!(error, ReceiveError::TooLarge(_) | ReceiveError::Registry(_)) {
                    // No fetch can resume that.
                    fill.discard();
                }
                fill.give_up().await;
                Err(error)
            }
        }
    }

    /// Receives the missing bytes. The stream resumes a broken transfer by itself.
    async fn receive_all(
        &self,
        fill: &mut Fill,
        mut stream: BlobStream,
        route: &Route,
        bound: Bound,
        room: &mut Taken,
    ) -> Result<End, ReceiveError> {
        let mut at = fill.received();
        let mut flush = Instant::now() + LONGEST_GATHERED;
        loop {
            let next = tokio::select! {
                biased;
                () = fill.unread() => {
                    fill.flush().await?;
                    // A reader that returns soon continues the same transfer.
                    let _ = timeout(self.settings().cache.unread, fill.read()).await;
                    if fill.close_if_unread() {
                        return Ok(End::Unread);
                    }
                    continue;
                }
                next = stream.next() => next,
                () = tokio::time::sleep_until(flush) => {
                    fill.flush().await?;
                    flush = Instant::now() + LONGEST_GATHERED;
                    continue;
                }
            };
            let Some(bytes) = next else {
                return Ok(End::Whole);
            };
            let bytes = bytes?;
            let end = at + bytes.len() as u64;
            if end > bound.most() {
                return Err(ReceiveError::TooLarge(bound.most()));
            }
            self.grow_room(room, end).await.map_err(Box::new)?;
            fill.write_at(at, bytes).await?;
            at = end;
            room.written(fill.received());
            if fill.size() == Some(fill.received()) {
                return Ok(End::Whole);
            }
            if fill.received().saturating_sub(at) >= WORTH_ASKING {
                at = fill.received();
                stream = part(route, fill.digest(), at..bound.end()).await?;
            }
        }
    }
}

/// How receiving ended, if not by an error.
enum End {
    Whole,
    Unread,
}

/// Why a fetch that began failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReceiveError {
    #[error(transparent)]
    Upstream(#[from] UpstreamError),
    #[error(transparent)]
    Fill(#[from] FillError),
    #[error(transparent)]
    Registry(#[from] Box<RegistryError>),
    #[error("the blob is gone in the middle of its transfer")]
    Gone,
    #[error(
        "the upstream sends more than {0} bytes and does not say how many there are \
         (cache.largest_blob, cache.size)"
    )]
    TooLarge(u64),
}

/// The bytes `range` of a blob that is stored.
async fn part(
    route: &Route,
    digest: &Digest,
    range: Range<u64>,
) -> Result<BlobStream, ReceiveError> {
    let body = route
        .upstream
        .blob(&route.name, digest, Some(range.clone()))
        .await?;
    Ok(body.ok_or(ReceiveError::Gone)?.only(range))
}
