//! Range prefetch: a range of a blob far ahead of its fetch is requested separately.

use std::error::Error;
use std::ops::Range;

use futures_util::StreamExt;
use metahub_oci::Digest;
use metahub_store::{Follower, PrefetchedRange};
use metahub_upstream::Route;

/// How many ranges of one blob are prefetched at once.
const MOST_AHEAD: usize = 4;

/// Requests ranges of a blob far ahead of its fetch.
#[derive(Clone)]
pub struct RangePrefetch(Route);

impl RangePrefetch {
    pub(crate) fn new(route: &Route) -> Self {
        Self(route.clone())
    }

    /// Prefetches `range`, if that is of use, while the fill has readers. Followers of the fill see
    /// the result.
    pub(crate) fn request(&self, follower: &Follower, range: Range<u64>) {
        let Some(range_ahead) = follower.claim(range, MOST_AHEAD) else {
            return;
        };
        let (route, fill) = (self.0.clone(), follower.handle());
        tokio::spawn(async move {
            let range = range_ahead.range();
            let digest = fill.digest();
            let outcome = tokio::select! {
                biased;
                () = fill.unread() => Err("nobody reads it any more".into()),
                outcome = request(range_ahead, &route, digest) => outcome,
            };
            if let Err(error) = outcome {
                tracing::debug!(%digest, ?range, %error, "a part could not be brought ahead");
            }
        });
    }
}

async fn request(
    mut range_ahead: PrefetchedRange,
    route: &Route,
    digest: &Digest,
) -> Result<(), Box<dyn Error + Send + Sync>> {
    let range = range_ahead.range();
    let body = route
        .upstream
        .blob(&route.name, digest, Some(range.clone()))
        .await?;
    // An upstream that ignores ranges sends the whole, which comes no sooner than the fill.
    let Some(body) = body.filter(|body| body.start == range.start) else {
        return Err("the upstream gives no parts".into());
    };
    let mut stream = body.only(range);
    while let Some(bytes) = stream.next().await {
        range_ahead.write(bytes?).await?;
    }
    Ok(())
}
