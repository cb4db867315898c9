//! The rows of the comparison, each in a file of its own: what is done, what is measured, and
//! what is wanted of it.

use clap::ValueEnum;
use miette::{Result, WrapErr as _};

use crate::content::Material;
use crate::plan::Plan;
use crate::report::Row;
use crate::world::World;

mod blob;
mod calls;
mod cluster;
mod cold;
mod collection;
mod derived;
mod documents;
mod filtered;
mod inspection;
mod large;
mod large_store;
mod logins;
mod manifest;
mod memory;
mod proxy;
mod push;
mod tls;
mod zb;
mod zb_suite;

/// A row, or several that belong together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Name {
    /// Manifests by tag from memory
    Manifest,
    /// The same of an index under a profile, beside the index as it is
    Filtered,
    /// Collections of 10 and 1,000 entries under a profile, beside an index as it is
    Collection,
    /// Images derived for the first time, and derived manifests from memory
    Derived,
    /// 10,000 profiles and 10,000 tags of collections
    Documents,
    /// 1,000,000 logins, no two alike
    Logins,
    /// Code of layers read in the background, and pulls meanwhile
    Inspection,
    /// Blobs of 1 MiB and 100 MiB over plain TCP
    Blob,
    /// The same over TLS
    Tls,
    /// System calls for each MiB of a blob and for each manifest
    Calls,
    /// 64 clients read blobs that are not in memory, while others read a manifest
    Cold,
    /// One blob of 1 GiB, durably
    Push,
    /// Pushes and pulls of whole images, alone and mixed, as the benchmark zb does
    Zb,
    /// Resident memory, idle and under 64 pulls and 16 pushes at once
    Memory,
    /// As a proxy: one client and 100 at once on a blob that only the upstream has
    Proxy,
    /// 1,000 nodes of 8 kinds start on one tag that only the upstream has
    Cluster,
    /// 1,000,000 manifests with 100,000 tags in 1,000 repositories
    Large,
}

impl Name {
    /// Whether it is measured on the servers and the content that rows have in common.
    pub(crate) fn needs_world(self) -> bool {
        matches!(
            self,
            Self::Manifest | Self::Filtered | Self::Blob | Self::Tls | Self::Calls
        )
    }

    /// Measures it. `world` must be there if [`Name::needs_world`].
    pub(crate) fn measure(
        self,
        plan: &Plan,
        material: &Material,
        world: Option<&World>,
    ) -> Result<Vec<Row>> {
        match (self, world) {
            (Self::Manifest, Some(world)) => manifest::measure(plan, world),
            (Self::Filtered, Some(world)) => filtered::measure(plan, world),
            (Self::Blob, Some(world)) => blob::measure(plan, world),
            (Self::Tls, Some(world)) => tls::measure(plan, material, world),
            (Self::Calls, Some(world)) => calls::measure(plan, world),
            (Self::Manifest | Self::Filtered | Self::Blob | Self::Tls | Self::Calls, None) => {
                Ok(Vec::new())
            }
            (Self::Collection, _) => collection::measure(plan),
            (Self::Derived, _) => derived::measure(plan),
            (Self::Documents, _) => documents::measure(plan),
            (Self::Logins, _) => logins::measure(plan),
            (Self::Inspection, _) => inspection::measure(plan),
            (Self::Cold, _) => cold::measure(plan, material),
            (Self::Push, _) => push::measure(plan, material),
            (Self::Zb, _) => zb::measure(plan, material),
            (Self::Memory, _) => memory::measure(plan, material),
            (Self::Proxy, _) => proxy::measure(plan, material),
            (Self::Cluster, _) => cluster::measure(plan, material),
            (Self::Large, _) => large::measure(plan),
        }
        .wrap_err_with(|| format!("the row {self:?}"))
    }
}
