//! Image configurations, `config.md`: read where needed, rewritten without losing a field.

use bytes::Bytes;
use serde_json::Value;

use crate::descriptor::kind;
use crate::document_parts::compact;
use crate::{Digest, JsonMap, Platform};

/// Why bytes are not an image configuration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// Not JSON.
    #[error("an image configuration is a JSON object; this is not JSON: {0}")]
    NotJson(String),
    /// JSON, but no object.
    #[error("an image configuration is a JSON object, not {0}")]
    NotAnObject(&'static str),
    /// `rootfs.diff_ids` is missing or no list of digests.
    #[error("an image configuration needs rootfs.diff_ids, a list of digests; found {0}")]
    DiffIds(String),
}

/// An image's configuration, with its exact bytes.
#[derive(Clone, Debug)]
pub struct ImageConfig {
    bytes: Bytes,
    digest: Digest,
    map: JsonMap,
    diff_ids: Vec<Digest>,
}

impl ImageConfig {
    /// Parses a configuration.
    pub fn parse(bytes: Bytes) -> Result<Self, ConfigError> {
        let value: Value = serde_json::from_slice(&bytes)
            .map_err(|error| ConfigError::NotJson(error.to_string()))?;
        let Value::Object(map) = value else {
            return Err(ConfigError::NotAnObject(kind(&value)));
        };
        let digest = Digest::sha256(&bytes);
        let diff_ids = diff_ids_of(&map)?;
        Ok(Self {
            bytes,
            digest,
            map,
            diff_ids,
        })
    }

    /// The configuration that `map` makes, as compact JSON in the map's own order.
    pub fn from_map(map: JsonMap) -> Result<Self, ConfigError> {
        let diff_ids = diff_ids_of(&map)?;
        let bytes = compact(&map);
        let digest = Digest::sha256(&bytes);
        Ok(Self {
            bytes,
            digest,
            map,
            diff_ids,
        })
    }

    /// The exact bytes.
    #[must_use]
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// What the bytes hash to.
    #[must_use]
    pub fn digest(&self) -> &Digest {
        &self.digest
    }

    /// All fields, in their order.
    #[must_use]
    pub fn as_json(&self) -> &JsonMap {
        &self.map
    }

    /// The digests of the uncompressed layers, bottom first.
    #[must_use]
    pub fn diff_ids(&self) -> &[Digest] {
        &self.diff_ids
    }

    /// The platform that the image was built for.
    #[must_use]
    pub fn platform(&self) -> Platform {
        Platform::from_json(&self.map)
    }

    /// Environment entries `NAME=VALUE` as written in `config.Env`.
    pub fn env(&self) -> impl Iterator<Item = &str> {
        self.map
            .get("config")
            .and_then(|config| config.get("Env"))
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
    }
}

fn diff_ids_of(map: &JsonMap) -> Result<Vec<Digest>, ConfigError> {
    let list = match map.get("rootfs").and_then(|rootfs| rootfs.get("diff_ids")) {
        Some(Value::Array(list)) => list,
        Some(Value::Null) | None if map.contains_key("rootfs") => return Ok(Vec::new()),
        Some(other) => return Err(ConfigError::DiffIds(kind(other).to_owned())),
        None => return Err(ConfigError::DiffIds("none".to_owned())),
    };
    list.iter()
        .map(|item| {
            item.as_str()
                .ok_or_else(|| ConfigError::DiffIds(kind(item).to_owned()))?
                .parse()
                .map_err(|error: crate::DigestError| ConfigError::DiffIds(error.to_string()))
        })
        .collect()
}
