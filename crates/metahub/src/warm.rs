//! Keeps images warm while the server runs: has those that the configuration names fetched at
//! the start and every so often, as `metahub warm` does once.

use std::time::Duration;

use metahub_oci::{ImageReference, Platform};
use metahub_registry::Registry;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use tokio::time::{MissedTickBehavior, interval};

use crate::commands::selection::this_machines;
use crate::config::Time;
use crate::control::{self, Images};

/// Images that are kept warm for one login.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct WarmConfig {
    images: Vec<ImageReference>,
    /// Everything that the images lead to, if no login is named.
    #[serde(default, rename = "as")]
    login: Option<String>,
    /// Linux on this machine's architecture, if none are named.
    #[serde(default, deserialize_with = "platforms")]
    platforms: Vec<Platform>,
    /// Only at the start, if it is zero.
    #[serde(default = "hourly")]
    every: Time,
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

/// Keeps the images of every item warm for as long as the server runs.
pub(crate) fn keep(registry: &Registry, items: &[WarmConfig]) {
    for item in items {
        let (registry, item) = (registry.clone(), item.clone());
        tokio::spawn(async move {
            let every = item.every.duration();
            if every.is_zero() {
                return fetch(&registry, &item).await;
            }
            let mut clock = interval(every);
            clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                clock.tick().await;
                fetch(&registry, &item).await;
            }
        });
    }
}

/// One image after the other: what one of them lacks is no matter of the others.
async fn fetch(registry: &Registry, item: &WarmConfig) {
    for image in &item.images {
        let platforms = match item.platforms.as_slice() {
            [] => vec![this_machines()],
            named => named.to_vec(),
        };
        let images = Images {
            images: vec![image.clone()],
            login: item.login.clone(),
            platforms,
            profiles: false,
        };
        match control::gather(registry, &images, |_| {}).await {
            Ok(plan) => {
                for warning in plan.warnings.iter().chain(&plan.failed) {
                    tracing::warn!(%image, warning, "warm, but for this");
                }
                tracing::info!(%image, bytes = plan.bytes(), "warm");
            }
            Err(error) => tracing::warn!(%image, %error, "could not be kept warm"),
        }
    }
}
