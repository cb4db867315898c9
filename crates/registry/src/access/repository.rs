//! The authorised handle on a repository: every read and every change that a client asks for goes
//! through a [`Repository`].
//!
//! A handle is made from a [`Granted`], which only the check of an identity's rights makes, and its
//! type states that right. What the right does not settle is checked when the handle is made (may
//! this name be pushed to at all? may anything be deleted?) or, for pass-through upstreams, by
//! [`Repository::authorise`] with each request. No code of `pull`, `push` or `cache` reaches a
//! repository of the store, or an upstream, in another way: the types that do,
//! [`StoredRepository`], [`UpstreamRepository`](crate::access::location::UpstreamRepository),
//! [`PushAccess`] and [`DeleteAccess`], can only be made here.

use std::borrow::Cow;
use std::marker::PhantomData;
use std::net::IpAddr;

use metahub_auth::{Granted, Right};
use metahub_oci::{Digest, RepositoryName};

use crate::Registry;
use crate::access::change::{DeleteAccess, PushAccess};
use crate::access::location::Location;
use crate::access::pass_through::Request;
use crate::access::stored::StoredRepository;
use crate::error::{NotAllowed, RegistryError};

const DELETE_IS_OFF: &str =
    "deleting is switched off on this registry (delete: false in its configuration)";

/// The right to read: manifests, blobs, tags, referrers.
#[derive(Debug)]
pub enum Read {}
/// The right to push manifests and blobs.
#[derive(Debug)]
pub enum Push {}
/// The right to delete manifests, blobs and tags.
#[derive(Debug)]
pub enum Delete {}

/// A repository on which the caller has the right `R`.
///
/// It cannot be made without that right, nor used for another:
///
/// ```compile_fail
/// use metahub_registry::{Read, Repository};
/// fn forge<'r>(name: &'r metahub_oci::RepositoryName) -> Repository<'r, Read> {
///     Repository { name, right: std::marker::PhantomData }
/// }
/// ```
///
/// ```compile_fail
/// use metahub_registry::{Read, Repository};
/// async fn delete(repository: &Repository<'_, Read>, digest: &metahub_oci::Digest) {
///     let _ = repository.delete_manifest(digest).await;
/// }
/// ```
///
/// ```
/// use metahub_registry::{Delete, Repository};
/// async fn delete(repository: &Repository<'_, Delete>, digest: &metahub_oci::Digest) {
///     let _ = repository.delete_manifest(digest).await;
/// }
/// ```
pub struct Repository<'r, R> {
    /// The registry on behalf of the caller.
    registry: Registry,
    name: &'r RepositoryName,
    right: PhantomData<R>,
}

