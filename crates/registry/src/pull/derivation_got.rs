//! What the login's machine gets from a derivation, for counting missing builds: computed when a
//! choice is made, so that a pull that reuses it only notes it.

use metahub_hardware::{Feature, Microarchitectures, Target, from_platform};
use metahub_oci::{Descriptor, Document, Platform};
use metahub_resolve::{Verdict, built_for, chosen_for, target_named};
use metahub_store::DemandGot;

use crate::demand::got::{Got, target_of};
use crate::pull::derivation::{Decided, Derivation};
use crate::pull::explanation::SourceKind;
use crate::pull::source::parse;

impl Derivation<'_> {
    /// What the machine gets; `None` if the login names no processor, or the image has no builds
    /// for processors: such a pull shows no missing build.
    pub(super) async fn got(&self, decided: &Decided) -> Option<Got> {
        let (profile, chosen) = (self.profile, decided.chosen.as_slice());
        let target = target_of(profile)?;
        if chosen.is_empty() || profile.gets_everything() {
            return None;
        }
        let graph = profile.provided().graph();
        let platform = graph.oci_platform(target);
        let machine = Platform::new(platform.os, &platform.architecture);
        let Some(entry) = chosen_for(chosen, &machine) else {
            return Got::nothing(profile);
        };
        let got = match built_for(graph, entry).filter(|of| graph.depth(of) > 0) {
            Some(of) => DemandGot::Build(of.to_string()),
            None if !self.is_built_for_processors(decided) => return None,
            // A login that names only an architecture misses no build.
            None if graph.depth(target) == 0 => DemandGot::Build(target.to_string()),
            None => DemandGot::Generic,
        };
        let bytes = self.bytes_of(entry).await.unwrap_or(0);
        Some(Got::new(profile, target, got, bytes))
    }

    fn is_built_for_processors(&self, decided: &Decided) -> bool {
        let graph = self.profile.provided().graph();
        self.source.kind == SourceKind::Collection
            || decided
                .verdicts
                .iter()
                .any(|entry| is_for_one(graph, &entry))
    }

    /// Bytes of an image's layers, if its manifest is here.
    async fn bytes_of(&self, entry: &Descriptor) -> Option<u64> {
        let location = self.source.location_of(entry.digest())?;
        let stored = location.stored().manifest(entry.digest()).await.ok()??;
        let Document::Manifest(manifest) = parse(&stored).ok()? else {
            return None;
        };
        let sizes = manifest.layers().iter().map(Descriptor::size);
        Some(sizes.fold(0, u64::saturating_add))
    }
}

/// Whether an entry requires more of a processor than its architecture.
fn is_for_one(graph: &Microarchitectures, entry: &Verdict<'_>) -> bool {
    let demands = |target: Option<Target>| target.is_some_and(|target| graph.depth(&target) > 0);
    let named = |text: &&str| target_named(graph, &Feature::parse(text).ok()?);
    if entry.requires.iter().any(|text| demands(named(text))) {
        return true;
    }
    let platform = entry
        .platform
        .and_then(|text| text.parse::<Platform>().ok());
    let by_variant = platform.and_then(|platform| {
        let feature = from_platform(&platform.architecture, platform.variant.as_deref())?;
        target_named(graph, &feature)
    });
    demands(by_variant)
}
