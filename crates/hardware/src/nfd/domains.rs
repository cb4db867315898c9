//! Node Feature Discovery's sources of features, by name.

/// Where rules that matched leave what they give.
pub(super) const MATCHED: &str = "rule.matched";

/// Node Feature Discovery's domains. A provided feature such as
/// `kernel.loadedmodule:vfio-pci` or `pci.device:class=0200,vendor=15b3` states such a fact.
pub(super) const DOMAINS: &[&str] = &[
    "cpu", "kernel", "local", "memory", "network", "pci", "storage", "system", "usb",
];

/// Its features, by domain. A site may state others, of later versions.
const FEATURES: &[&str] = &[
    "cpu.coprocessor",
    "cpu.cpuid",
    "cpu.cstate",
    "cpu.model",
    "cpu.pstate",
    "cpu.rdt",
    "cpu.security",
    "cpu.sst",
    "cpu.topology",
    "kernel.config",
    "kernel.enabledmodule",
    "kernel.loadedmodule",
    "kernel.selinux",
    "kernel.version",
    "local.feature",
    "local.label",
    "memory.hugepages",
    "memory.numa",
    "memory.nv",
    "memory.swap",
    "network.device",
    "network.virtual",
    "pci.device",
    "storage.block",
    "system.dmiid",
    "system.name",
    "system.osrelease",
    "usb.device",
];

/// Whether a source of features is in one of the domains, or is created by rules.
pub(super) fn is_in_a_domain(source: &str) -> bool {
    let in_domain = source
        .split_once('.')
        .is_some_and(|(domain, rest)| DOMAINS.contains(&domain) && !rest.is_empty());
    in_domain || source == MATCHED
}

/// Whether Node Feature Discovery has such a feature.
pub(super) fn is_feature(source: &str) -> bool {
    FEATURES.contains(&source) || source == MATCHED
}
