//! The key `catalog`: files and folders of documents, and catalogs of other registries that are
//! followed.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use metahub_oci::ImageReference;
use metahub_upstream::CredentialsConfig;
use schemars::JsonSchema;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::time::Time;

/// The prefix of a followed catalog that is written as one text.
const SCHEME: &str = "oci://";
/// The shortest interval of polling.
const MOST_OFTEN: Duration = Duration::from_secs(1);

/// A source of documents.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema)]
#[schemars(untagged)]
pub(crate) enum CatalogEntry {
    /// A file or a folder.
    Path(PathBuf),
    /// A catalog of another registry.
    Followed(#[schemars(with = "FollowedConfig")] Box<FollowedConfig>),
}

/// A catalog of another registry that is followed.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct FollowedConfig {
    /// The catalog: HOST/NAME:TAG.
    #[serde(deserialize_with = "reference")]
    #[schemars(with = "String")]
    pub(crate) oci: ImageReference,
    /// PEM file of the public key that has to have signed it, as `cosign sign` does.
    #[serde(default)]
    pub(crate) key: Option<PathBuf>,
    /// How often to ask whether the tag names another catalog; 0s: at the start and on SIGHUP only.
    #[serde(default = "minute", deserialize_with = "every")]
    #[schemars(with = "String")]
    pub(crate) every: Duration,
    /// Speak HTTP without TLS.
    #[serde(default)]
    pub(crate) plain_http: bool,
    /// PEM file of authorities to trust beside the system's.
    #[serde(default)]
    pub(crate) ca_file: Option<PathBuf>,
    /// Who we are there; anonymous by default.
    #[serde(default)]
    pub(crate) credentials: Option<CredentialsConfig>,
}

fn minute() -> Duration {
    Duration::from_mins(1)
}

fn every<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    let every = Time::deserialize(from)?.duration();
    if every.is_zero() || every >= MOST_OFTEN {
        return Ok(every);
    }
    Err(D::Error::custom(
        "expected at least 1s, or 0s for at the start and on SIGHUP only",
    ))
}

fn reference<'de, D: Deserializer<'de>>(from: D) -> Result<ImageReference, D::Error> {
    let text = String::deserialize(from)?;
    parsed(&text).map_err(D::Error::custom)
}

/// Reads `HOST/NAME:TAG` or `HOST/NAME@DIGEST`, with or without `oci://` before it.
pub(crate) fn parsed(text: &str) -> Result<ImageReference, String> {
    let bare = text.strip_prefix(SCHEME).unwrap_or(text);
    let wrong = |problem: &str| {
        format!("'{text}' is no catalog of a registry: {problem}; expected HOST/NAME:TAG")
    };
    let image: ImageReference = bare.parse().map_err(|error| wrong(&format!("{error}")))?;
    if image.host().is_none() {
        return Err(wrong("it names no host"));
    }
    if image.tag().is_none() && image.digest().is_none() {
        return Err(wrong("it names no tag"));
    }
    Ok(image)
}

impl FollowedConfig {
    fn new(oci: ImageReference) -> Self {
        Self {
            oci,
            key: None,
            every: minute(),
            plain_http: false,
            ca_file: None,
            credentials: None,
        }
    }
}

impl CatalogEntry {
    /// Has relative paths start at `folder`.
    pub(super) fn rebase(&mut self, folder: &Path) {
        let paths: Vec<&mut PathBuf> = match self {
            Self::Path(path) => vec![path],
            Self::Followed(followed) => {
                let mut paths: Vec<&mut PathBuf> = Vec::new();
                paths.extend(&mut followed.key);
                paths.extend(&mut followed.ca_file);
                if let Some(credentials) = &mut followed.credentials {
                    paths.extend(&mut credentials.password_file);
                    paths.extend(&mut credentials.docker_config);
                }
                paths
            }
        };
        for path in paths {
            *path = folder.join(&*path);
        }
    }
}

impl FromStr for CatalogEntry {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.starts_with(SCHEME) {
            let followed = FollowedConfig::new(parsed(text)?);
            return Ok(Self::Followed(Box::new(followed)));
        }
        Ok(Self::Path(PathBuf::from(text)))
    }
}

impl<'de> Deserialize<'de> for CatalogEntry {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Written;

        impl<'de> Visitor<'de> for Written {
            type Value = CatalogEntry;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a path, oci://HOST/NAME:TAG, or a mapping with the key oci")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<CatalogEntry, E> {
                text.parse().map_err(E::custom)
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<CatalogEntry, A::Error> {
                let followed = FollowedConfig::deserialize(MapAccessDeserializer::new(map))?;
                Ok(CatalogEntry::Followed(Box::new(followed)))
            }
        }

        from.deserialize_any(Written)
    }
}

/// The files and folders among `entries`.
pub(crate) fn paths(entries: &[CatalogEntry]) -> Vec<PathBuf> {
    let paths = entries.iter().filter_map(|entry| match entry {
        CatalogEntry::Path(path) => Some(path.clone()),
        CatalogEntry::Followed(_) => None,
    });
    paths.collect()
}

/// The followed catalogs among `entries`.
pub(crate) fn followed(entries: &[CatalogEntry]) -> impl Iterator<Item = &FollowedConfig> {
    entries.iter().filter_map(|entry| match entry {
        CatalogEntry::Path(_) => None,
        CatalogEntry::Followed(followed) => Some(&**followed),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::declare::Setting as _;
    use crate::config::yaml::parse;

    fn read(yaml: &str) -> Result<Vec<CatalogEntry>, String> {
        parse(yaml).map_err(|problem| problem.message)
    }

    #[test]
    fn a_path_a_reference_and_a_mapping_are_told_apart() {
        let entries = read(
            "[docs, 'oci://hub.example/site/catalog:prod', {oci: 'hub.example:5000/c:1', key: k.pub, \
             every: 5m, plain_http: true}]",
        )
        .unwrap();
        assert_eq!(paths(&entries), [PathBuf::from("docs")]);
        let found: Vec<_> = followed(&entries).collect();
        assert_eq!(found[0].oci.to_string(), "hub.example/site/catalog:prod");
        assert_eq!(found[0].every, Duration::from_mins(1));
        assert_eq!(found[1].oci.to_string(), "hub.example:5000/c:1");
        assert_eq!(found[1].every, Duration::from_mins(5));
        assert!(found[1].plain_http);
    }

    #[test]
    fn what_is_no_catalog_is_told() {
        for (yaml, expected) in [
            ("['oci://site/catalog:prod']", "names no host"),
            ("['oci://hub.example/site:x:y']", "expected HOST/NAME:TAG"),
            ("[{key: k}]", "oci"),
            ("[{oci: 'h.example/c:1', kee: k}]", "kee"),
            ("[{oci: 'h.example/c:1', every: 10ms}]", "at least 1s"),
            ("[[a]]", "a mapping with the key oci"),
        ] {
            let error = read(yaml).unwrap_err();
            assert!(error.contains(expected), "{yaml}: {error}");
        }
    }

    #[test]
    fn a_variable_is_paths_or_a_list() {
        let of = |text: &str| Vec::<CatalogEntry>::from_variable(text.into()).unwrap();
        assert_eq!(paths(&of("/a:/b")), [Path::new("/a"), Path::new("/b")]);
        let list = of("[/a, 'oci://h.example/c:1']");
        assert_eq!(paths(&list), [Path::new("/a")]);
        assert_eq!(followed(&list).count(), 1);
    }
}
