//! A node's features under the names of Node Feature Discovery, derived from a login's features. A
//! feature that is not provided is unknown, and no rule about it matches.

use std::collections::{BTreeMap, BTreeSet};

use super::domains::{MATCHED, is_in_a_domain};
use super::expression::{Expression, Found};
use crate::feature::Feature;
use crate::graph::Microarchitectures;
use crate::keys::Key;
use crate::target::Target;

/// Flags that every 64-bit x86 processor has.
const X86_BASE: &[&str] = &[
    "CMOV", "CMPXCHG8", "FXSR", "MMX", "SSE", "SSE2", "SYSCALL", "X87",
];

/// Linux's name of an x86 flag, and Node Feature Discovery's where it is not the same in
/// capitals and without `_`.
const X86_NAMES: &[(&str, &str)] = &[
    ("3dnow", "AMD3DNOW"),
    ("3dnowext", "AMD3DNOWEXT"),
    ("abm", "LZCNT"),
    ("aes", "AESNI"),
    ("fma", "FMA3"),
    ("lahf_lm", "LAHF"),
    ("pclmulqdq", "CLMUL"),
    ("pni", "SSE3"),
    ("sha_ni", "SHA"),
    ("sse4_1", "SSE4"),
    ("sse4_2", "SSE42"),
];

/// GPUs and fabrics as PCI devices: feature, class, vendor.
const DEVICES: &[(&str, &str, &[&str], &str)] = &[
    ("gpu", "nvidia", &["0300", "0302"], "10de"),
    ("gpu", "amd", &["0300", "0380"], "1002"),
    ("gpu", "intel", &["0300", "0380"], "8086"),
    ("fabric", "infiniband", &["0207"], "15b3"),
    ("fabric", "roce", &["0200"], "15b3"),
    ("fabric", "efa", &["0200"], "1d0f"),
    ("fabric", "slingshot", &["0200"], "17db"),
];

type Attributes = BTreeMap<String, String>;

/// All features of a node, by source such as `cpu.cpuid`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct NodeFeatures(BTreeMap<String, Source>);

/// The known elements of one source; "not known" differs from "none".
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Source {
    flags: Option<BTreeSet<String>>,
    attributes: Option<Attributes>,
    instances: Vec<Attributes>,
    /// Whether instances are stated as such, and not only what other features imply.
    instances_stated: bool,
}

/// Why not all expressions about a source hold.
pub(super) enum Failing<'e> {
    /// This one does not.
    Expression(&'e str, &'e Expression),
    /// Each may hold of some instance, and all of none.
    Instances,
}

/// NodeFeatures, and what rules that matched before have added to them.
pub(super) struct Tried<'a> {
    pub(super) features: &'a NodeFeatures,
    pub(super) matched: &'a Source,
}

impl Tried<'_> {
    pub(super) fn source(&self, name: &str) -> Option<&Source> {
        if name == MATCHED {
            return Some(self.matched);
        }
        self.features.0.get(name)
    }
}

impl Source {
    pub(super) fn attributes() -> Self {
        Self {
            attributes: Some(Attributes::new()),
            ..Self::default()
        }
    }

    pub(super) fn add(&mut self, more: &Attributes) {
        let attributes = self.attributes.get_or_insert_default();
        attributes.extend(more.iter().map(|(k, v)| (k.clone(), v.clone())));
    }

    /// Why not all expressions hold; `None` when they do.
    pub(super) fn failing<'e>(
        &self,
        expressions: &'e [(String, Expression)],
    ) -> Option<Failing<'e>> {
        if expressions.is_empty() {
            return None;
        }
        let by_instance = self.instances.iter().any(|instance| {
            expressions
                .iter()
                .all(|(name, expression)| expression.holds(value(Some(instance), name)))
        });
        if by_instance {
            return None;
        }
        if self.flags.is_none() && self.attributes.is_none() {
            return Some(Failing::Instances);
        }
        let failing = expressions
            .iter()
            .find(|(name, expression)| !self.holds(name, expression))?;
        Some(Failing::Expression(failing.0.as_str(), &failing.1))
    }

    /// Whether it is known that `name` is present or absent: flags are all stated, attributes only
    /// if present.
    pub(super) fn states(&self, name: &str) -> bool {
        let has = |attributes: &Attributes| attributes.contains_key(name);
        self.flags.is_some() || self.attributes.as_ref().is_some_and(has)
    }

    pub(super) fn states_instances(&self) -> bool {
        self.instances_stated
    }

    /// Whether all names of the source are known.
    pub(super) fn states_names(&self) -> bool {
        self.flags.is_some() || self.instances_stated
    }

    /// Whether an expression holds for a flag or an attribute; for absence, for both.
    fn holds(&self, name: &str, expression: &Expression) -> bool {
        let flag = match &self.flags {
            Some(flags) if flags.contains(name) => Found::Flag,
            _ => Found::Absent,
        };
        let attribute = value(self.attributes.as_ref(), name);
        if expression.is_absence() {
            return flag == Found::Absent && attribute == Found::Absent;
        }
        expression.holds(flag) || expression.holds(attribute)
    }

    /// Whether the expression holds for the name of a flag or attribute.
    pub(super) fn has_name(&self, expression: &Expression) -> bool {
        let flags = self.flags.iter().flatten();
        let attributes = self.attributes.iter().chain(&self.instances);
        flags
            .chain(attributes.flat_map(BTreeMap::keys))
            .any(|name| expression.holds(Found::Value(name)))
    }

    fn flag(&mut self, name: &str) {
        self.flags.get_or_insert_default().insert(name.to_owned());
    }

    fn attribute(&mut self, name: &str, value: &str) {
        let attributes = self.attributes.get_or_insert_default();
        attributes.insert(name.to_owned(), value.to_owned());
    }
}