impl Registry {
    /// The repository of `granted`, for reading. `client` is the client's address: clients without
    /// an account have a bounded share of the cache by address.
    ///
    /// # Errors A right other than to pull.
    pub fn read<'r>(
        &self,
        granted: &'r Granted,
        client: IpAddr,
    ) -> Result<Repository<'r, Read>, RegistryError> {
        self.granted(granted, Right::Pull, client)
    }

    /// The repository of `granted`, for pushing.
    ///
    /// # Errors A right other than to push, and a name that leads to a pass-through upstream: its
    /// content is that upstream's alone.
    pub fn push<'r>(
        &self,
        granted: &'r Granted,
        client: IpAddr,
    ) -> Result<Repository<'r, Push>, RegistryError> {
        self.may_change(granted.repository(), false)?;
        self.granted(granted, Right::Push, client)
    }

    /// The repository of `granted`, for deleting.
    ///
    /// # Errors A right other than to delete, disabled deletions, and a name that leads to a
    /// pass-through upstream, of which only an admin deletes a copy.
    pub fn delete<'r>(
        &self,
        granted: &'r Granted,
        client: IpAddr,
    ) -> Result<Repository<'r, Delete>, RegistryError> {
        self.may_change(granted.repository(), granted.is_admin())?;
        self.deletes()?;
        self.granted(granted, Right::Delete, client)
    }

    fn granted<'r, R>(
        &self,
        granted: &'r Granted,
        right: Right,
        client: IpAddr,
    ) -> Result<Repository<'r, R>, RegistryError> {
        let name = granted.repository();
        if granted.right() != right {
            let (granted, name) = (granted.right(), name.clone());
            return Err(NotAllowed::Right {
                right,
                granted,
                name,
            }
            .into());
        }
        let registry = match granted.account() {
            Some(account) => self.on_behalf_of(account),
            None if granted.is_node() => self.clone(),
            None => self.of_client(client),
        };
        Ok(registry.repository(name))
    }

    fn deletes(&self) -> Result<(), RegistryError> {
        if self.settings().delete {
            Ok(())
        } else {
            Err(RegistryError::Unsupported(DELETE_IS_OFF))
        }
    }

    fn repository<'r, R>(&self, name: &'r RepositoryName) -> Repository<'r, R> {
        Repository {
            registry: self.clone(),
            name,
            right: PhantomData,
        }
    }

    /// Repositories for operators; never for a client's request.
    #[must_use]
    pub fn operator(&self) -> Operator {
        Operator(self.clone())
    }

    /// The repositories that hold a blob and are not a pass-through upstream's.
    pub(crate) async fn open_repositories_with(
        &self,
        digest: &Digest,
    ) -> Result<Vec<RepositoryName>, RegistryError> {
        let mut found = self.store().repositories_with_blob(digest).await?;
        found.retain(|name| self.is_open(name));
        Ok(found)
    }

    /// The stored repository of `granted`, without asking an upstream.
    ///
    /// # Errors
    /// A right to something else than to pull, and a pass-through upstream's repository.
    pub(crate) fn open_to(&self, granted: &Granted) -> Result<StoredRepository, RegistryError> {
        let name = granted.repository();
        if granted.right() != Right::Pull || !self.is_open(name) {
            return Err(RegistryError::NameUnknown(name.clone()));
        }
        Ok(StoredRepository::new(self.store(), name.clone()))
    }

    /// A repository by its name in the store, for upkeep: not checked, and shown to no client.
    pub(crate) fn repository_for_upkeep(&self, name: &RepositoryName) -> StoredRepository {
        StoredRepository::new(self.store(), name.clone())
    }
}

/// Repositories for operators: the command, the control socket, the demo. No login is checked,
/// since operators can change the files anyway. Pass-through upstreams stay closed, since there is
/// no account to ask them with.
#[derive(Clone)]
pub struct Operator(Registry);

impl Operator {
    pub(crate) fn registry(&self) -> &Registry {
        &self.0
    }

    /// The same for a client without an account at `address`: with a bounded share of the cache.
    #[must_use]
    pub fn as_client(&self, address: IpAddr) -> Self {
        Self(self.0.of_client(address))
    }

    /// For reading.
    #[must_use]
    pub fn read<'n>(&self, name: &'n RepositoryName) -> Repository<'n, Read> {
        self.0.repository(name)
    }

    /// For pushing.
    ///
    /// # Errors
    /// A name that leads to a pass-through upstream.
    pub fn push<'n>(
        &self,
        name: &'n RepositoryName,
    ) -> Result<Repository<'n, Push>, RegistryError> {
        self.0.may_change(name, false)?;
        Ok(self.0.repository(name))
    }

    /// For deleting.
    ///
    /// # Errors
    /// Deletions that are switched off.
    pub fn delete<'n>(
        &self,
        name: &'n RepositoryName,
    ) -> Result<Repository<'n, Delete>, RegistryError> {
        self.0.may_change(name, true)?;
        self.0.deletes()?;
        Ok(self.0.repository(name))
    }
}

impl<R> Repository<'_, R> {
    /// What clients call it.
    #[must_use]
    pub fn name(&self) -> &RepositoryName {
        self.name
    }

    /// The registry as the caller sees it.
    pub(crate) fn registry(&self) -> &Registry {
        &self.registry
    }
}

