//! The events of a pull on which a profile's actions happen.

use std::fmt;

use serde::{Serialize, Serializer};

/// When an action happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Event {
    /// A tag was requested; nothing has been read yet.
    PreManifestGet,
    /// An index (a "manifest list") was read for a request by tag, before it is answered.
    PostManifestListGet,
    /// A single image's manifest was read, alone or as a child of an index that is served.
    PostManifestGet,
    /// A repository's tags were read, before they are listed.
    PostTagsListGet,
}

impl Event {
    /// All events, in the order in which they come.
    pub const ALL: [Self; 4] = [
        Self::PreManifestGet,
        Self::PostManifestListGet,
        Self::PostManifestGet,
        Self::PostTagsListGet,
    ];

    /// Its name in documents.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::PreManifestGet => "pre-manifest-get",
            Self::PostManifestListGet => "post-manifest-list-get",
            Self::PostManifestGet => "post-manifest-get",
            Self::PostTagsListGet => "post-tags-list-get",
        }
    }

    /// The event of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|event| event.as_str() == name)
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for Event {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}
