//! The referrers of a manifest (`spec.md#listing-referrers`): those that were pushed here, and
//! those at upstreams.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use metahub_oci::{Descriptor, Digest, JsonMap, RepositoryName};
use metahub_store::{Origin, Store};
use metahub_upstream::{Referring, UpstreamError};
use moka::future::Cache;
use serde_json::Value;

use crate::Registry;
use crate::access::location::{Location, UpstreamRepository};
use crate::access::pass_through::Request;
use crate::access::repository::{Read, Repository};
use crate::cache::coalesced::Coalesced;
use crate::cache::single_flight::Busy;
use crate::error::{RegistryError, is_offline};

/// One page of a manifest's referrers, in order of digests.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Referrers {
    /// The descriptors, each with `artifactType` and annotations.
    pub manifests: Vec<JsonMap>,
    /// The last one's digest, if more follow.
    pub next: Option<Digest>,
    /// Something the client should know, such as an upstream that could not be asked.
    pub warning: Option<String>,
}

impl Referrers {
    /// The first `limit` of `found`, and no more bytes of them than an index may have.
    fn cut(found: BTreeMap<Digest, JsonMap>, limit: usize, mut more: bool) -> Self {
        let mut manifests = Vec::new();
        let mut bytes = 0;
        let mut last = None;
        for (digest, descriptor) in found {
            bytes += serde_json::to_string(&descriptor).map_or(0, |text| text.len());
            if manifests.len() >= limit || last.is_some() && bytes > Store::REFERRERS_BYTES {
                more = true;
                break;
            }
            manifests.push(descriptor);
            last = Some(digest);
        }
        Self {
            manifests,
            next: last.filter(|_| more),
            warning: None,
        }
    }
}

/// Recent answers of upstreams about referrers, by storage repository and subject, and by caller
/// where that makes a difference. A thousand nodes that verify one image ask its upstream once.
pub(crate) type ReferrersLately =
    Coalesced<(RepositoryName, Digest, Option<Arc<str>>), Arc<Referring>, UpstreamError>;

pub(crate) fn referrers_lately() -> ReferrersLately {
    let cache = Cache::builder()
        .max_capacity(1000)
        .time_to_live(Duration::from_secs(10))
        .build();
    let size = |descriptor: &Descriptor| descriptor.as_json().len() as u64 * 64;
    Coalesced::new(cache, move |said: &Arc<Referring>| {
        said.descriptors.iter().map(size).sum()
    })
}

impl Repository<'_, Read> {
    /// The referrers of `subject`, as the referrers API lists them: pushed ones, and, unless the
    /// name was pushed to, those at its upstreams; those after `after`, at most `limit`. Upstreams
    /// are asked whether or not the subject was fetched from there, because a client that verifies
    /// by digest may request nothing else.
    pub async fn referrers(
        &self,
        subject: &Digest,
        artifact_type: Option<&str>,
        after: Option<&Digest>,
        limit: usize,
    ) -> Result<Referrers, RegistryError> {
        let repository = self.authorise(Request::Manifest(subject)).await?;
        let registry = repository.registry();
        let mut found: BTreeMap<Digest, JsonMap> = BTreeMap::new();
        // The end of the first list that was truncated: later referrers are for the next page.
        let mut end: Option<Digest> = None;
        let mut warning = None;
        for location in repository.locations().await? {
            let held = location
                .stored()
                .referrers(subject, artifact_type, after, limit)
                .await?;
            let mut last = None;
            for entry in held.items {
                let digest = entry.get("digest").and_then(Value::as_str);
                if let Some(Ok(digest)) = digest.map(str::parse::<Digest>) {
                    last = Some(digest.clone());
                    found.entry(digest).or_insert(entry);
                }
            }
            if held.more {
                end = end.into_iter().chain(last).min();
            }
            let from = match &location {
                Location::Upstream(from) => from,
                // No upstream can know of derived content.
                Location::Local(stored) => match stored.manifest(subject).await? {
                    Some(stored) if stored.origin == Origin::Derived => break,
                    _ => continue,
                },
            };
            let said = registry.upstream_referrers(from, subject).await?;
            match registry.note_own_refusal(from, said).await? {
                Ok(referrers) => {
                    for entry in &referrers.descriptors {
                        let its_type = entry.as_json().get("artifactType").and_then(Value::as_str);
                        if artifact_type.is_none_or(|wanted| its_type == Some(wanted))
                            && after.is_none_or(|after| entry.digest() > after)
                        {
                            let known = found.entry(entry.digest().clone());
                            known.or_insert_with(|| entry.as_json().clone());
                        }
                    }
                }
                Err(error) if is_offline(&error) => {}
                Err(error) => {
                    tracing::warn!(repository = %from.storage(), %error, "referrers of the upstream are missing");
                    warning = Some(format!("referrers may be missing: {error}"));
                }
            }
        }
        if let Some(end) = &end {
            found.retain(|digest, _| digest <= end);
        }
        Ok(Referrers {
            warning,
            ..Referrers::cut(found, limit, end.is_some())
        })
    }
}

impl Registry {
    /// The referrers of `subject` at an upstream, requested or cached.
    pub(crate) async fn upstream_referrers(
        &self,
        from: &UpstreamRepository,
        subject: &Digest,
    ) -> Result<Result<Arc<Referring>, UpstreamError>, Busy> {
        let ask = async {
            let referrers = from.upstream().referrers(from.name(), subject).await?;
            Ok::<_, UpstreamError>(Arc::new(referrers))
        };
        let key = (
            from.storage().clone(),
            subject.clone(),
            self.caller.coalescing_key(from.storage()),
        );
        if let Some(known) = self.inner.referrers.get(&key).await {
            return Ok(Ok(known));
        }
        Ok(self.inner.referrers.get_or(key, ask).await?.value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_of_referrers_ends_at_its_limit_or_size_and_says_where_the_next_begins() {
        let found = |size: usize| -> BTreeMap<Digest, JsonMap> {
            let entry = |n: u8| {
                let text = Value::from("x".repeat(size));
                let map = JsonMap::from_iter([("annotation".to_owned(), text)]);
                (Digest::sha256(&[n]), map)
            };
            (0..3).map(entry).collect()
        };
        let digests: Vec<Digest> = found(1).into_keys().collect();
        for (size, limit, more, count, next) in [
            (1, 5, false, 3, None),
            (1, 3, true, 3, digests.get(2)),
            (1, 2, false, 2, digests.get(1)),
            (Store::REFERRERS_BYTES * 2 / 5, 5, false, 2, digests.get(1)),
            (Store::REFERRERS_BYTES + 1, 5, false, 1, digests.first()),
            (1, 0, false, 0, None),
        ] {
            let page = Referrers::cut(found(size), limit, more);
            assert_eq!(page.manifests.len(), count, "{size} {limit}");
            assert_eq!(page.next.as_ref(), next, "{size} {limit}");
        }
    }
}