impl Repository<'_, Read> {
    /// The repository of the store that clients push to under this name: no copy of an upstream's.
    pub(crate) fn pushed_here(&self) -> Result<StoredRepository, RegistryError> {
        self.registry.may_change(self.name, true)?;
        Ok(StoredRepository::new(
            self.registry.store(),
            self.name.clone(),
        ))
    }

    /// Authorises one request: where the name leads to a pass-through upstream, the caller must
    /// have the right to read it there. A caller without it gets the upstream's own answer,
    /// whatever is cached here.
    pub(crate) async fn authorise(
        &self,
        request: Request<'_>,
    ) -> Result<Authorised<'_>, RegistryError> {
        let registry = self.registry.authorised(self.name, request).await?;
        let storage = registry.storage_repository(self.name)?.into_owned();
        let stored = StoredRepository::new(registry.store(), storage);
        Ok(Authorised {
            registry,
            name: self.name,
            stored,
        })
    }
}

impl Repository<'_, Push> {
    pub(crate) fn pushes(&self) -> PushAccess<'_> {
        let registry = &self.registry;
        let stored = StoredRepository::new(registry.store(), self.name.clone());
        let immutable = &registry.settings().immutable_tags;
        PushAccess::new(registry.store(), stored, immutable, registry.account())
    }
}

impl Repository<'_, Delete> {
    pub(crate) fn deletes(&self) -> Result<DeleteAccess<'_>, RegistryError> {
        let registry = &self.registry;
        let storage = registry.storage_repository(self.name)?.into_owned();
        let stored = StoredRepository::new(registry.store(), storage);
        let immutable = &registry.settings().immutable_tags;
        Ok(DeleteAccess::new(
            registry.store(),
            self.name,
            stored,
            immutable,
        ))
    }
}

/// A repository that the caller may read, for the length of one request.
pub(crate) struct Authorised<'r> {
    /// With the caller's proof, for a pass-through upstream.
    registry: Cow<'r, Registry>,
    name: &'r RepositoryName,
    stored: StoredRepository,
}

impl Authorised<'_> {
    pub(crate) fn registry(&self) -> &Registry {
        &self.registry
    }

    /// What clients call it.
    pub(crate) fn name(&self) -> &RepositoryName {
        self.name
    }

    /// The repository `name` that a document names; `None` if it is this one. The right to pull
    /// counts for all repositories except those of pass-through upstreams.
    ///
    /// # Errors
    /// A pass-through upstream's repository: what is derived is for everybody.
    pub(crate) fn elsewhere<'a>(
        &'a self,
        name: &'a RepositoryName,
    ) -> Result<Option<Authorised<'a>>, RegistryError> {
        if name == self.name {
            return Ok(None);
        }
        let registry = self.registry();
        registry.document_may_name(None, name)?;
        Ok(Some(Authorised {
            registry: Cow::Borrowed(registry),
            name,
            stored: StoredRepository::new(registry.store(), name.clone()),
        }))
    }

    /// The repository of the store for content fetched and derived under this name.
    pub(crate) fn stored(&self) -> &StoredRepository {
        &self.stored
    }

    /// The same as a location, without any upstream.
    pub(crate) fn stored_location(&self) -> Location {
        Location::Local(self.stored.clone())
    }

    /// The locations of its content, in search order; see [`Registry::locations_of`].
    pub(crate) async fn locations(&self) -> Result<Vec<Location>, RegistryError> {
        self.registry.locations_of(self.name).await
    }

    /// The same for its upstreams alone.
    pub(crate) fn upstream_locations(&self) -> Result<Vec<Location>, RegistryError> {
        self.registry.upstream_locations_of(self.name)
    }

    /// The location of pushed content, if the name can be pushed to.
    pub(crate) fn local(&self) -> Option<Location> {
        self.registry.local(self.name)
    }
}
