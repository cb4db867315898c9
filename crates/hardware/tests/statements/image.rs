//! An image that states needs in all the places there are.

use std::collections::BTreeMap;

use metahub_hardware::{Feature, Mismatch, Provided, Statements, fit};

use crate::login::{Login, Verdict};
use crate::needs::{Need, any_need, expression, feature_of, text};
use crate::random::Random;
use crate::tables::V;

/// What an image states, and where.
#[derive(Debug, Default)]
pub(crate) struct Image {
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
    env: BTreeMap<String, String>,
    artifacts: Vec<String>,
    features: Vec<(&'static str, String)>,
    needs: Vec<Need>,
}

impl Image {
    pub(crate) fn random(random: &mut Random) -> Self {
        let mut image = Self::default();
        for number in 0..random.below(5) {
            let need = any_need(random);
            image.state(random, number, need);
        }
        image
    }

    /// States a need somewhere; not at all where another one stands.
    pub(crate) fn state(&mut self, random: &mut Random, number: usize, need: Need) {
        let (key, value) = feature_of(&need);
        let label = match key {
            "arch" => Some(random.of(&[
                "io.archspec.cpu.target",
                "org.supercontainers.hardware.cpu.target.microarch",
                "org.supercontainers.hardware.cpu.optimized.version",
            ])),
            "cuda" => Some("org.supercontainers.hardware.gpu.cuda.version"),
            "driver" => Some("org.supercontainers.hardware.gpu.driver.version"),
            "cc" | "gfx" => Some("org.supercontainers.hardware.gpu.architecture"),
            "gpu" if value == "any" => Some("org.supercontainers.hardware.gpu.available"),
            "gpu" => Some("org.supercontainers.gpu"),
            "mpi" => Some("org.supercontainers.mpi"),
            _ => None,
        };
        if random.once_in(3) {
            self.features.push((key, value));
        } else if let Some(label) = label {
            let place = if random.once_in(2) {
                &mut self.labels
            } else {
                &mut self.annotations
            };
            if place.contains_key(label) {
                return;
            }
            let value = if value == "any" {
                "yes".to_owned()
            } else {
                value
            };
            place.insert(label.to_owned(), value);
        } else if key == "nvidia-require" {
            self.env
                .insert(format!("NVIDIA_REQUIRE_{number}"), value.clone());
            if let Need::Nonsense(..) = need {
                // The toolkit's rule: the factors that are known still count.
                if value.contains("cuda>=12.4") {
                    let known = vec![vec![("cuda", ">=", "12.4".to_owned())]];
                    self.needs.push(Need::Nvidia(known));
                }
            }
        } else if key == "nfd" {
            self.artifacts.push(value);
        } else {
            self.features.push((key, value));
        }
        self.needs.push(need);
    }

    /// An image from before `NVIDIA_REQUIRE_CUDA`.
    pub(crate) fn add_legacy(&mut self, cuda: V, also_requires: bool) {
        self.env
            .insert("CUDA_VERSION".to_owned(), format!("{}.1", text(cuda)));
        let stated = vec![vec![("cuda", ">=", text(cuda))]];
        if also_requires {
            let other = vec![vec![("driver", ">=", "450".to_owned())]];
            self.env
                .insert("NVIDIA_REQUIRE_CUDA".to_owned(), expression(&other));
            self.needs.push(Need::Nvidia(other));
        } else {
            self.needs.push(Need::Nvidia(stated));
        }
    }

    pub(crate) fn expected(&self, login: &Login) -> Verdict {
        let cudas = self.needs.iter().filter_map(|need| match need {
            Need::Cuda(cuda) => Some(*cuda),
            _ => None,
        });
        let toolkit = cudas.max();
        let verdicts = self.needs.iter().map(|need| login.judge(need, toolkit));
        verdicts.max().unwrap_or(Verdict::Fits)
    }

    pub(crate) fn found(&self, login: &Login) -> Verdict {
        let mut statements = Statements::default();
        let pairs = |map: &BTreeMap<String, String>| -> Vec<(String, String)> {
            map.iter().map(|(k, v)| (k.clone(), v.clone())).collect()
        };
        let (labels, annotations) = (pairs(&self.labels), pairs(&self.annotations));
        statements.add_annotations(annotations.iter().map(|(k, v)| (k.as_str(), v.as_str())));
        statements.add_labels(labels.iter().map(|(k, v)| (k.as_str(), v.as_str())));
        let env: Vec<String> = self.env.iter().map(|(k, v)| format!("{k}={v}")).collect();
        statements.add_env(env.iter().map(String::as_str));
        for artifact in &self.artifacts {
            let _ = statements.add_compatibility(artifact);
        }
        let mut all: Vec<Feature> = self
            .features
            .iter()
            .map(|(key, value)| Feature::new(key, value).unwrap())
            .collect();
        all.extend(
            statements
                .requirements
                .iter()
                .map(|stated| stated.feature.clone()),
        );
        let provided = Provided::new(login.features());
        let found = fit(&all, &provided);
        let unread = if statements.unread.is_empty() {
            Verdict::Fits
        } else {
            Verdict::Unknown
        };
        let fits = match found.mismatch() {
            None => Verdict::Fits,
            Some(Mismatch::Unstated) => Verdict::Unstated,
            Some(Mismatch::Unknown) => Verdict::Unknown,
            Some(Mismatch::Proven) => Verdict::Proven,
        };
        assert_eq!(found.fits(), fits == Verdict::Fits);
        fits.max(unread)
    }
}
