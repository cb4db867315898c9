//! Values of settings as people write them.

use std::str::FromStr;
use std::time::Duration;

use bytesize::ByteSize;
use metahub_oci::MAX_MANIFEST_BYTES;
use metahub_upstream::UpstreamConfig;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use serde_saphyr::{Location, Spanned};

/// A length of time as people write it: `30s`, `1m 30s`, `500ms`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Time(Duration);

impl Time {
    pub(crate) fn duration(self) -> Duration {
        self.0
    }
}

impl From<Duration> for Time {
    fn from(duration: Duration) -> Self {
        Self(duration)
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        text.parse::<jiff::SignedDuration>()
            .ok()
            .and_then(|signed| Duration::try_from(signed).ok())
            .map(Self)
            .ok_or_else(|| {
                D::Error::custom(format!(
                    "'{text}' is not a length of time: expected a number with a unit, such as \
                     30s or 5m"
                ))
            })
    }
}

/// A whole number of at least `MIN` and at most `MAX`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Count<const MIN: usize, const MAX: usize>(pub(super) usize);

impl<'de, const MIN: usize, const MAX: usize> Deserialize<'de> for Count<MIN, MAX> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let number = usize::deserialize(from)?;
        if (MIN..=MAX).contains(&number) {
            return Ok(Self(number));
        }
        Err(D::Error::custom(format!(
            "{number} is out of bounds: expected a whole number from {MIN} to {MAX}"
        )))
    }
}

/// A size of manifests in bytes, written with a unit.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ManifestSize(pub(super) usize);

impl<'de> Deserialize<'de> for ManifestSize {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        /// Smaller ones would refuse ordinary images.
        const MIN: usize = 16 * 1024;
        let text = String::deserialize(from)?;
        ByteSize::from_str(&text)
            .ok()
            .and_then(|size| usize::try_from(size.as_u64()).ok())
            .filter(|size| (MIN..=MAX_MANIFEST_BYTES).contains(size))
            .map(Self)
            .ok_or_else(|| {
                D::Error::custom(format!(
                    "'{text}' is no size for a manifest: expected one from 16 KiB to 4 MiB, which \
                     the distribution specification asks registries to take"
                ))
            })
    }
}

/// A size in bytes, written with a unit.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size(pub(super) u64);

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        let size = ByteSize::from_str(&text).map(|size| Self(size.as_u64()));
        size.map_err(|_| {
            D::Error::custom(format!(
                "'{text}' is no size: expected bytes with a unit, such as 500 GiB"
            ))
        })
    }
}

/// Memory for manifests and indexes at work in bytes, written with a unit.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DocumentMemory(pub(super) u64);

impl<'de> Deserialize<'de> for DocumentMemory {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        /// With less, one large manifest after the other is worked on.
        const MIN: u64 = 16 * 1024 * 1024;
        let text = String::deserialize(from)?;
        ByteSize::from_str(&text)
            .ok()
            .map(|size| size.as_u64())
            .filter(|size| *size >= MIN)
            .map(Self)
            .ok_or_else(|| {
                D::Error::custom(format!(
                    "'{text}' is no size of memory for manifests: expected at least 16 MiB, such \
                     as 256 MiB"
                ))
            })
    }
}

/// A part of something, from 0% to 100%.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Percent(pub(super) u8);

impl<'de> Deserialize<'de> for Percent {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        let number = text.strip_suffix('%').map(|number| number.trim().parse());
        match number {
            Some(Ok(percent)) if percent <= 100 => Ok(Self(percent)),
            _ => Err(D::Error::custom(format!(
                "'{text}' is no part of something: expected 0% to 100%"
            ))),
        }
    }
}

/// Bytes a second, written with a unit.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rate(pub(super) u64);

impl<'de> Deserialize<'de> for Rate {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        ByteSize::from_str(&text)
            .ok()
            .map(|size| size.as_u64())
            .filter(|rate| *rate > 0)
            .map(Self)
            .ok_or_else(|| {
                D::Error::custom(format!(
                    "'{text}' is no rate: expected bytes a second with a unit, such as 32 MiB"
                ))
            })
    }
}

/// Upstreams, and where each of them stands.
#[derive(Clone, Debug, Deserialize)]
#[serde(transparent)]
pub(crate) struct UpstreamList(Vec<Spanned<UpstreamConfig>>);

impl UpstreamList {
    pub(super) fn into_upstreams(self) -> Vec<UpstreamConfig> {
        self.0.into_iter().map(|one| one.value).collect()
    }

    /// The first that does not go with the others, and why.
    pub(super) fn misfit(&self) -> Option<(Location, String)> {
        let upstreams: Vec<_> = self.0.iter().map(|one| one.value.clone()).collect();
        let (at, error) = UpstreamConfig::check_pass_through(&upstreams).err()?;
        let location = self
            .0
            .get(at)
            .map_or(Location::UNKNOWN, |one| one.referenced);
        Some((location, error.to_string()))
    }
}
