//! Node Feature Discovery's image-compatibility artifacts, held against machines.

use std::sync::LazyLock;

use metahub_hardware::{Feature, Provided, Statements, fit};

use super::words;
use crate::Target;

pub(super) const TARGET: Target = Target {
    name: "nfd",
    files: &[],
    cases: 80_000,
    most_bytes: 32 * 1024,
    words: &[
        "\"version\":\"v1alpha1\"",
        "\"compatibilities\":[",
        "\"rules\":[",
        "\"name\":",
        "\"matchFeatures\":[",
        "\"matchAny\":[",
        "\"feature\":",
        "\"matchExpressions\":{",
        "\"matchName\":{",
        "\"op\":",
        "\"value\":[\"",
        "\"type\":\"version\"",
        "\"labels\":{",
        "\"vars\":{",
        "In",
        "NotIn",
        "InRegexp",
        "Exists",
        "DoesNotExist",
        "Gt",
        "Ge",
        "Lt",
        "Le",
        "GtLt",
        "GeLe",
        "IsTrue",
        "IsFalse",
        "cpu.cpuid",
        "cpu.model",
        "kernel.version",
        "kernel.config",
        "kernel.loadedmodule",
        "pci.device",
        "rule.matched",
        "system.osrelease",
        "AVX512F",
        "vendor_id",
        "major",
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        "null",
        "(a+)+$",
    ],
    read,
};

static MACHINES: LazyLock<Vec<Provided>> = LazyLock::new(|| {
    let machines = [
        "",
        "arch:zen3 kernel:5.14.0-427.el9.x86_64 smt:off kernel.config:NO_HZ=y",
        "arch:icelake kernel.loadedmodule:vfio-pci pci.device:class=0200,vendor=0eee fabric:roce",
        "arch:neoverse_v2 system.count:cores=64 system.list:a=1,b=2",
    ];
    let features = |text: &&str| {
        let features = text
            .split_whitespace()
            .map(|text| text.parse::<Feature>().unwrap());
        Provided::new(features)
    };
    machines.iter().map(features).collect()
});

fn read(input: &[u8]) -> String {
    let text = String::from_utf8_lossy(input);
    let mut stated = Statements::default();
    if let Err(error) = stated.add_compatibility(&text) {
        // What cannot be read is never taken for nothing.
        assert_eq!(stated.unread.len(), 1);
        return words(&error);
    }
    let required: Vec<Feature> = stated.requirements.into_iter().map(|s| s.feature).collect();
    assert_eq!(required.len(), 1);
    let mut outcome = String::new();
    for machine in MACHINES.iter() {
        let found = fit(&required, machine);
        assert_eq!(found.fits(), fit(&required, machine).fits());
        outcome += &match found.fits() {
            true => "fits".to_owned(),
            false => words(&found),
        };
        outcome.push('|');
    }
    outcome
}
