//! Keeps images warm while the server runs: fetches the configured ones at startup and
//! periodically, as `metahub warm` does once.

use std::future::Future;
use std::time::Duration;

use metahub_oci::ImageReference;
use metahub_operations::Images;
use metahub_registry::Registry;
use metahub_store::StoreError;
use tokio::time::{MissedTickBehavior, interval};

use crate::commands::selection::this_machines;
use crate::config::WarmConfig;
use crate::guarded::guarded;

/// Keeps the images of every item warm for as long as the server runs.
pub(crate) fn keep(registry: &Registry, items: &[WarmConfig]) {
    for item in items {
        let (registry, kept) = (registry.clone(), item.clone());
        let work = move |image| fetch(registry.clone(), kept.clone(), image);
        tokio::spawn(repeat(item.every.duration(), item.images.clone(), work));
    }
}

/// Runs `work` for one image after the other, periodically. The failure of one does not affect the
/// others.
async fn repeat<F>(
    every: Duration,
    images: Vec<ImageReference>,
    work: impl Fn(ImageReference) -> F + Send,
) where
    F: Future<Output = ()> + Send + 'static,
{
    // Once, if it is zero.
    let mut clock = (!every.is_zero()).then(|| interval(every));
    if let Some(clock) = &mut clock {
        clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
        clock.tick().await;
    }
    loop {
        for image in &images {
            let fetched = work(image.clone());
            let fetched = async move {
                fetched.await;
                Ok::<_, StoreError>(())
            };
            // A failure is logged, and retried at the next interval.
            let _ = guarded("warm", fetched).await;
        }
        match &mut clock {
            Some(clock) => clock.tick().await,
            None => return,
        };
    }
}

async fn fetch(registry: Registry, item: WarmConfig, image: ImageReference) {
    let platforms = match item.platforms.as_slice() {
        [] => vec![this_machines()],
        named => named.to_vec(),
    };
    let images = Images {
        images: vec![image.clone()],
        login: item.login,
        platforms,
        profiles: false,
    };
    match metahub_operations::fetch(&registry, &images, |_| {}).await {
        Ok(inventory) => {
            for warning in inventory.warnings.iter().chain(&inventory.failed) {
                tracing::warn!(%image, warning, "warm, but for this");
            }
            tracing::info!(%image, bytes = inventory.bytes(), "warm");
        }
        Err(error) => tracing::warn!(%image, %error, "could not be kept warm"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_image_that_panics_stops_neither_the_others_nor_the_next_turn() {
        let images = ["quay.io/a/a:1", "quay.io/a/b:1"].map(|image| image.parse().unwrap());
        for (every, expected) in [(Duration::from_hours(1), 2), (Duration::ZERO, 1)] {
            let (sender, mut asked) = tokio::sync::mpsc::unbounded_channel();
            let work = move |image: ImageReference| {
                let sender = sender.clone();
                async move {
                    sender.send(image.to_string()).unwrap();
                    assert!(!image.to_string().contains("a/a"), "on purpose");
                }
            };
            let running = tokio::spawn(repeat(every, images.to_vec(), work));
            for _ in 0..expected {
                assert_eq!(asked.recv().await.as_deref(), Some("quay.io/a/a:1"));
                assert_eq!(asked.recv().await.as_deref(), Some("quay.io/a/b:1"));
            }
            running.abort();
        }
    }
}
