//! What an image may need, and how a feature states it.

use serde_json::json;

use crate::random::Random;
use crate::tables::*;

#[derive(Debug, Clone)]
pub(crate) enum Need {
    Cpu(&'static str),
    Cuda(V),
    Driver(V),
    /// Major, minor, and whether there is PTX.
    Code(Vec<(u32, u32, bool)>),
    Gfx(&'static str),
    Vendor(&'static str),
    Mpi(usize),
    /// Alternatives of factors: property, operator, value.
    Nvidia(Vec<Vec<(&'static str, &'static str, String)>>),
    /// Sets of rules of terms.
    Nfd(Vec<Vec<Term>>),
    Kernel((u32, u32)),
    Site(&'static str),
    /// A text that nobody understands, under a feature's key.
    Nonsense(&'static str, &'static str),
}

#[derive(Debug, Clone)]
pub(crate) enum Term {
    Flag(&'static str, bool),
    KernelMajor(bool, u32),
    Module(&'static str),
}

pub(crate) fn text((a, b, c): V) -> String {
    if c == 0 {
        format!("{a}.{b}")
    } else {
        format!("{a}.{b}.{c}")
    }
}

/// Texts that nobody understands, by the key of a feature.
pub(crate) const NONSENSE: &[(&str, &str)] = &[
    ("arch", "zenn3"),
    ("arch", ">=zen3"),
    ("arch", "zen3,zen4"),
    ("cuda", ">=12.4"),
    ("cuda", "12.x"),
    ("cuda", "latest"),
    ("driver", "<550"),
    ("driver", "550,580"),
    ("cc", "ampere"),
    ("cc", "8.0,new"),
    ("gfx", "navi"),
    ("gpu", "opencl"),
    ("mpi", "spectrum-mpi"),
    ("mpi", "mpich>=3"),
    ("kernel", "~5.14"),
    ("nvidia-require", "cuda>=12.4,memory>=8"),
    ("nvidia-require", "cuda"),
    ("nfd", "{\"version\":\"v2\"}"),
    (
        "nfd",
        "{\"compatibilities\":[{\"rules\":[{\"matchFeatures\":[{\"feature\":\"cpu.cpuid\",\
             \"matchExpressions\":{\"AVX\":{\"op\":\"Like\"}}}]}]}]}",
    ),
];

pub(crate) fn any_need(random: &mut Random) -> Need {
    match random.below(13) {
        0 | 1 => {
            let row = CPUS[random.below(CPUS.len())];
            Need::Cpu(random.of(row.1))
        }
        2 => Need::Cuda(random.of(CUDAS)),
        3 => Need::Driver(DRIVERS[random.below(DRIVERS.len())].1),
        4 => {
            let one = |random: &mut Random| {
                let (major, minor) = random.of(GPUS);
                (major, minor, random.once_in(2))
            };
            Need::Code((0..=random.below(2)).map(|_| one(random)).collect())
        }
        5 => Need::Gfx(random.of(GFX)),
        6 => Need::Vendor(random.of(&["nvidia", "amd", "any"])),
        7 => Need::Mpi(random.below(MPIS.len())),
        8 => {
            let factor = |random: &mut Random| match random.below(4) {
                0 => ("cuda", random.of(OPERATORS), text(random.of(CUDAS))),
                1 => {
                    let driver = DRIVERS[random.below(DRIVERS.len())].1;
                    ("driver", random.of(OPERATORS), text(driver))
                }
                2 => {
                    let (major, minor) = random.of(GPUS);
                    ("arch", random.of(OPERATORS), format!("{major}.{minor}"))
                }
                _ => {
                    let brand = random.of(&["tesla", "geforce", "unknown"]);
                    ("brand", random.of(&["=", "!="]), brand.to_owned())
                }
            };
            let alternative = |random: &mut Random| -> Vec<_> {
                (0..=random.below(3)).map(|_| factor(random)).collect()
            };
            Need::Nvidia((0..=random.below(3)).map(|_| alternative(random)).collect())
        }
        9 => {
            let term = |random: &mut Random| match random.below(4) {
                0 | 1 => Term::Flag(random.of(&["AVX2", "AVX512F", "SVE"]), !random.once_in(3)),
                2 => Term::KernelMajor(
                    random.once_in(2),
                    u32::try_from(random.below(4)).unwrap() + 4,
                ),
                _ => Term::Module(random.of(&["kvm", "vfio"])),
            };
            let set = |random: &mut Random| -> Vec<_> {
                (0..=random.below(2)).map(|_| term(random)).collect()
            };
            Need::Nfd((0..=random.below(2)).map(|_| set(random)).collect())
        }
        10 => Need::Kernel(random.of(KERNELS)),
        11 => Need::Site(random.of(&["blue", "green"])),
        _ => {
            let (key, value) = random.of(NONSENSE);
            Need::Nonsense(key, value)
        }
    }
}

pub(crate) fn expression(alternatives: &[Vec<(&str, &str, String)>]) -> String {
    let alternative = |factors: &Vec<(&str, &str, String)>| -> String {
        let factors = factors.iter().map(|(a, b, c)| format!("{a}{b}{c}"));
        factors.collect::<Vec<_>>().join(",")
    };
    alternatives
        .iter()
        .map(alternative)
        .collect::<Vec<_>>()
        .join(" ")
}

pub(crate) fn document(sets: &[Vec<Term>]) -> String {
    let rule = |term: &Term| {
        let (feature, name, expression) = match term {
            Term::Flag(flag, true) => ("cpu.cpuid", *flag, json!({"op": "Exists"})),
            Term::Flag(flag, false) => ("cpu.cpuid", *flag, json!({"op": "DoesNotExist"})),
            Term::KernelMajor(true, major) => (
                "kernel.version",
                "major",
                json!({"op": "Ge", "value": [major.to_string()]}),
            ),
            Term::KernelMajor(false, major) => (
                "kernel.version",
                "major",
                json!({"op": "Lt", "value": [major.to_string()]}),
            ),
            Term::Module(module) => ("kernel.loadedmodule", *module, json!({"op": "Exists"})),
        };
        json!({"matchFeatures": [{"feature": feature, "matchExpressions": {name: expression}}]})
    };
    let sets: Vec<_> = sets
        .iter()
        .map(|terms| json!({"rules": terms.iter().map(rule).collect::<Vec<_>>()}))
        .collect();
    json!({"version": "v1alpha1", "compatibilities": sets}).to_string()
}

/// Key and value of the feature by which a need is stated.
pub(crate) fn feature_of(need: &Need) -> (&'static str, String) {
    match need {
        Need::Cpu(target) => ("arch", (*target).to_owned()),
        Need::Cuda(cuda) => ("cuda", text(*cuda)),
        Need::Driver(driver) => ("driver", text(*driver)),
        Need::Code(code) => {
            let one = |(major, minor, ptx): &(u32, u32, bool)| {
                format!("{major}.{minor}{}", if *ptx { "+ptx" } else { "" })
            };
            ("cc", code.iter().map(one).collect::<Vec<_>>().join(","))
        }
        Need::Gfx(gfx) => ("gfx", (*gfx).to_owned()),
        Need::Vendor(vendor) => ("gpu", (*vendor).to_owned()),
        Need::Mpi(at) => ("mpi", MPIS[*at].0.to_owned()),
        Need::Nvidia(alternatives) => ("nvidia-require", expression(alternatives)),
        Need::Nfd(sets) => ("nfd", document(sets)),
        Need::Kernel((major, minor)) => ("kernel", format!("{major}.{minor}")),
        Need::Site(site) => ("site", (*site).to_owned()),
        Need::Nonsense(key, value) => (key, (*value).to_owned()),
    }
}
