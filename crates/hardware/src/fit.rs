//! Fit: whether a machine's features meet an image's requirements, and why, requirement by
//! requirement. It judges one image; `rank` compares several.

use std::borrow::Borrow;
use std::cmp::Reverse;

use smallvec::SmallVec;

use crate::feature::Feature;
use crate::gpu::{CodeForm, GfxMatch, GpuVendor, cuda_of_driver};
use crate::keys::Key;
use crate::meaning::Meaning;
use crate::mismatch::Mismatch;
use crate::outcome::{Check, Fit, How, Nearness, Outcome};
use crate::provided::{Provided, target_of};
use crate::version::Version;

/// Compares an image's requirements with a machine's features. All must be met; an image without
/// requirements fits every machine.
#[must_use]
pub fn fit<'a, F: Borrow<Feature>>(requirements: &'a [F], provided: &'a Provided) -> Fit<'a> {
    let mut fit = Fit {
        checks: SmallVec::with_capacity(requirements.len()),
        nearness: Nearness::Unstated,
        fits: true,
        mismatch: None,
        depth: 0,
    };
    for requirement in requirements.iter().map(Borrow::borrow) {
        let outcome = match requirement.key() {
            Key::Arch => {
                let (outcome, nearness, depth) = check_target(requirement, provided);
                // Of several targets the nearest counts, of those equally near the one that
                // demands most: in whatever order they are written.
                if (nearness, Reverse(depth)) < (fit.nearness, Reverse(fit.depth)) {
                    fit.nearness = nearness;
                    fit.depth = depth;
                }
                outcome
            }
            Key::Cc => check_capability(requirement, toolkit(requirements), provided),
            _ => check_value(requirement, provided),
        };
        if let Outcome::Unmet { mismatch, .. } = outcome {
            fit.fits = false;
            fit.mismatch = fit.mismatch.max(Some(mismatch));
        }
        fit.checks.push(Check {
            requirement,
            outcome,
        });
    }
    fit
}

fn check_target<'a>(wanted: &Feature, provided: &'a Provided) -> (Outcome<'a>, Nearness, usize) {
    let graph = provided.graph();
    let group = provided.group(&Key::Arch);
    let met = |by: &'a Feature, how| Outcome::Met { by, how };
    let unmet = |known: bool| {
        let outcome = Outcome::Unmet {
            provided: group,
            mismatch: match (known, group) {
                (false, _) => Mismatch::Unknown,
                (true, []) => Mismatch::Unstated,
                (true, _) => Mismatch::Proven,
            },
            why: None,
        };
        (outcome, Nearness::Unstated, 0)
    };
    let Some(target) = target_of(graph, wanted) else {
        // An unknown target runs where the very same name is provided.
        return match group.iter().find(|feature| *feature == wanted) {
            Some(same) => (met(same, How::Same), Nearness::Line { steps: 0 }, 0),
            None => unmet(false),
        };
    };
    let depth = graph.depth(&target);
    let nearest = provided
        .own_targets()
        .iter()
        .filter_map(|(own, by)| Some((graph.distance(own, &target)?, own, by)))
        .min_by_key(|(steps, ..)| *steps);
    if let Some((steps, own, by)) = nearest {
        let how = match steps {
            0 => How::Same,
            _ if graph.descends_from(own, &target) => How::Descends { steps },
            _ => How::SiteFallback { steps },
        };
        return (met(by, how), Nearness::Line { steps }, depth);
    }
    let fallback = provided
        .fallbacks()
        .iter()
        .enumerate()
        .find_map(|(place, (own, by))| Some((place, graph.distance(own, &target)?, by)));
    match fallback {
        Some((place, steps, by)) => (
            met(by, How::ProfileFallback { place, steps }),
            Nearness::Fallback { place, steps },
            depth,
        ),
        None => unmet(true),
    }
}

fn check_value<'a>(wanted: &'a Feature, provided: &'a Provided) -> Outcome<'a> {
    let group = provided.group(wanted.key());
    if let Some(same) = group.iter().find(|feature| *feature == wanted) {
        return Outcome::Met {
            by: same,
            how: How::Same,
        };
    }
    // No feature alone makes an expression true.
    let met_by_all = Outcome::Met {
        by: wanted,
        how: How::True,
    };
    match wanted.meaning() {
        Meaning::NvidiaRequire(expression) => match expression.mismatch(provided) {
            None => return met_by_all,
            Some(mismatch) => return unmet(wanted, provided, mismatch, None),
        },
        Meaning::Compatibility(rules) => match rules.objection(provided.nfd()) {
            None => return met_by_all,
            Some(objection) => {
                return unmet(wanted, provided, objection.mismatch, Some(objection.reason));
            }
        },
        _ => {}
    }
    let found = group
        .iter()
        .find_map(|offer| Some((offer, satisfies(wanted.meaning(), offer.meaning())?)))
        .or_else(|| match (wanted.key(), wanted.meaning()) {
            (Key::Cuda, Meaning::Version(cuda)) => by_driver(*cuda, provided),
            (_, Meaning::Gpu(vendor)) => {
                let by = provided.gpu_of(*vendor)?;
                Some((by, How::GpuVendor))
            }
            _ => None,
        });
    match found {
        Some((by, how)) => Outcome::Met { by, how },
        None => unmet(wanted, provided, missing(wanted, provided), None),
    }
}

