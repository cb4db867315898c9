//! Fetches one large blob by several requests at once, for lines that one connection does not fill.
//!
//! Parts are requested in order and returned in order; early ones wait in memory, which is bounded
//! for each upstream, whatever the number of blobs. An upstream without range support sends the
//! whole in one.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::TryFutureExt as _;
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use metahub_oci::{Digest, RepositoryName};
use tokio_util::task::AbortOnDropHandle;

use crate::blob::{BlobBody, BlobStream};
use crate::error::{Problem, UpstreamError};
use crate::upstream::Upstream;

/// The size of a part in bytes: large beside what a connection has in flight, small enough for
/// memory.
const PART: u64 = 4 * 1024 * 1024;

impl Upstream {
    /// GET of a whole blob from its byte `from` on, over as many requests at once as the
    /// configuration allows. None: it has none.
    ///
    /// # Errors
    /// As [`UpstreamError`] says; [`Problem::RangeOutside`] for a blob that ends before `from`.
    pub async fn whole_blob(
        self: &Arc<Self>,
        name: &RepositoryName,
        digest: &Digest,
        from: u64,
    ) -> Result<Option<BlobBody>, UpstreamError> {
        let all = (from > 0).then_some(from..u64::MAX);
        if self.shared.parallel <= 1 {
            return self.blob(name, digest, all).await;
        }
        let part_of_it = from..from.saturating_add(PART);
        let first = match self.blob(name, digest, Some(part_of_it)).await {
            // An empty blob has no first byte.
            Err(error) if from == 0 && *error.problem() == Problem::RangeOutside => {
                return self.blob(name, digest, None).await;
            }
            first => first?,
        };
        let Some(first) = first else {
            return Ok(None);
        };
        let (Some(size), Some(end)) = (first.size, first.end) else {
            // Without a size the last part cannot be recognised.
            return self.blob(name, digest, all).await;
        };
        if end >= size {
            return Ok(Some(first));
        }
        let early = Arc::clone(&self.shared.early);
        let parts = stream::unfold(end, move |start| {
            let early = Arc::clone(&early);
            async move {
                if start >= size {
                    return None;
                }
                // In the order of the parts, so that no later one holds the room of an earlier.
                let room = early.acquire_owned().await.ok()?;
                let end = size.min(start.saturating_add(PART));
                Some(((start..end, room), end))
            }
        });
        let (upstream, name, digest) = (Arc::clone(self), name.clone(), digest.clone());
        let rest = parts
            .map(move |(range, room)| {
                let fetched = part(Arc::clone(&upstream), name.clone(), digest.clone(), range);
                fetched.map_ok(|pieces| (pieces, room))
            })
            .buffered(self.shared.parallel)
            .map_ok(|(pieces, room)| {
                stream::iter(pieces).map(move |piece| {
                    let _until_given = &room;
                    Ok(piece)
                })
            })
            .try_flatten();
        Ok(Some(BlobBody {
            size: Some(size),
            start: first.start,
            end: Some(size),
            stream: BlobStream::new(first.stream.chain(rest)),
        }))
    }
}

/// Fetches one part, by a task of its own, so that it goes on while nobody looks.
async fn part(
    upstream: Arc<Upstream>,
    name: RepositoryName,
    digest: Digest,
    range: Range<u64>,
) -> Result<Vec<Bytes>, UpstreamError> {
    let asked = Arc::clone(&upstream);
    let fetching = tokio::spawn(async move {
        let Some(body) = asked.blob(&name, &digest, Some(range.clone())).await? else {
            let gone = "the blob is gone in the middle of its transfer".to_owned();
            return Err(asked.error(Problem::BadAnswer(gone)));
        };
        if body.start != range.start {
            let whole = "the whole blob where a part was asked for, as it gave before".to_owned();
            return Err(asked.error(Problem::BadAnswer(whole)));
        }
        body.only(range).try_collect().await
    });
    match AbortOnDropHandle::new(fetching).await {
        Ok(pieces) => pieces,
        Err(_) => Err(upstream.error(Problem::BadAnswer("its transfer was stopped".to_owned()))),
    }
}
