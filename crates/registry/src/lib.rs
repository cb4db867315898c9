//! One pull or push between HTTP and the store.
//!
//! A name is looked up in its places (a collection, a repository held here, an upstream), a tag
//! runs the events of the login's profile, and what they derive is kept as content like any
//! other. A digest never runs anything: its bytes always hash to it. Rights are not checked here
//! but by the caller; decisions about documents are not made here but in `resolve`.
//!
//! Files are named by what they do on the way of a pull: `place` → `source` → `derive` (and
//! `choice`, `derivation`, `made`), and beside them `blob` with `fill` and `share`, `push`, `upload`, `list`.

mod blob;
mod bound;
mod candidates;
mod choice;
mod client;
mod collection;
mod counters;
mod derivation;
mod derive;
mod documents;
mod enter;
mod error;
mod evict;
mod explanation;
mod fill;
mod free;
mod gather;
mod gather_contents;
mod gather_merge;
mod gather_parts;
mod images;
mod immutable;
mod import;
mod import_check;
mod judgement;
mod list;
mod listing;
mod local_names;
mod made;
mod maintenance;
mod nested;
mod personal;
mod place;
mod plan;
mod push;
mod recheck;
mod resolution;
mod room;
mod runnable;
mod share;
mod source;
mod statements;
mod told;
mod upload;
mod usage;

use std::sync::Arc;
use std::time::Duration;

use metahub_catalog::Catalog;
use metahub_limits::DocumentBudget;
use metahub_oci::{Digest, RepositoryName};
use metahub_store::Store;
use metahub_upstream::{Logins, Upstreams};
use tokio::sync::watch;

pub use blob::BlobRead;
pub use counters::{Counts, UpstreamCounts};
pub use derive::{Accepts, Served};
pub use error::{NotAllowed, RegistryError};
pub use evict::{CacheSettings, Kept};
pub use explanation::{AddedLayers, Child, Explanation, Resolution, SourceKind};
pub use fill::{Fetching, Scout};
pub use free::{Free, FreeError};
pub use immutable::ImmutableTags;
pub use import::{Import, ImportError, Imported, Importing};
pub use list::{ListPage, Referrers, TagList};
pub use local_names::{EmptyName, Released};
pub use maintenance::Scrubbed;
pub use metahub_resolve::{Policy, Unsure};
pub use metahub_upstream::NamespaceError;
pub use place::LocalContent;
pub use plan::{Gathering, Plan, PlanContent, PlanEntry, PlanOrigin, Wanted};
pub use push::Pushed;
pub use statements::ImageSays;

/// How the registry behaves where sites differ.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How long an upstream's tag is taken as it was last seen, where nothing else is said of that
    /// upstream.
    pub tag_lifetime: Duration,
    /// Where a name is looked for first.
    pub local: LocalContent,
    /// Whether a pushed manifest may refer to content that is not here.
    pub sparse: bool,
    /// Whether anything may be deleted: one switch for tags, manifests and blobs.
    pub delete: bool,
    /// Tags that are pushed once and never changed or deleted.
    pub immutable_tags: ImmutableTags,
    /// How much may be kept of upstreams.
    pub cache: CacheSettings,
    /// What is done where it is not known whether a machine runs an image.
    pub policy: Policy,
    /// Who accounts are at upstreams that are read under each account's own identity.
    pub logins: Option<Logins>,
    /// Memory for documents that are read, parsed or derived from; shared with the upstreams.
    pub documents: DocumentBudget,
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
        }
    }
}

/// The registry: everything between HTTP and the store, as one caller sees it. Cheap to clone.
/// Nobody in particular calls, unless [`Registry::on_behalf_of`] says who.
#[derive(Clone)]
pub struct Registry {
    inner: Arc<Inner>,
    caller: enter::Caller,
    /// As [`Registry::of_client`] says.
    client: i64,
}

struct Inner {
    store: Store,
    upstreams: Upstreams,
    catalog: watch::Receiver<Arc<Catalog>>,
    settings: Settings,
    fills: fill::Fills,
    room: room::Room,
    leads: share::Leads,
    collections: moka::future::Cache<Digest, collection::Built>,
    /// The candidates of sources, as logins were judged by them lately.
    judged: candidates::JudgedLately,
    /// What manifests and configurations say, by the manifest's digest.
    said: moka::future::Cache<Digest, Arc<judgement::Said>>,
    /// The newest compatibility artifacts of images, as their upstreams told them last.
    told: told::Told,
    derivations: choice::Derivations,
    documents: documents::Documents,
    rechecks: recheck::Rechecks,
    listings: listing::Listings,
    referrers: list::ReferrersLately,
    personal: personal::Personals,
    counters: counters::Counters,
    usage: usage::Usage,
}

impl Registry {
    /// A registry over its parts. Another catalog takes effect when `catalog` changes; pulls that
    /// run go on under the former one.
    #[must_use]
    pub fn new(
        store: Store,
        upstreams: Upstreams,
        catalog: watch::Receiver<Arc<Catalog>>,
        settings: Settings,
    ) -> Self {
        Self {
            caller: enter::Caller::Nobody,
            client: 0,
            inner: Arc::new(Inner {
                personal: personal::Personals::new(settings.logins.clone()),
                store,
                upstreams,
                catalog,
                settings,
                fills: fill::Fills::default(),
                room: room::Room::default(),
                leads: share::Leads::default(),
                derivations: choice::Derivations::default(),
                documents: documents::Documents::default(),
                collections: moka::future::Cache::builder()
                    .max_capacity(1000)
                    .time_to_live(collection::LIFETIME)
                    .build(),
                judged: candidates::JudgedLately::new(),
                said: judgement::said_lately(),
                told: moka::future::Cache::builder().max_capacity(20_000).build(),
                rechecks: recheck::Rechecks::default(),
                listings: listing::Listings::default(),
                referrers: list::referrers_lately(),
                counters: counters::Counters::default(),
                usage: usage::Usage::default(),
            }),
        }
    }

    /// The documents in force now.
    #[must_use]
    pub fn catalog(&self) -> Arc<Catalog> {
        Arc::clone(&self.inner.catalog.borrow())
    }

    /// Where content and metadata are kept.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.inner.store
    }

    /// The memory for documents that are read, parsed or derived from. Large ones are worked on
    /// with [`DocumentBudget::run`] only.
    #[must_use]
    pub fn documents(&self) -> &DocumentBudget {
        &self.inner.settings.documents
    }

    /// What the repository is called here that a client calls `name` on the registry `ns`.
    ///
    /// # Errors
    /// A text that is no host, or a host that nothing is read from.
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
