//! Pulls and pushes, between HTTP and the store.
//!
//! A name is looked up in its locations (a collection, a local repository, an upstream), a tag runs
//! the events of the login's profile, and the derived content is stored like any other. A digest
//! never runs anything: its bytes always hash to it. `resolve` makes the decisions about documents.
//!
//! Every read and every change goes through a [`Repository`], which is made from a right that
//! `auth` granted (`access`). From there a pull goes through `pull` (by tag: `manifest` → `source`
//! → `derivation` → `derived`; by digest: `manifest`, `blob`), upstream content through `cache`, a
//! push through `push`, whole images through `transfer`.

mod access;
mod cache;
mod counters;
mod demand;
mod error;
mod inspection;
mod maintenance;
mod provenance;
mod pull;
mod push;
mod transfer;

use std::sync::Arc;
use std::time::Duration;

use metahub_catalog::Catalog;
use metahub_limits::DocumentBudget;
use metahub_oci::{Digest, RepositoryName};
use metahub_store::Store;
use metahub_upstream::{Logins, Upstreams};
use tokio::sync::watch;

pub use access::local_names::{EmptyName, Released};
pub use access::location::LocalContent;
pub use access::repository::{Delete, Operator, Push, Read, Repository};
pub use cache::eviction::EvictionReport;
pub use cache::fetch::Fetching;
pub use cache::free_space::{Free, FreeError};
pub use cache::pins::PinnedImage;
pub use cache::range_prefetch::RangePrefetch;
pub use cache::settings::CacheSettings;
pub use counters::{Counts, UpstreamCounts};
pub use demand::got::DemandKind;
pub use demand::report::{Demand, DemandRow};
pub use demand::settings::{DemandSettings, Puller};
pub use error::{Immutable, NotAllowed, RegistryError};
pub use inspection::excess::Excess;
pub use inspection::lifted::Lifted;
pub use inspection::settings::{InspectionMode, InspectionSettings};
pub use maintenance::Scrubbed;
pub use metahub_resolve::{Policy, Unsure};
pub use metahub_signature::{SignError, Signer};
pub use metahub_upstream::NamespaceError;
pub use pull::blob::BlobRead;
pub use pull::derivation_document::{
    AddedImage, AppliedAction, AppliedProfile, ChangedManifest, DERIVATION, DerivationDocument,
    DerivationSource,
};
pub use pull::explanation::{AddedLayers, Child, Explanation, Resolution, SourceKind};
pub use pull::manifest::{Accepts, Served};
pub use pull::page::ListPage;
pub use pull::referrers::Referrers;
pub use pull::statements::ImageSays;
pub use pull::tags::TagList;
pub use push::immutable::ImmutableTags;
pub use push::manifest::Pushed;
pub use transfer::import::{Import, ImportProgress, Imported};
pub use transfer::import_error::ImportError;
pub use transfer::inventory::{
    ImageSelection, Inventory, InventoryContent, InventoryEntry, InventoryOrigin, TransferProgress,
};

/// The settings of a registry.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The default lifetime of an upstream's tag in the cache.
    pub tag_lifetime: Duration,
    /// Which locations of a name are searched first.
    pub local: LocalContent,
    /// Whether a pushed manifest may refer to content that is not stored.
    pub sparse: bool,
    /// Whether anything may be deleted: one switch for tags, manifests and blobs.
    pub delete: bool,
    /// Tags that are pushed once and never changed or deleted.
    pub immutable_tags: ImmutableTags,
    /// Settings of the cache.
    pub cache: CacheSettings,
    /// What to do with an image when it is unknown whether the machine runs it.
    pub policy: Policy,
    /// Accounts' logins at pass-through upstreams.
    pub logins: Option<Logins>,
    /// Memory for documents that are read, parsed or derived from; shared with the upstreams.
    pub documents: DocumentBudget,
    /// Signs derived manifests and indexes, if set.
    pub signer: Option<Arc<dyn Signer>>,
    /// Settings of inspection.
    pub inspection: InspectionSettings,
    /// Settings of demand records.
    pub demand: DemandSettings,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            tag_lifetime: Duration::from_secs(60),
            local: LocalContent::default(),
            sparse: false,
            delete: true,
            immutable_tags: ImmutableTags::default(),
            cache: CacheSettings::default(),
            policy: Policy::default(),
            logins: None,
            documents: DocumentBudget::default(),
            signer: None,
            inspection: InspectionSettings::default(),
            demand: DemandSettings::default(),
        }
    }
}