fn value<'a>(attributes: Option<&'a Attributes>, name: &str) -> Found<'a> {
    match attributes.and_then(|attributes| attributes.get(name)) {
        Some(value) => Found::Value(value),
        None => Found::Absent,
    }
}

impl NodeFeatures {
    /// The features that CPU targets and features state.
    pub(crate) fn of<'a>(
        graph: &Microarchitectures,
        targets: impl Iterator<Item = &'a Target>,
        features: impl Iterator<Item = &'a Feature>,
    ) -> Self {
        let mut known = Self::default();
        known.add_cpu(graph, targets);
        for feature in features {
            known.add(feature);
        }
        known
    }

    fn source(&mut self, name: &str) -> &mut Source {
        self.0.entry(name.to_owned()).or_default()
    }

    fn add_cpu<'a>(
        &mut self,
        graph: &Microarchitectures,
        targets: impl Iterator<Item = &'a Target>,
    ) {
        for (target, known) in targets.filter_map(|target| Some((target, graph.get(target)?))) {
            let family = graph.family(target);
            let x86 = family.as_str() == "x86_64";
            let cpuid = self.source("cpu.cpuid");
            // A family without flags has a known, empty set of them.
            cpuid.flags.get_or_insert_default();
            for flag in known.features() {
                cpuid.flag(&flag_name(flag, x86));
            }
            if x86 {
                X86_BASE.iter().for_each(|flag| cpuid.flag(flag));
            }
            let vendor = match known.vendor() {
                "AuthenticAMD" => "AMD",
                "GenuineIntel" => "Intel",
                "generic" => continue,
                other => other,
            };
            self.source("cpu.model").attribute("vendor_id", vendor);
        }
    }

    fn add(&mut self, feature: &Feature) {
        let value = feature.value();
        match feature.key() {
            Key::Kernel => self.add_kernel(value),
            // A login that states a driver or a capability has the GPU.
            Key::Driver | Key::Cc => self.add_device("gpu", "nvidia"),
            Key::Gfx => self.add_device("gpu", "amd"),
            Key::Gpu => self.add_device("gpu", feature.canonical().trim_start_matches("gpu:")),
            Key::Other(key) => match &**key {
                "fabric" => self.add_device(key, value),
                "smt" => {
                    let on = if value == "on" { "true" } else { "false" };
                    let topology = self.source("cpu.topology");
                    topology.attribute("hardware_multithreading", on);
                }
                key => self.add_stated(key, value),
            },
            _ => {}
        }
    }

    fn add_kernel(&mut self, version: &str) {
        let numbers: Vec<&str> = version
            .split(['.', '-', '+'])
            .take_while(|word| !word.is_empty() && word.bytes().all(|b| b.is_ascii_digit()))
            .collect();
        let kernel = self.source("kernel.version");
        kernel.attribute("full", version);
        for (name, number) in ["major", "minor", "revision"].iter().zip(numbers) {
            kernel.attribute(name, number);
        }
    }

    fn add_device(&mut self, key: &str, value: &str) {
        let row = DEVICES.iter().find(|row| row.0 == key && row.1 == value);
        let Some((_, _, classes, vendor)) = row else {
            return;
        };
        let devices = &mut self.source("pci.device").instances;
        for class in *classes {
            let device = [("class", *class), ("vendor", *vendor)];
            let device: Attributes = device.map(|(k, v)| (k.to_owned(), v.to_owned())).into();
            if !devices.contains(&device) {
                devices.push(device);
            }
        }
    }

    /// A fact under its own name: `NAME` is a flag, `NAME=VALUE` an attribute, several of
    /// them with commas between are one device.
    fn add_stated(&mut self, key: &str, value: &str) {
        if !is_in_a_domain(key) || key == MATCHED {
            return;
        }
        let source = self.source(key);
        let pairs: Option<Attributes> = value
            .split(',')
            .map(|pair| {
                let (name, value) = pair.split_once('=')?;
                Some((name.trim().to_owned(), value.trim().to_owned()))
            })
            .collect();
        match pairs {
            None => source.flag(value),
            Some(pairs) if key.ends_with(".device") || pairs.len() > 1 => {
                source.instances.push(pairs);
                source.instances_stated = true;
            }
            Some(pairs) => source.add(&pairs),
        }
    }
}

fn flag_name(flag: &str, x86: bool) -> String {
    let own = X86_NAMES.iter().find(|(linux, _)| x86 && *linux == flag);
    match own {
        Some((_, name)) => (*name).to_owned(),
        None => flag.replace('_', "").to_ascii_uppercase(),
    }
}
