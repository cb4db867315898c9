//! Values of settings as people write them.

use std::borrow::Cow;
use std::ffi::OsString;
use std::fmt::Display;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

use bytesize::ByteSize;
use metahub_auth::{AnonymousAccess, DnsName, MungeConfig, ProfilePassword, ProfilesBy};
use metahub_hardware::Extension;
use metahub_oci::MAX_MANIFEST_BYTES;
use metahub_registry::{Free, ImmutableTags, InspectionMode, Lifted, LocalContent, Unsure};
use metahub_server::{MetricsAccess, Proxies, PublicUrl, SendBlobs};
use metahub_upstream::{AnyHost, ProxiedPrivate, UpstreamConfig};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use serde_saphyr::{Location, Spanned};

use super::catalog::CatalogEntry;
use super::declare::Setting;
use super::environment;
use super::slurm_jwt::SlurmJwtSource;
use super::time::Time;
use super::warm::WarmConfig;
use super::yaml::parse;

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

/// `true`, `false`, or the socket of `munged`.
#[derive(Clone, Debug)]
pub(crate) struct MungeSwitch(pub(super) Option<MungeConfig>);

impl<'de> Deserialize<'de> for MungeSwitch {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Switch(bool),
            Socket(PathBuf),
        }
        match Written::deserialize(from) {
            Ok(Written::Switch(on)) => Ok(Self(on.then(MungeConfig::default))),
            Ok(Written::Socket(socket)) if socket.is_absolute() => Ok(Self(Some(MungeConfig {
                socket: Some(socket),
            }))),
            _ => Err(D::Error::custom(
                "expected true, false, or the absolute path of a socket",
            )),
        }
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

/// Files by the SHA-256 of their content in hexadecimal, each for every processor or, after `@`,
/// for one.
#[derive(Clone, Debug)]
pub(crate) struct FileHashes(pub(super) Lifted);

impl<'de> Deserialize<'de> for FileHashes {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let file = |text: String| {
            let (hash, target) = match text.split_once('@') {
                Some((hash, target)) => (hash, Some(target)),
                None => (text.as_str(), None),
            };
            let hex = hash
                .strip_prefix("sha256:")
                .unwrap_or(hash)
                .to_ascii_lowercase();
            if hex.len() == 64 && hex.bytes().all(|byte| byte.is_ascii_hexdigit()) {
                return Ok((hex, target.map(str::to_owned)));
            }
            Err(D::Error::custom(format!(
                "'{text}' is no SHA-256: expected 64 hexadecimal digits, and after them @TARGET if \
                 it is lifted for some processors only"
            )))
        };
        let list = Vec::<String>::deserialize(from)?;
        list.into_iter()
            .map(file)
            .collect::<Result<_, _>>()
            .map(Self)
    }
}

/// Upstreams, and where each of them stands.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(transparent)]
pub(crate) struct UpstreamList(
    #[schemars(with = "Vec<UpstreamConfig>")] Vec<Spanned<UpstreamConfig>>,
);

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

impl Setting for UpstreamList {
    fn from_variable(value: OsString) -> Result<Self, String> {
        let list: Self = parse(&environment::text(value)?).map_err(|problem| problem.message)?;
        match list.misfit() {
            Some((_, message)) => Err(message),
            None => Ok(list),
        }
    }
}

/// A setting of one word that need not be quoted as YAML: an address in brackets is no list.
fn word<T: FromStr<Err: Display>>(value: OsString, expected: &str) -> Result<T, String> {
    let text = environment::text(value)?;
    text.parse()
        .map_err(|error| format!("'{text}': {error}; expected {expected}"))
}

impl Setting for SocketAddr {
    fn from_variable(value: OsString) -> Result<Self, String> {
        word(value, "ADDRESS:PORT, such as 127.0.0.1:5000")
    }
}

impl Setting for PublicUrl {
    fn from_variable(value: OsString) -> Result<Self, String> {
        word(value, "http://HOST[:PORT] or https://HOST[:PORT]")
    }
}

impl Setting for AnonymousAccess {
    fn from_variable(value: OsString) -> Result<Self, String> {
        word(value, "none, read or write")
    }
}

impl Setting for PathBuf {
    fn from_variable(value: OsString) -> Result<Self, String> {
        Ok(value.into())
    }
}

impl Setting for Vec<CatalogEntry> {
    /// Paths separated by `:`, or a list in brackets as in the file.
    fn from_variable(value: OsString) -> Result<Self, String> {
        if value.as_encoded_bytes().starts_with(b"[") {
            return parse(&environment::text(value)?).map_err(|problem| problem.message);
        }
        Ok(std::env::split_paths(&value)
            .map(CatalogEntry::Path)
            .collect())
    }
}

/// Settings whose variables say what would stand in the file.
macro_rules! as_in_the_file {
    ($($type:ty,)+) => {
        $(impl Setting for $type {})+
    };
}

as_in_the_file! {
    bool, MungeSwitch, SlurmJwtSource, Vec<DnsName>, Time, Size, Rate, Percent, ManifestSize, DocumentMemory,
    Proxies, MetricsAccess, SendBlobs, ProfilePassword, ProfilesBy, Extension,
    Free, ImmutableTags, LocalContent, Unsure, InspectionMode, FileHashes, AnyHost, ProxiedPrivate, Vec<WarmConfig>,
}

impl<const MIN: usize, const MAX: usize> Setting for Count<MIN, MAX> {}

/// Values that are written as a text of a certain form.
macro_rules! text {
    ($($type:ident: $example:literal,)+) => {
        $(impl JsonSchema for $type {
            fn schema_name() -> Cow<'static, str> {
                stringify!($type).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({"type": "string", "examples": [$example]})
            }
        })+
    };
}

text! {
    Time: "1m 30s",
    Size: "500 GiB",
    ManifestSize: "4 MiB",
    DocumentMemory: "256 MiB",
    Rate: "32 MiB",
    Percent: "50%",
}

impl<const MIN: usize, const MAX: usize> JsonSchema for Count<MIN, MAX> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("Count from {MIN} to {MAX}").into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "integer", "minimum": MIN, "maximum": MAX})
    }
}
