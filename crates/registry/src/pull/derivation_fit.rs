//! Chooses an image for one derivation, and checks the choice against the login by its code: an
//! image that does not fit is left out of the next choice.

use std::collections::HashMap;
use std::sync::Arc;

use metahub_oci::{Descriptor, Digest, Document, Manifest};
use metahub_resolve::{ImageRun, Narrowed, Verdicts};

use crate::error::RegistryError;
use crate::inspection::fitting::Fits;
use crate::inspection::settings::InspectionMode;
use crate::pull::candidates::Candidates;
use crate::pull::derivation::Derivation;

/// How often another image is chosen instead of one that does not fit by its code.
const MOST_ROUNDS: usize = 16;

impl Derivation<'_> {
    /// Judges a single image: verdict and warnings, or the refusal.
    pub(super) async fn judge_alone(
        &self,
        manifest: &Manifest,
    ) -> Result<(Verdicts, Vec<String>), RegistryError> {
        let candidates = self.candidates().await?;
        let (verdicts, mut warnings) = self.judged_alone(&candidates)?;
        let entry = Document::from(manifest.clone()).descriptor();
        match self
            .fits_by_code(&entry, self.registry().inspection_deadline())
            .await?
        {
            Fits::Yes => {}
            Fits::Warned(warning) => warnings.push(warning),
            Fits::No(reason) => {
                let refused = HashMap::from([(manifest.digest().clone(), reason)]);
                self.judged_alone(&candidates.without(&refused))?;
            }
        }
        Ok((verdicts, warnings))
    }

    fn judged_alone(
        &self,
        candidates: &Candidates,
    ) -> Result<(Verdicts, Vec<String>), RegistryError> {
        let policy = self.registry().settings().policy;
        let judged = candidates.judge(self.profile, policy);
        judged.map_err(|nothing| self.nothing_fits(nothing))
    }

    async fn fits_by_code(
        &self,
        entry: &Descriptor,
        deadline: tokio::time::Instant,
    ) -> Result<Fits, RegistryError> {
        let Some(location) = self.source.location_of(entry.digest()) else {
            return Ok(Fits::Yes);
        };
        let fits = self
            .registry()
            .fits_by_code(location, entry, self.profile, deadline);
        let mut fits = Box::pin(fits).await?;
        if fits == Fits::Yes {
            fits = Box::pin(self.layers_fit_by_code(entry, deadline)).await?;
        }
        if let Fits::Warned(reason) = &fits {
            let (name, tag, login) = (self.repository.name(), self.tag, self.profile);
            tracing::warn!(repository = %name, %tag, %login, reason, "served all the same");
        }
        Ok(fits)
    }

    /// The same for the layers that the profile adds to an image, layer image by layer image.
    /// Layers that cannot be added are reported when they are added.
    async fn layers_fit_by_code(
        &self,
        entry: &Descriptor,
        deadline: tokio::time::Instant,
    ) -> Result<Fits, RegistryError> {
        // As for the image itself.
        let is_judged = self.registry().inspects() != InspectionMode::TrustLabels
            && self.profile.provided().targets().next().is_some();
        let location = self.source.location_of(entry.digest());
        let Some(location) = location.filter(|_| is_judged && !self.changes.layers.is_empty())
        else {
            return Ok(Fits::Yes);
        };
        let base = match self.child_at(location, entry.digest()).await? {
            Document::Manifest(manifest) if manifest.is_image() => {
                self.registry().image_at(location, manifest).await?
            }
            _ => return Ok(Fits::Yes),
        };
        let platform = base.config.platform();
        let provided = self.profile.provided();
        let mut run = ImageRun::new(base, &self.changes.actions, provided);
        let mut fits = Fits::Yes;
        while let Ok(Some(layer)) = run.advance() {
            let Ok((place, image)) = self.layer_image(layer, &platform).await else {
                break;
            };
            match run.add(&image) {
                Ok(0) => continue,
                Ok(_) => {}
                Err(_) => break,
            }
            let added = Document::from(image.manifest).descriptor();
            let held = self
                .registry()
                .fits_by_code(&place, &added, self.profile, deadline);
            match Box::pin(held).await? {
                Fits::Yes => {}
                Fits::Warned(warning) => fits = Fits::Warned(warning),
                Fits::No(reason) => {
                    return Ok(Fits::No(format!(
                        "cannot have the layers of {layer}: {reason}"
                    )));
                }
            }
        }
        Ok(fits)
    }

    /// Narrows an index by the profile. An image that does not fit by its code is left out and the
    /// choice repeated, until it fits.
    pub(super) async fn narrow(&self, document: Arc<Document>) -> Result<Narrowed, RegistryError> {
        let mut candidates = None;
        let mut refused: HashMap<Digest, String> = HashMap::new();
        let deadline = self.registry().inspection_deadline();
        for round in 0.. {
            let narrowed = self.narrow_once(Arc::clone(&document), candidates.take());
            let mut narrowed = narrowed.await?;
            let before = refused.len();
            for entry in &narrowed.chosen {
                match self.fits_by_code(entry, deadline).await? {
                    Fits::Yes => {}
                    Fits::Warned(warning) => narrowed.warnings.push(warning),
                    Fits::No(reason) => {
                        refused.insert(entry.digest().clone(), reason);
                    }
                }
            }
            if refused.len() == before {
                return Ok(narrowed);
            }
            let all = self.candidates().await?;
            if round >= MOST_ROUNDS {
                all.each(|entry| {
                    let reason = "not looked at: too many others do not fit by their code";
                    refused
                        .entry(entry.clone())
                        .or_insert_with(|| reason.to_owned());
                });
            }
            candidates = Some(Arc::new(all.without(&refused)));
        }
        Err(self.unknown())
    }

    async fn narrow_once(
        &self,
        document: Arc<Document>,
        candidates: Option<Arc<Candidates>>,
    ) -> Result<Narrowed, RegistryError> {
        let (bytes, profile) = (document.bytes().len(), self.profile.clone());
        let _turn = self.registry().turn_to_choose(bytes).await?;
        let candidates = match candidates {
            Some(candidates) => candidates,
            None => self.candidates().await?,
        };
        let policy = self.registry().settings().policy;
        let narrowed = self
            .registry()
            .on_document(bytes, move || match &*document {
                Document::Index(index) => Some(candidates.narrow(index, &profile, policy)),
                Document::Manifest(_) => None,
            })
            .await?;
        narrowed
            .ok_or_else(|| self.unknown())?
            .map_err(|nothing| self.nothing_fits(nothing))
    }
}
