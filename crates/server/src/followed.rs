//! Metrics of followed catalogs, which the follower sets.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// Whether the current version of each followed catalog is in use. Clones share their values.
#[derive(Clone, Debug, Default)]
pub struct FollowedCatalogs(Family<Label, Gauge>);

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Label {
    catalog: String,
}

impl FollowedCatalogs {
    /// Sets whether the current version of `catalog` is in use, or not: because its registry is
    /// down or because it is invalid.
    pub fn set(&self, catalog: &str, current: bool) {
        let catalog = catalog.to_owned();
        let gauge = self.0.get_or_create_owned(&Label { catalog });
        gauge.set(i64::from(current));
    }

    pub(crate) fn register(&self, into: &mut Registry) {
        into.register(
            "metahub_followed_catalog_current",
            "1 while what a followed catalog's tag names is in use, else 0",
            self.0.clone(),
        );
    }
}