/// The registry: everything between HTTP and the store, on behalf of one caller. Cheap to clone.
/// Clients' requests go through [`Registry::read`], [`Registry::push`] and [`Registry::delete`].
#[derive(Clone)]
pub struct Registry {
    inner: Arc<Inner>,
    caller: access::pass_through::Caller,
    /// The number of a client without an account, by its network address; else 0.
    client: i64,
}

struct Inner {
    store: Store,
    upstreams: Upstreams,
    catalog: watch::Receiver<Arc<Catalog>>,
    settings: Settings,
    fetches: cache::fetch::Fetches,
    room: cache::room::Room,
    leaders: cache::cross_repository::Leaders,
    collections: pull::collection::Collections,
    collections_found: pull::collection::CollectionsFound,
    collection_lookups: pull::collection::CollectionLookups,
    layers_found: pull::layers::LayersFound,
    /// Recent candidates of sources.
    judged: pull::candidates::JudgedLately,
    /// Statements of manifests and configurations, by the manifest's digest.
    said: moka::future::Cache<Digest, Arc<pull::judgement::Said>>,
    said_found: pull::judgement::SaidFound,
    /// The newest compatibility artifacts of images, as last fetched from their upstreams.
    compatibility: pull::compatibility::CompatibilityArtifacts,
    derivations: pull::choice::Derivations,
    answers: pull::answers::Answers,
    inspections: inspection::Inspections,
    documents: pull::document::Documents,
    revalidations: cache::revalidate::Revalidations,
    listings: cache::upstream_tags::Listings,
    referrers: pull::referrers::ReferrersLately,
    upstream_identities: access::upstream_proofs::UpstreamIdentities,
    counters: counters::Counters,
    usage: cache::last_used::Usage,
    demand: demand::counts::Counts,
}

impl Registry {
    /// A registry of its parts. A new catalog takes effect when `catalog` changes; running pulls
    /// finish under the former one.
    #[must_use]
    pub fn new(
        store: Store,
        upstreams: Upstreams,
        catalog: watch::Receiver<Arc<Catalog>>,
        settings: Settings,
    ) -> Self {
        Self {
            caller: access::pass_through::Caller::Nobody,
            client: 0,
            inner: Arc::new(Inner {
                upstream_identities: access::upstream_proofs::UpstreamIdentities::new(
                    settings.logins.clone(),
                ),
                store,
                upstreams,
                catalog,
                settings,
                fetches: cache::fetch::Fetches::default(),
                room: cache::room::Room::default(),
                leaders: cache::cross_repository::Leaders::default(),
                derivations: pull::choice::Derivations::default(),
                answers: pull::answers::Answers::default(),
                inspections: inspection::Inspections::default(),
                documents: pull::document::Documents::default(),
                collections: pull::collection::collections_lately(),
                collections_found: pull::standing::Lookups::default(),
                collection_lookups: pull::collection::collection_lookups(),
                layers_found: pull::standing::Lookups::default(),
                judged: pull::candidates::JudgedLately::new(),
                said: pull::judgement::said_lately(),
                said_found: pull::standing::Lookups::default(),
                compatibility: moka::future::Cache::builder().max_capacity(20_000).build(),
                revalidations: cache::revalidate::Revalidations::default(),
                listings: cache::upstream_tags::Listings::default(),
                referrers: pull::referrers::referrers_lately(),
                counters: counters::Counters::default(),
                usage: cache::last_used::Usage::default(),
                demand: demand::counts::Counts::default(),
            }),
        }
    }

    /// The current catalog.
    #[must_use]
    pub fn catalog(&self) -> Arc<Catalog> {
        Arc::clone(&self.inner.catalog.borrow())
    }

    /// The store of content and records.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.inner.store
    }

    /// The memory budget for documents that are read, parsed or derived from. Large ones are
    /// handled by [`DocumentBudget::run`] only.
    #[must_use]
    pub fn documents(&self) -> &DocumentBudget {
        &self.inner.settings.documents
    }

    /// The name here of a client's repository `name` on the registry `ns`.
    ///
    /// # Errors A text that is no host, or a host that is no upstream.
    pub fn namespaced(
        &self,
        ns: &str,
        name: &RepositoryName,
    ) -> Result<RepositoryName, NamespaceError> {
        self.upstreams().namespaced(ns, name)
    }

    pub(crate) fn counters(&self) -> &counters::Counters {
        &self.inner.counters
    }

    pub(crate) fn upstreams(&self) -> &Upstreams {
        &self.inner.upstreams
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.inner.settings
    }
}
