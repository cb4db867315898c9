//! The CPU flags that a hypervisor may hide although the processor has them, and whose absence does
//! not matter to compiled programs: no compiler emits them on its own. No other missing flag is
//! ever tolerated.

/// Flag, and why a program compiled for a target that has it runs without it.
pub(crate) const NEVER_EMITTED: &[(&str, &str)] = &[
    // x86.
    ("rdseed", "reached only through an intrinsic"),
    (
        "pku",
        "reached only through pkey_* calls, which ask the kernel",
    ),
    ("flush_l1d", "a model-specific register, not an instruction"),
    (
        "tsc_adjust",
        "a model-specific register, not an instruction",
    ),
    (
        "movdiri",
        "reached only through an intrinsic, for device memory",
    ),
    (
        "movdir64b",
        "reached only through an intrinsic, for device memory",
    ),
    (
        "clflushopt",
        "reached only through an intrinsic, for cache control",
    ),
    (
        "clwb",
        "reached only through an intrinsic, for cache control",
    ),
    (
        "clzero",
        "reached only through an intrinsic, for cache control",
    ),
    ("cldemote", "a hint that does nothing where it is not known"),
    ("xsavec", "for operating systems and context switches"),
    ("xsaveopt", "for operating systems and context switches"),
    ("serialize", "reached only through an intrinsic"),
    ("waitpkg", "reached only through an intrinsic"),
    ("rdpid", "reached only through an intrinsic"),
    (
        "amx_tile",
        "unusable until a program asks the kernel for it",
    ),
    (
        "amx_int8",
        "unusable until a program asks the kernel for it",
    ),
    (
        "amx_bf16",
        "unusable until a program asks the kernel for it",
    ),
    (
        "amx_fp16",
        "unusable until a program asks the kernel for it",
    ),
    ("avx512_vp2intersect", "reached only through an intrinsic"),
    // Arm.
    (
        "paca",
        "where it is off, its instructions do nothing or plainly return",
    ),
    ("pacg", "reached only through an intrinsic"),
    ("bti", "a hint that does nothing where it is not known"),
    ("dgh", "a hint that does nothing where it is not known"),
    ("evtstrm", "a timer of the kernel, not an instruction"),
    ("ecv", "a timer for hypervisors, not an instruction"),
    (
        "cpuid",
        "identification registers, which programs ask for by AT_HWCAP",
    ),
    ("ssbs", "a mode that programs ask the kernel for"),
    (
        "dit",
        "a mode that only cryptographic code sets, after asking",
    ),
    ("rng", "reached only through an intrinsic"),
    (
        "dcpop",
        "reached only through an intrinsic, for cache control",
    ),
    (
        "dcpodp",
        "reached only through an intrinsic, for cache control",
    ),
    ("wfxt", "reached only through an intrinsic"),
    (
        "ls64",
        "reached only through an intrinsic, for device memory",
    ),
];

/// Why a program runs without `flag`; `None` when it may not.
pub(crate) fn reason(flag: &str) -> Option<&'static str> {
    NEVER_EMITTED
        .iter()
        .find(|(name, _)| *name == flag)
        .map(|(_, why)| *why)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_code_generation_uses_is_forgiven() {
        let used = [
            "sse2",
            "sse4_2",
            "avx",
            "avx2",
            "fma",
            "bmi1",
            "bmi2",
            "f16c",
            "abm",
            "movbe",
            "popcnt",
            "avx512f",
            "avx512vl",
            "avx512_bf16",
            "avx512_vnni",
            "avx_vnni",
            "gfni",
            "sse4a",
            "adx",
            "pclmulqdq",
            "aes",
            "sha_ni",
            "xsave",
            "fsgsbase",
            "cx16",
            "lahf_lm",
            "sve",
            "sve2",
            "atomics",
            "bf16",
            "i8mm",
            "lrcpc",
            "uscat",
            "flagm",
            "fcma",
            "jscvt",
            "sb",
        ];
        for flag in used {
            assert_eq!(reason(flag), None, "{flag}");
        }
    }
}
