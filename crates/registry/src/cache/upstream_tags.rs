//! The tag lists of upstreams, cached for as long as a client reads page after page: upstreams
//! order tags as they like, so a page in lexical order needs the whole list, which is read once and
//! not for every page.

use std::sync::Arc;
use std::time::{Duration, Instant};

use metahub_oci::{RepositoryName, Tag};
use metahub_upstream::UpstreamError;
use moka::future::Cache;
use tokio::sync::Semaphore;

use crate::Registry;
use crate::access::location::UpstreamRepository;
use crate::cache::coalesced::Coalesced;
use crate::cache::single_flight::Busy;

/// How long a list serves the pages after its first.
const LIFETIME: Duration = Duration::from_mins(1);
/// Memory for lists, in bytes.
const MEMORY: u64 = 32 * 1024 * 1024;
/// What a tag takes beside its text, about.
const PER_TAG: usize = 24;
/// Lists that are read at once: each may take some MiB while it is read.
const AT_ONCE: usize = 8;

/// The repository, and the caller where that makes a difference.
type Key = (RepositoryName, Option<Arc<str>>);

/// The recently read lists.
pub(crate) struct Listings {
    lists: Coalesced<Key, Arc<Listing>, NoList>,
    at_once: Semaphore,
}

/// Bytes that a list takes, about.
fn size(listing: &Listing) -> usize {
    let texts = listing.tags.iter().map(|tag| tag.as_str().len() + PER_TAG);
    256 + texts.sum::<usize>()
}

impl Default for Listings {
    fn default() -> Self {
        let weigh = |key: &Key, listing: &Arc<Listing>| {
            u32::try_from(key.0.as_str().len() + size(listing)).unwrap_or(u32::MAX)
        };
        let cache = Cache::builder()
            .weigher(weigh)
            .max_capacity(MEMORY)
            .time_to_live(LIFETIME)
            .build();
        Self {
            lists: Coalesced::new(cache, |listing: &Arc<Listing>| size(listing) as u64),
            at_once: Semaphore::new(AT_ONCE),
        }
    }
}

/// All tags of an upstream's repository, as far as they could be read.
#[derive(Debug)]
pub(crate) struct Listing {
    /// In lexical order, each once.
    tags: Box<[Tag]>,
    /// Why some may be missing.
    pub(crate) failure: Option<UpstreamError>,
    read_at: Instant,
}

impl Listing {
    fn of(mut tags: Vec<Tag>, failure: Option<UpstreamError>) -> Self {
        tags.sort_unstable();
        tags.dedup();
        Self {
            tags: tags.into_boxed_slice(),
            failure,
            read_at: Instant::now(),
        }
    }

    /// The first `limit` tags after `last`, and whether others follow.
    pub(crate) fn page(&self, last: Option<&str>, limit: usize) -> (&[Tag], bool) {
        let start = last.map_or(0, |last| {
            self.tags.partition_point(|tag| tag.as_str() <= last)
        });
        let end = start.saturating_add(limit).min(self.tags.len());
        let page = self.tags.get(start..end).unwrap_or_default();
        (page, end < self.tags.len())
    }
}

/// Why there is no list.
#[derive(Clone, Debug)]
enum NoList {
    /// The upstream has no such repository.
    Absent,
    Failed(UpstreamError),
}

impl Registry {
    /// The tags that the upstream lists; `None` if it has no such repository. `goes_on`: for a page
    /// after the first, which may come from a list that is a little old.
    pub(crate) async fn listing(
        &self,
        from: &UpstreamRepository,
        goes_on: bool,
    ) -> Result<Result<Option<Arc<Listing>>, UpstreamError>, Busy> {
        let listings = &self.inner.listings;
        let storage = from.storage();
        let key = (storage.clone(), self.caller.coalescing_key(storage));
        if let Some(listing) = listings.lists.get(&key).await {
            if goes_on || listing.read_at.elapsed() < self.settings().tag_lifetime {
                return Ok(Ok(Some(listing)));
            }
            listings.lists.cache().invalidate(&key).await;
        }
        let read = async {
            // Never closed, so this cannot fail.
            let _turn = listings.at_once.acquire().await;
            let listed = from.upstream().list_tags(from.name()).await;
            match listed.map_err(NoList::Failed)? {
                Some(listed) => Ok(Arc::new(Listing::of(listed.tags, listed.failure))),
                None => Err(NoList::Absent),
            }
        };
        let landed = listings.lists.get_or(key, read).await?;
        Ok(match landed.value {
            Ok(listing) => Ok(Some(listing)),
            Err(NoList::Absent) => Ok(None),
            Err(NoList::Failed(error)) => Err(error),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_cut_from_the_list_in_order() {
        let tags = ["b", "a", "d", "c", "a"].map(|text| text.parse().unwrap());
        let listing = Listing::of(tags.to_vec(), None);
        for (last, limit, expected, more) in [
            (None, 2, &["a", "b"][..], true),
            (Some("b"), 2, &["c", "d"], false),
            (Some("bb"), 1, &["c"], true),
            (Some("d"), 5, &[], false),
            (None, 0, &[], true),
            (None, usize::MAX, &["a", "b", "c", "d"], false),
        ] {
            let (page, follows) = listing.page(last, limit);
            let page: Vec<&str> = page.iter().map(Tag::as_str).collect();
            assert_eq!(
                (page.as_slice(), follows),
                (expected, more),
                "{last:?} {limit}"
            );
        }
    }
}
