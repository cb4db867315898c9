//! Spellings of CPU targets by people and tools: how they fold to one form, and the synonyms that
//! folding alone does not reach. A synonym must name exactly the instruction set of its target; a
//! name that means more (or less) than any known target is left unknown on purpose.

/// Lower-case letters and digits only: `Skylake-AVX512`, `skylake_avx512` and
/// `skylakeavx512` are one spelling, as are `x86-64-v3`, `x86_64_v3` and `x86_64/v3`.
pub(crate) fn fold(spelling: &str) -> String {
    spelling
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .map(|c| c.to_ascii_lowercase())
        .collect()
}

/// Folded synonym, canonical target. Sources: the `-march` names of GCC and Clang,
/// OCI and Debian platform names, EESSI paths, QEMU CPU models, vendors' product lines.
pub(crate) const SYNONYMS: &[(&str, &str)] = &[
    // Families, as OCI, Go, Debian and uname call them.
    ("amd64", "x86_64"),
    ("x64", "x86_64"),
    ("amd64v1", "x86_64"),
    ("x8664v1", "x86_64"),
    ("amd64v2", "x86_64_v2"),
    ("amd64v3", "x86_64_v3"),
    ("amd64v4", "x86_64_v4"),
    ("arm64", "aarch64"),
    ("arm64v8", "aarch64"),
    ("armv8", "aarch64"),
    ("armv8a", "aarch64"),
    ("armv80a", "aarch64"),
    ("aarch64v8", "aarch64"),
    ("arm64v80", "aarch64"),
    ("arm64v81", "armv8.1a"),
    ("arm64v82", "armv8.2a"),
    ("arm64v83", "armv8.3a"),
    ("arm64v84", "armv8.4a"),
    ("arm64v85", "armv8.5a"),
    ("arm64v86", "armv8.6a"),
    ("arm64v9", "armv9.0a"),
    ("arm64v90", "armv9.0a"),
    ("arm64v92", "armv9.2a"),
    ("armv81", "armv8.1a"),
    ("armv82", "armv8.2a"),
    ("armv83", "armv8.3a"),
    ("armv84", "armv8.4a"),
    ("armv85", "armv8.5a"),
    ("armv86", "armv8.6a"),
    ("armv90", "armv9.0a"),
    ("armv92", "armv9.2a"),
    ("armv9", "armv9.0a"),
    ("armv9a", "armv9.0a"),
    ("386", "x86"),
    ("i386", "x86"),
    ("pentiumpro", "i686"),
    ("ppc64el", "ppc64le"),
    ("powerpc64le", "ppc64le"),
    ("powerpc64", "ppc64"),
    ("powerpc", "ppc"),
    ("rv64gc", "riscv64"),
    // AMD.
    ("znver1", "zen"),
    ("zen1", "zen"),
    ("znver2", "zen2"),
    ("znver3", "zen3"),
    ("znver4", "zen4"),
    ("znver5", "zen5"),
    ("znver6", "zen6"),
    ("naples", "zen"),
    ("rome", "zen2"),
    ("milan", "zen3"),
    ("genoa", "zen4"),
    ("bergamo", "zen4"),
    ("turin", "zen5"),
    ("epyc", "zen"),
    ("epycrome", "zen2"),
    ("epycmilan", "zen3"),
    ("epycgenoa", "zen4"),
    ("epycturin", "zen5"),
    ("milanx", "zen3"),
    ("genoax", "zen4"),
    ("siena", "zen4"),
    ("zen4c", "zen4"),
    ("zen5c", "zen5"),
    ("epycbergamo", "zen4"),
    ("epycsiena", "zen4"),
    ("amdfam10", "k10"),
    ("barcelona", "k10"),
    ("bdver1", "bulldozer"),
    ("bdver2", "piledriver"),
    ("bdver3", "steamroller"),
    ("bdver4", "excavator"),
    // Intel.
    ("corei7", "nehalem"),
    ("corei7avx", "sandybridge"),
    ("coreavxi", "ivybridge"),
    ("coreavx2", "haswell"),
    ("skx", "skylake_avx512"),
    ("skylakesp", "skylake_avx512"),
    ("skylakex", "skylake_avx512"),
    ("skylakeserver", "skylake_avx512"),
    ("skylakeclient", "skylake"),
    ("clx", "cascadelake"),
    ("cascadelakeserver", "cascadelake"),
    ("icx", "icelake"),
    ("kabylake", "skylake"),
    ("coffeelake", "skylake"),
    ("whiskeylake", "skylake"),
    ("cometlake", "skylake"),
    ("cascadelakesp", "cascadelake"),
    ("cascadelakeap", "cascadelake"),
    ("cpx", "cooperlake"),
    ("icl", "icelake"),
    ("icelakesp", "icelake"),
    ("icelakex", "icelake"),
    ("icelakeserver", "icelake"),
    ("icelakeclient", "icelake"),
    ("spr", "sapphirerapids"),
    ("emeraldrapids", "sapphirerapids"),
    ("emr", "sapphirerapids"),
    ("gnr", "graniterapids"),
    ("raptorlake", "alderlake"),
    ("meteorlake", "alderlake"),
    ("lunarlake", "arrowlake_s"),
    ("knl", "mic_knl"),
    ("knightslanding", "mic_knl"),
    // Arm and vendors that build on it.
    ("altra", "neoverse_n1"),
    ("altramax", "neoverse_n1"),
    ("ampereone", "ampere1"),
    ("graviton2", "neoverse_n1"),
    ("graviton3", "neoverse_v1"),
    ("graviton4", "neoverse_v2"),
    ("grace", "neoverse_v2"),
    ("gracehopper", "neoverse_v2"),
    ("axion", "neoverse_v2"),
    ("cobalt100", "neoverse_n2"),
    ("azurecobalt100", "neoverse_n2"),
    ("graviton1", "cortex_a72"),
    ("graviton", "cortex_a72"),
    ("applem1", "m1"),
    ("applem2", "m2"),
    ("applem3", "m3"),
    ("applem4", "m4"),
    ("thunderx2t99", "thunderx2"),
    ("fujitsua64fx", "a64fx"),
    // Power, RISC-V.
    ("ppc64lepower8", "power8le"),
    ("ppc64lepower9", "power9le"),
    ("ppc64lepower10", "power10le"),
    ("pwr8", "power8le"),
    ("pwr9", "power9le"),
    ("pwr10", "power10le"),
    ("sifiveu74", "u74mc"),
    ("spacemitx60", "x60"),
];

/// The vendor that a part of a path such as `x86_64/amd/zen3` states, as archspec writes it;
/// `Some(None)` for those that put their own name on another's core (`aarch64/nvidia/grace`), and
/// `None` for a text that is no vendor.
pub(crate) fn vendor(word: &str) -> Option<Option<&'static str>> {
    Some(match word {
        "amd" => Some("AuthenticAMD"),
        "intel" => Some("GenuineIntel"),
        "fujitsu" => Some("Fujitsu"),
        "ibm" => Some("IBM"),
        "apple" => Some("Apple"),
        "ampere" | "arm" | "aws" | "cavium" | "google" | "marvell" | "microsoft" | "nvidia"
        | "sifive" | "spacemit" => None,
        _ => return None,
    })
}

/// How OCI names a family: `GOARCH`.
pub(crate) fn oci_architecture(family: &str) -> &str {
    match family {
        "x86_64" => "amd64",
        "x86" => "386",
        "aarch64" => "arm64",
        other => other,
    }
}
