//! A lock file: the digest of every image that a catalog named when it was verified. People and CI
//! read it to see what changed; it does not affect what is served.

use std::collections::BTreeMap;

use metahub_oci::{Digest, ImageReference};
use serde::{Deserialize, Serialize};

/// The version of the form.
const VERSION: u32 = 1;
/// Most bytes of a lock file that are read.
pub const MAX_LOCK_BYTES: u64 = 32 * 1024 * 1024;

/// Why a text is no lock.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Something else.
    #[error("it is no lock of metahub catalog verify: {0}")]
    Form(#[from] serde_json::Error),
    /// A lock of another version.
    #[error("it is a lock of version {0}, and this program knows version {VERSION}")]
    Version(u32),
}

/// The digests of images.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CatalogLock {
    version: u32,
    /// By the images' names in documents.
    images: BTreeMap<String, Digest>,
}

/// A difference between a lock and a registry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Moved {
    /// The image's name in documents.
    pub image: String,
    /// The digest of the lock, if it has one.
    pub locked: Option<Digest>,
    /// The digest that the registry has now; `None` if no document names the image any more.
    pub found: Option<Digest>,
}

impl CatalogLock {
    /// A lock of these images.
    #[must_use]
    pub fn of<'i>(images: impl Iterator<Item = (&'i ImageReference, &'i Digest)>) -> Self {
        let images = images.map(|(image, digest)| (image.to_string(), digest.clone()));
        Self {
            version: VERSION,
            images: images.collect(),
        }
    }

    /// Reads a lock.
    ///
    /// # Errors
    /// A text that is none.
    pub fn parse(text: &str) -> Result<Self, LockError> {
        let lock: Self = serde_json::from_str(text)?;
        if lock.version == VERSION {
            Ok(lock)
        } else {
            Err(LockError::Version(lock.version))
        }
    }

    /// The lock as a text, one line for each image, in the order of their names.
    ///
    /// # Errors
    /// None in practice.
    pub fn to_text(&self) -> Result<String, LockError> {
        Ok(serde_json::to_string_pretty(self)? + "\n")
    }

    /// Where `now` differs from this lock, in the order of the names.
    #[must_use]
    pub fn moved(&self, now: &Self) -> Vec<Moved> {
        let mut moved: Vec<Moved> = now
            .images
            .iter()
            .filter(|(image, digest)| self.images.get(*image) != Some(*digest))
            .map(|(image, digest)| Moved {
                image: image.clone(),
                locked: self.images.get(image).cloned(),
                found: Some(digest.clone()),
            })
            .collect();
        let gone = self.images.iter();
        let gone = gone.filter(|(image, _)| !now.images.contains_key(*image));
        moved.extend(gone.map(|(image, digest)| Moved {
            image: image.clone(),
            locked: Some(digest.clone()),
            found: None,
        }));
        moved.sort_by(|a, b| a.image.cmp(&b.image));
        moved
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_is_read_as_it_is_written_and_tells_what_moved() {
        let digest = |text: &str| Digest::sha256(text.as_bytes());
        let image = |text: &str| text.parse::<ImageReference>().unwrap();
        let (a, b, c) = (image("host.example/a:1"), image("b:1"), image("c:1"));
        let old = [(&a, digest("a")), (&b, digest("b"))];
        let old = CatalogLock::of(old.iter().map(|(image, digest)| (*image, digest)));
        let text = old.to_text().unwrap();
        assert_eq!(CatalogLock::parse(&text).unwrap(), old);
        let new = [(&a, digest("other")), (&c, digest("c"))];
        let new = CatalogLock::of(new.iter().map(|(image, digest)| (*image, digest)));
        let moved = old.moved(&new);
        let names: Vec<&str> = moved.iter().map(|one| one.image.as_str()).collect();
        assert_eq!(names, ["b:1", "c:1", "host.example/a:1"]);
        assert_eq!(moved[0].found, None);
        assert_eq!(moved[1].locked, None);
        assert!(old.moved(&old).is_empty());
        for wrong in [
            "",
            "[]",
            "{\"version\": 1}",
            "{\"version\":1,\"images\":{},\"x\":1}",
        ] {
            assert!(CatalogLock::parse(wrong).is_err(), "{wrong}");
        }
        let other = CatalogLock::parse("{\"version\":2,\"images\":{}}");
        assert!(other.unwrap_err().to_string().contains("version 2"));
    }
}
