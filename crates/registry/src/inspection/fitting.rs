//! Checks by its code whether an image that was chosen for a login fits it.

use std::time::Duration;

use metahub_catalog::Composed;
use metahub_hardware::Target;
use metahub_inspect::ImageNeeds;
use metahub_oci::{Descriptor, Document, Manifest};
use tokio::time::Instant;

use crate::Registry;
use crate::access::location::Location;
use crate::error::RegistryError;
use crate::inspection::excess::Excess;
use crate::inspection::settings::InspectionMode;
use crate::pull::source::parse;

/// Most findings that are named for one image.
const TOLD: usize = 2;

/// Whether an image fits a login by its code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fits {
    /// No finding against it.
    Yes,
    /// Served, with this warning.
    Warned(String),
    /// Not served, for this reason.
    No(String),
}

impl Registry {
    /// The deadline of a pull that waits for inspection.
    pub(crate) fn inspection_deadline(&self) -> Instant {
        let wait = self.settings().inspection.wait;
        let now = Instant::now();
        now.checked_add(wait)
            .unwrap_or(now + Duration::from_secs(3600))
    }

    /// Compares the code of the image `entry` at `location` with what `profile` provides. Logins
    /// without a processor, and images for another architecture, are not judged.
    pub(crate) async fn fits_by_code(
        &self,
        location: &Location,
        entry: &Descriptor,
        profile: &Composed,
        deadline: Instant,
    ) -> Result<Fits, RegistryError> {
        let targets: Vec<Target> = profile.provided().targets().cloned().collect();
        let mode = self.inspects();
        if mode == InspectionMode::TrustLabels || targets.is_empty() {
            return Ok(Fits::Yes);
        }
        let graph = profile.provided().graph();
        if let Some(platform) = entry.platform() {
            let architecture = &platform.architecture;
            let of_the_login = architecture.is_empty()
                || targets
                    .iter()
                    .any(|t| graph.runs_architecture(t, architecture));
            if !of_the_login || !matches!(platform.os.as_str(), "" | "linux") {
                return Ok(Fits::Yes);
            }
        }
        let Some(stored) = self.manifest_at(location, entry.digest()).await? else {
            return Ok(Fits::Yes);
        };
        let manifest = match parse(&stored)? {
            Document::Manifest(manifest) if manifest.is_image() => manifest,
            _ => return Ok(Fits::Yes),
        };
        let needs = self.needs_for(location, &manifest, deadline).await?;
        let lifted = &self.settings().inspection.lifted;
        let excess = match &needs {
            Some(needs) => Excess::of(needs, &targets, graph, lifted),
            None if mode == InspectionMode::Enforce => {
                let why = "does not fit by its code, which could not be read in time: ask again";
                self.counters().inspections_refused.inc();
                return Ok(Fits::No(why.to_owned()));
            }
            None => return Ok(Fits::Yes),
        };
        let proven: Vec<Excess> = excess.iter().filter(|one| one.proven).cloned().collect();
        Ok(match mode {
            InspectionMode::Enforce if !excess.is_empty() => {
                self.counters().inspections_refused.inc();
                Fits::No(format!("does not fit by its code: {}", listed(&excess)))
            }
            InspectionMode::Warn if !proven.is_empty() => {
                self.counters().inspections_warned.inc();
                let image = location.image(entry.digest());
                Fits::Warned(format!(
                    "the code of {image} requires more than the login has: {}",
                    listed(&proven)
                ))
            }
            _ => Fits::Yes,
        })
    }

    /// What an image needs; a waiting pull waits at most until `deadline`.
    async fn needs_for(
        &self,
        location: &Location,
        manifest: &Manifest,
        deadline: Instant,
    ) -> Result<Option<std::sync::Arc<ImageNeeds>>, RegistryError> {
        if self.inspects() == InspectionMode::Enforce {
            return self.awaited_needs(location, manifest, deadline).await;
        }
        let known = self.known_needs(location, manifest).await?;
        if known.is_none() {
            self.offer_inspection(location, manifest.digest());
        }
        Ok(known)
    }
}

fn listed(excess: &[Excess]) -> String {
    let mut text: Vec<String> = excess.iter().take(TOLD).map(ToString::to_string).collect();
    if excess.len() > TOLD {
        text.push(format!("and {} more", excess.len() - TOLD));
    }
    text.join("; ")
}
