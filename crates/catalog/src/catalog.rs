//! The catalog: every collection and profile, by name. Immutable: a reload makes a new one.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, OnceLock};

use metahub_hardware::Microarchitectures;
use metahub_oci::{ImageReference, RepositoryName, Tag};

use crate::collection::Collection;
use crate::profile::Profile;
use crate::{ProfileName, suggestions};

type Profiles = HashMap<ProfileName, Profile>;

/// An immutable set of collections and profiles.
#[derive(Clone, Debug)]
pub struct Catalog {
    graph: Arc<Microarchitectures>,
    /// Profiles read from documents.
    documents: Profiles,
    /// The folded names of those in `library`, whatever their versions.
    names: HashSet<String>,
    /// How logins name each profile of a document; made when a login names none.
    selectors: OnceLock<Vec<suggestions::Name<String>>>,
    /// One profile for each CPU target. A document of the same name comes before it.
    targets: Arc<Profiles>,
    pub(crate) collections: HashMap<RepositoryName, BTreeMap<Tag, Collection>>,
}

fn profiles_of(graph: &Microarchitectures) -> Arc<Profiles> {
    let profiles = graph
        .iter()
        .filter_map(|known| Profile::of_target(known.target()))
        .chain(Profile::any())
        .map(|profile| (profile.name.clone(), profile));
    Arc::new(profiles.collect())
}

impl Catalog {
    /// The catalog without any document: a profile for each CPU target that archspec knows, and
    /// [`any`](Profile::ANY).
    #[must_use]
    pub fn builtin() -> Self {
        static TARGETS: OnceLock<Arc<Profiles>> = OnceLock::new();
        let graph = Microarchitectures::builtin();
        let targets = Arc::clone(TARGETS.get_or_init(|| profiles_of(&graph)));
        Self {
            graph,
            documents: HashMap::new(),
            names: HashSet::new(),
            selectors: OnceLock::new(),
            targets,
            collections: HashMap::new(),
        }
    }

    /// The same with a site's own CPU targets.
    #[must_use]
    pub fn in_graph(graph: Arc<Microarchitectures>) -> Self {
        if Arc::ptr_eq(&graph, &Microarchitectures::builtin()) {
            return Self::builtin();
        }
        Self {
            targets: profiles_of(&graph),
            graph,
            documents: HashMap::new(),
            names: HashSet::new(),
            selectors: OnceLock::new(),
            collections: HashMap::new(),
        }
    }

    /// The CPU targets that it knows.
    #[must_use]
    pub fn graph(&self) -> &Arc<Microarchitectures> {
        &self.graph
    }

    /// The profile of that name: a document's, else the built-in one of a CPU target.
    #[must_use]
    pub fn profile(&self, name: &ProfileName) -> Option<&Profile> {
        self.documents.get(name).or_else(|| self.targets.get(name))
    }

    /// Whether a profile in `library` has that name, in any version.
    pub(crate) fn has_profile_called(&self, name: &str) -> bool {
        let folded = suggestions::fold(name);
        self.names.contains(&folded)
            || ProfileName::new(None, name, None).is_ok_and(|name| self.targets.contains_key(&name))
    }

    /// How logins name each profile that was read from a document, for suggestions.
    pub(crate) fn selectors(&self) -> &[suggestions::Name<String>] {
        self.selectors.get_or_init(|| {
            self.documents
                .values()
                .map(|profile| suggestions::Name::new(profile.name.selector()))
                .collect()
        })
    }

    /// Adds a profile, unless a document has defined one of its name: then both are returned,
    /// the new one first, and the old one stays.
    pub(crate) fn add_profile(&mut self, profile: Profile) -> Option<(Profile, &Profile)> {
        match self.documents.entry(profile.name.clone()) {
            Entry::Occupied(first) => Some((profile, first.into_mut())),
            Entry::Vacant(place) => {
                if profile.name.is_in_library() {
                    self.names.insert(suggestions::fold(profile.name.name()));
                }
                place.insert(profile);
                self.selectors = OnceLock::new();
                None
            }
        }
    }

    /// Takes a document's profile out again.
    pub(crate) fn remove_profile(&mut self, name: &ProfileName) {
        self.documents.remove(name);
        let others = self.documents.keys().filter(|name| name.is_in_library());
        self.names = others.map(|name| suggestions::fold(name.name())).collect();
        self.selectors = OnceLock::new();
    }

    /// The names of the profiles that were read from documents.
    pub(crate) fn document_names(&self) -> impl Iterator<Item = &ProfileName> {
        self.documents.keys()
    }

    /// All profiles in no particular order, without built-in ones that a document replaces.
    pub fn profiles(&self) -> impl Iterator<Item = &Profile> {
        let builtin = self
            .targets
            .values()
            .filter(|profile| !self.documents.contains_key(&profile.name));
        self.documents.values().chain(builtin)
    }

    /// The collection of that name and tag.
    #[must_use]
    pub fn collection(&self, name: &RepositoryName, tag: &Tag) -> Option<&Collection> {
        self.collections.get(name)?.get(tag)
    }

    /// All collections; those of one name together, in the order of their tags.
    pub fn collections(&self) -> impl Iterator<Item = &Collection> {
        self.collections.values().flat_map(BTreeMap::values)
    }

    /// The same, with the images that collections point to found where `place` says.
    #[must_use]
    pub fn with_entries_at(mut self, place: impl Fn(&ImageReference) -> ImageReference) -> Self {
        let collections = self.collections.values_mut().flat_map(BTreeMap::values_mut);
        for entry in collections.flat_map(|collection| &mut collection.entries) {
            entry.image = place(&entry.image);
        }
        self
    }

    /// The tags of the collections of that name, in order.
    #[must_use]
    pub fn collection_tags(&self, name: &RepositoryName) -> Vec<&Tag> {
        self.collections
            .get(name)
            .map(|tags| tags.keys().collect())
            .unwrap_or_default()
    }
}
