//! Image references as people write them: `[HOST/]NAME[:TAG][@DIGEST]`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{Digest, DigestError, NameError, Reference, RepositoryName, Tag, TagError};

/// Why a text is not a registry host.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "'{0}' is not a registry host: expected HOST or HOST:PORT, for example quay.io or localhost:5000"
)]
pub struct HostError(String);

/// A registry's host name, with a port where one was written. Lower case.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Host(Box<str>);

impl Host {
    /// The host as text, `HOST` or `HOST:PORT`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the first path component of a reference names a host rather than a namespace:
    /// it has a dot or a port, or is `localhost`. The rule that every client shares.
    #[must_use]
    pub fn is_written_as_host(component: &str) -> bool {
        component == "localhost" || component.contains(['.', ':'])
    }
}

impl FromStr for Host {
    type Err = HostError;

    fn from_str(text: &str) -> Result<Self, HostError> {
        let error = || HostError(text.to_owned());
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port)) if !host.ends_with(']') || text.starts_with('[') => {
                (host, Some(port))
            }
            _ => (text, None),
        };
        let name_ok = !host.is_empty()
            && host.split('.').all(|label| {
                !label.is_empty()
                    && !label.starts_with('-')
                    && !label.ends_with('-')
                    && label
                        .bytes()
                        .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
            });
        let address_ok = host.starts_with('[')
            && host.ends_with(']')
            && host
                .bytes()
                .all(|b| b.is_ascii_hexdigit() || matches!(b, b'[' | b']' | b':'));
        let port_ok = port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port != 0));
        if (name_ok || address_ok) && port_ok {
            Ok(Self(text.to_ascii_lowercase().into()))
        } else {
            Err(error())
        }
    }
}

impl TryFrom<String> for Host {
    type Error = HostError;

    fn try_from(text: String) -> Result<Self, HostError> {
        text.parse()
    }
}

impl From<Host> for String {
    fn from(host: Host) -> Self {
        host.0.into()
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why a text is not an image reference.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ImageReferenceError {
    /// The host before the first slash.
    #[error(transparent)]
    Host(#[from] HostError),
    /// The repository name.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The tag after the colon.
    #[error(transparent)]
    Tag(#[from] TagError),
    /// The digest after the at sign.
    #[error(transparent)]
    Digest(#[from] DigestError),
}

/// `[HOST/]NAME[:TAG][@DIGEST]`. Where both tag and digest are written, the digest decides.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ImageReference {
    host: Option<Host>,
    name: RepositoryName,
    tag: Option<Tag>,
    digest: Option<Digest>,
}

impl ImageReference {
    /// A reference from its parts.
    #[must_use]
    pub fn new(host: Option<Host>, name: RepositoryName, reference: Reference) -> Self {
        let (tag, digest) = match reference {
            Reference::Tag(tag) => (Some(tag), None),
            Reference::Digest(digest) => (None, Some(digest)),
        };
        Self {
            host,
            name,
            tag,
            digest,
        }
    }

    /// The registry's host, where one is written.
    #[must_use]
    pub fn host(&self) -> Option<&Host> {
        self.host.as_ref()
    }

    /// The same of another repository of the same host.
    #[must_use]
    pub fn with_name(self, name: RepositoryName) -> Self {
        Self { name, ..self }
    }

    /// The repository's name, without the host.
    #[must_use]
    pub fn name(&self) -> &RepositoryName {
        &self.name
    }

    /// The tag, where one is written.
    #[must_use]
    pub fn tag(&self) -> Option<&Tag> {
        self.tag.as_ref()
    }

    /// The digest, where one is written.
    #[must_use]
    pub fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// What to ask the repository for: the digest if written, else the tag, else `latest`.
    #[must_use]
    pub fn reference(&self) -> Reference {
        match (&self.digest, &self.tag) {
            (Some(digest), _) => Reference::Digest(digest.clone()),
            (None, Some(tag)) => Reference::Tag(tag.clone()),
            (None, None) => Reference::Tag(Tag::latest()),
        }
    }
}

impl FromStr for ImageReference {
    type Err = ImageReferenceError;

    fn from_str(text: &str) -> Result<Self, ImageReferenceError> {
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest.parse()?)),
            None => (text, None),
        };
        let (host, rest) = match rest.split_once('/') {
            Some((host, rest)) if Host::is_written_as_host(host) => (Some(host.parse()?), rest),
            _ => (None, rest),
        };
        let (name, tag) = match rest.rsplit_once(':') {
            Some((name, tag)) => (name, Some(tag.parse()?)),
            None => (rest, None),
        };
        Ok(Self {
            host,
            name: name.parse()?,
            tag,
            digest,
        })
    }
}

impl TryFrom<String> for ImageReference {
    type Error = ImageReferenceError;

    fn try_from(text: String) -> Result<Self, ImageReferenceError> {
        text.parse()
    }
}

impl From<ImageReference> for String {
    fn from(reference: ImageReference) -> Self {
        reference.to_string()
    }
}

impl fmt::Display for ImageReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(host) = &self.host {
            write!(f, "{host}/")?;
        }
        self.name.fmt(f)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(f, "@{digest}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for ImageReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn references_split_into_host_name_tag_and_digest() {
        for (text, host, name, tag, digest) in [
            ("gromacs", None, "gromacs", None, false),
            (
                "qnib/featuretest:latest",
                None,
                "qnib/featuretest",
                Some("latest"),
                false,
            ),
            ("quay.io/x/y", Some("quay.io"), "x/y", None, false),
            ("localhost/x:1", Some("localhost"), "x", Some("1"), false),
            (
                "127.0.0.1:5000/x/y:2",
                Some("127.0.0.1:5000"),
                "x/y",
                Some("2"),
                false,
            ),
            ("[::1]:5000/x", Some("[::1]:5000"), "x", None, false),
            (&format!("x/y:1@{DIGEST}"), None, "x/y", Some("1"), true),
        ] {
            let reference: ImageReference = text.parse().unwrap();
            assert_eq!(reference.host().map(Host::as_str), host, "{text}");
            assert_eq!(reference.name().as_str(), name);
            assert_eq!(reference.tag().map(Tag::as_str), tag);
            assert_eq!(reference.digest().is_some(), digest);
            assert_eq!(reference.to_string(), text, "it prints as it was written");
        }
    }

    #[test]
    fn what_is_not_a_reference_is_refused() {
        for text in [
            "",
            "UPPER/case",
            "x:",
            "x@sha256:1",
            "quay.io/",
            "a b",
            ":5000/x",
            "x:1:2",
            "h:99999/x",
        ] {
            assert!(text.parse::<ImageReference>().is_err(), "{text}");
        }
    }
}
