//! The key `warm`: images to fetch before clients pull them.

use std::time::Duration;

use metahub_oci::{ImageReference, Platform};
use schemars::JsonSchema;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

use super::time::Time;

/// Images that are kept warm for one login.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct WarmConfig {
    #[schemars(with = "Vec<String>")]
    pub(crate) images: Vec<ImageReference>,
    /// Everything that the images lead to, if no login is named.
    #[serde(default, rename = "as")]
    pub(crate) login: Option<String>,
    /// Linux on this machine's architecture, if none are named.
    #[serde(default, deserialize_with = "platforms")]
    #[schemars(with = "Vec<String>")]
    pub(crate) platforms: Vec<Platform>,
    /// Only at the start, if it is zero.
    #[serde(default = "hourly")]
    pub(crate) every: Time,
}

/// Platforms as people write them: `linux/amd64`.
fn platforms<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Platform>, D::Error> {
    let texts = Vec::<String>::deserialize(from)?;
    let parsed = texts.iter().map(|text| text.parse());
    parsed.collect::<Result<_, _>>().map_err(D::Error::custom)
}

fn hourly() -> Time {
    Time::from(Duration::from_hours(1))
}
