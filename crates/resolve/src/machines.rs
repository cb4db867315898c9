//! Groups candidates by machine: a client picks an entry by operating system and architecture, so
//! one entry is chosen in each of those groups.

use std::collections::HashMap;

use metahub_hardware::{Feature, Provided};

use crate::candidate::{Candidate, CandidateList};
use crate::requirements::Place;
use crate::verdict::{Span, Texts, Told};

/// A candidate that may be chosen, and where it is noted what becomes of it.
pub(crate) struct Contender<'s, 'a> {
    pub(crate) candidate: &'s Candidate<'a>,
    pub(crate) requires: Place,
    pub(crate) became: &'s mut Told,
}

impl Contender<'_, '_> {
    pub(crate) fn requirements<'f>(&self, features: &'f [&'f Feature]) -> &'f [&'f Feature] {
        features.get(self.requires.clone()).unwrap_or_default()
    }

    pub(crate) fn arm_variant(&self) -> Option<&str> {
        let platform = self.candidate.platform?;
        platform.variant.filter(|_| platform.architecture == "arm")
    }
}

/// Operating system, architecture, and the system's version: what a client picks an entry by.
/// Windows machines pick by the version of the system as well.
type Machine<'a> = (&'a str, &'a str, Option<&'a str>);

/// The contenders of each machine, machines in the order in which they appear.
pub(crate) struct Machines<'s, 'a> {
    /// The architectures that the provided CPU targets run; all, if none is provided.
    architectures: Vec<String>,
    places: HashMap<Machine<'a>, usize>,
    /// By the number of the platform: the group that it belongs to, or why it belongs to none.
    of_platform: Vec<Option<Result<usize, Span>>>,
    pub(crate) groups: Vec<Vec<Contender<'s, 'a>>>,
    /// Whether any image states a platform, and any one of hardware.
    pub(crate) any_stated: bool,
    any_hardware: bool,
}

impl<'s, 'a> Machines<'s, 'a> {
    pub(crate) fn of(provided: &Provided, candidates: &CandidateList<'_>) -> Self {
        let images = || {
            let all = candidates.iter();
            all.filter(|c| c.platform.is_some() && c.not_to_run().is_none())
        };
        let graph = provided.graph();
        let mut architectures: Vec<String> = Vec::new();
        for target in provided.targets() {
            architectures.extend(graph.architectures(target));
        }
        Self {
            architectures,
            places: HashMap::new(),
            of_platform: Vec::new(),
            groups: Vec::new(),
            any_stated: images().next().is_some(),
            any_hardware: images().any(|candidate| !candidate.is_wasm()),
        }
    }

    /// The group of a candidate, none if it states no platform; or why it is for no machine here.
    pub(crate) fn group_of(
        &mut self,
        candidate: &Candidate<'a>,
        told: &mut Texts,
    ) -> Result<Option<usize>, Span> {
        let (Some(platform), Some(number)) = (candidate.platform, candidate.platform_number) else {
            return Ok(None);
        };
        if let Some(Some(known)) = self.of_platform.get(number) {
            return known.map(Some);
        }
        let found = match self.object_to(candidate, platform.architecture) {
            Some(reason) => Err(told.add(&reason)),
            None => {
                let machine = (platform.os, platform.architecture, platform.os_version);
                let next = self.groups.len();
                let group = *self.places.entry(machine).or_insert(next);
                if group == next {
                    self.groups.push(Vec::new());
                }
                Ok(group)
            }
        };
        if self.of_platform.len() <= number {
            self.of_platform.resize(number + 1, None);
        }
        if let Some(place) = self.of_platform.get_mut(number) {
            *place = Some(found);
        }
        found.map(Some)
    }

    fn object_to(&self, candidate: &Candidate<'_>, architecture: &str) -> Option<String> {
        let own = self.architectures.first()?;
        if candidate.is_wasm() {
            // It runs on any hardware, under a runtime that few nodes have.
            let reason = "is for a WebAssembly runtime, and other entries are for hardware";
            return self.any_hardware.then(|| reason.to_owned());
        }
        let runs = self.architectures.iter().any(|own| own == architecture);
        (!runs).then(|| format!("is for {architecture}, and the machine is {own}"))
    }

    pub(crate) fn add(&mut self, group: usize, contender: Contender<'s, 'a>) {
        if let Some(group) = self.groups.get_mut(group) {
            group.push(contender);
        }
    }
}
