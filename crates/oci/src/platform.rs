//! The platform of an index entry, `image-index.md#image-index-property-descriptions`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::JsonMap;

/// Why a text is not a platform.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "'{0}' is not a platform: expected OS/ARCHITECTURE or OS/ARCHITECTURE/VARIANT, for example linux/amd64"
)]
pub struct PlatformError(String);

/// An operating system and an architecture in Go's names (`linux`, `amd64`), with what narrows
/// them down.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Platform {
    /// `GOOS`, such as `linux`.
    pub os: String,
    /// `GOARCH`, such as `amd64`.
    pub architecture: String,
    /// CPU variant, such as `v8`, or `v3` for amd64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
    /// Required features `key:value`: MetaHub's requirements. Reserved by the specification.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub features: Vec<String>,
    /// Operating system version, used by Windows images.
    #[serde(
        default,
        rename = "os.version",
        skip_serializing_if = "Option::is_none"
    )]
    pub os_version: Option<String>,
    /// Required operating system features.
    #[serde(default, rename = "os.features", skip_serializing_if = "Vec::is_empty")]
    pub os_features: Vec<String>,
}

impl Platform {
    /// `os/architecture` with nothing that narrows it down.
    #[must_use]
    pub fn new(os: &str, architecture: &str) -> Self {
        Self {
            os: os.to_owned(),
            architecture: architecture.to_owned(),
            ..Self::default()
        }
    }

    /// `linux/amd64`, which most images are for.
    #[must_use]
    pub fn linux_amd64() -> Self {
        Self::new("linux", "amd64")
    }

    /// Reads the `platform` of a descriptor leniently: what has the wrong type is left out, since
    /// content written by others must stay servable.
    #[must_use]
    pub fn from_json(map: &JsonMap) -> Self {
        PlatformView::of(map).to_platform()
    }

    /// Whether both name the same operating system and architecture, whatever narrows them down.
    #[must_use]
    pub fn same_machine(&self, other: &Self) -> bool {
        self.os == other.os && self.architecture == other.architecture
    }
}

/// A platform borrowed from a document, parsed as leniently as [`Platform::from_json`] does: for
/// choosing one entry among many.
#[derive(Clone, Copy, Debug)]
pub struct PlatformView<'a> {
    /// `GOOS`, empty where none is stated.
    pub os: &'a str,
    /// `GOARCH`, empty where none is stated.
    pub architecture: &'a str,
    /// CPU variant.
    pub variant: Option<&'a str>,
    /// Operating system version.
    pub os_version: Option<&'a str>,
    features: &'a [Value],
    os_features: &'a [Value],
}

impl<'a> PlatformView<'a> {
    pub(crate) fn of(map: &'a JsonMap) -> Self {
        let mut view = Self {
            os: "",
            architecture: "",
            variant: None,
            os_version: None,
            features: &[],
            os_features: &[],
        };
        // One pass over a handful of fields is faster than to hash a key for each.
        for (key, value) in map {
            match (key.as_str(), value) {
                ("os", Value::String(text)) => view.os = text,
                ("architecture", Value::String(text)) => view.architecture = text,
                ("variant", Value::String(text)) => {
                    view.variant = Some(text.as_str()).filter(|v| !v.is_empty());
                }
                ("os.version", Value::String(text)) => view.os_version = Some(text),
                ("features", Value::Array(list)) => view.features = list,
                ("os.features", Value::Array(list)) => view.os_features = list,
                _ => {}
            }
        }
        view
    }

    /// Required features.
    pub fn features(&self) -> impl Iterator<Item = &'a str> + Clone + use<'a> {
        self.features.iter().filter_map(Value::as_str)
    }

    /// Required operating system features.
    pub fn os_features(&self) -> impl Iterator<Item = &'a str> + Clone + use<'a> {
        self.os_features.iter().filter_map(Value::as_str)
    }

    /// The same as a value of its own.
    #[must_use]
    pub fn to_platform(&self) -> Platform {
        Platform {
            os: self.os.to_owned(),
            architecture: self.architecture.to_owned(),
            variant: self.variant.map(str::to_owned),
            features: self.features().map(str::to_owned).collect(),
            os_version: self.os_version.map(str::to_owned),
            os_features: self.os_features().map(str::to_owned).collect(),
        }
    }
}

impl fmt::Display for PlatformView<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        if let Some(variant) = self.variant {
            write!(f, "/{variant}")?;
        }
        Ok(())
    }
}

impl FromStr for Platform {
    type Err = PlatformError;

    fn from_str(text: &str) -> Result<Self, PlatformError> {
        let parts: Vec<&str> = text.split('/').collect();
        let word = |part: &str| {
            !part.is_empty()
                && part
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
        };
        if !parts.iter().all(|part| word(part)) {
            return Err(PlatformError(text.to_owned()));
        }
        match parts.as_slice() {
            [os, architecture] => Ok(Self::new(os, architecture)),
            [os, architecture, variant] => Ok(Self {
                variant: Some((*variant).to_owned()),
                ..Self::new(os, architecture)
            }),
            _ => Err(PlatformError(text.to_owned())),
        }
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        if let Some(variant) = &self.variant {
            write!(f, "/{variant}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_platform_reads_and_prints_the_same() {
        for text in ["linux/amd64", "linux/arm64/v8"] {
            assert_eq!(text.parse::<Platform>().unwrap().to_string(), text);
        }
        for text in ["", "linux", "linux/", "a/b/c/d", "linux/amd 64"] {
            assert!(text.parse::<Platform>().is_err(), "{text}");
        }
    }
}