/// How certain it is that a requirement which no provided feature meets is not met.
fn missing(wanted: &Feature, provided: &Provided) -> Mismatch {
    if !wanted.is_understood() {
        Mismatch::Unknown
    } else if provided.stated(wanted.key()).is_empty() {
        Mismatch::Unstated
    } else {
        Mismatch::Proven
    }
}

fn unmet<'a>(
    wanted: &Feature,
    provided: &'a Provided,
    mismatch: Mismatch,
    why: Option<String>,
) -> Outcome<'a> {
    Outcome::Unmet {
        provided: provided.stated(wanted.key()),
        mismatch,
        why,
    }
}

/// The CUDA version that an image says it was built with; the latest of several.
fn toolkit<F: Borrow<Feature>>(requirements: &[F]) -> Option<Version> {
    let versions =
        requirements
            .iter()
            .map(Borrow::borrow)
            .filter_map(|f| match (f.key(), f.meaning()) {
                (Key::Cuda, Meaning::Version(version)) => Some(*version),
                _ => None,
            });
    versions.max()
}

/// GPU code for compute capabilities. Machine code is preferred to PTX, which the driver
/// compiles only if its own CUDA is at least the one that made it: minor-version
/// compatibility does not cover it.
fn check_capability<'a>(
    wanted: &'a Feature,
    toolkit: Option<Version>,
    provided: &'a Provided,
) -> Outcome<'a> {
    let group = provided.group(&Key::Cc);
    let runs = |form: How| {
        group
            .iter()
            .find(|offer| satisfies(wanted.meaning(), offer.meaning()) == Some(form))
    };
    if let Some(by) = group.iter().find(|offer| *offer == wanted) {
        return Outcome::Met { by, how: How::Same };
    }
    if let Some(by) = runs(How::GpuBinary) {
        return Outcome::Met {
            by,
            how: How::GpuBinary,
        };
    }
    let Some(by) = runs(How::GpuPtx) else {
        return check_value(wanted, provided);
    };
    let (mismatch, why) = match (toolkit, provided.own_cuda()) {
        (Some(toolkit), Some(own)) if own < toolkit => (
            Mismatch::Proven,
            format!(
                "{by} runs it by its PTX only, which a driver of CUDA {own} does not compile \
                 when CUDA {toolkit} made it"
            ),
        ),
        (Some(toolkit), None) => (
            Mismatch::Unstated,
            format!(
                "{by} runs it by its PTX only, and no driver is provided that compiles what \
                 CUDA {toolkit} made"
            ),
        ),
        _ => {
            return Outcome::Met {
                by,
                how: How::GpuPtx,
            };
        }
    };
    unmet(wanted, provided, mismatch, Some(why))
}

/// Whether one provided value satisfies a required one of the same key.
fn satisfies(wanted: &Meaning, offered: &Meaning) -> Option<How> {
    match (wanted, offered) {
        (Meaning::Version(wanted), Meaning::Version(offered)) => {
            (offered >= wanted).then_some(How::Later)
        }
        (Meaning::Capabilities(code), Meaning::Capabilities(gpus)) => {
            let forms = || {
                code.iter()
                    .flat_map(|c| gpus.iter().filter_map(|gpu| c.runs_on(gpu)))
            };
            match (forms().any(|form| form == CodeForm::Binary), forms().next()) {
                (true, _) => Some(How::GpuBinary),
                (false, Some(_)) => Some(How::GpuPtx),
                (false, None) => None,
            }
        }
        (Meaning::Processors(code), Meaning::Processors(gpus)) => {
            let matches = || {
                code.iter()
                    .flat_map(|c| gpus.iter().filter_map(|gpu| c.runs_on(gpu)))
            };
            match (
                matches().any(|found| found == GfxMatch::Same),
                matches().next(),
            ) {
                (true, _) => Some(How::GpuBinary),
                (false, Some(_)) => Some(How::GpuGeneric),
                (false, None) => None,
            }
        }
        (Meaning::Gpu(wanted), Meaning::Gpu(offered)) => {
            (*wanted == GpuVendor::Any || wanted == offered).then_some(How::GpuVendor)
        }
        (Meaning::Mpi(wanted), Meaning::Mpi(offered)) => wanted
            .runs_with(offered)
            .then(|| How::MpiAbi { abi: offered.abi() }),
        _ => None,
    }
}

fn by_driver(cuda: Version, provided: &Provided) -> Option<(&Feature, How)> {
    provided.group(&Key::Driver).iter().find_map(|offer| {
        let Meaning::Version(driver) = offer.meaning() else {
            return None;
        };
        let highest = cuda_of_driver(*driver)?;
        (highest >= cuda).then_some((offer, How::DriverRuns { highest }))
    })
}
