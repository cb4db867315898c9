//! Detection from given trees: masked flags, mixed cores, GPUs, fabrics, libraries, and
//! that what is absent costs nothing.
#![expect(clippy::unwrap_used, reason = "tests may assert by panicking")]

mod cpuid;
mod files;

use std::fs;
use std::path::Path;

use metahub_hardware::Microarchitectures;
use metahub_hardware::detect::{
    CpuFinding, Cpuinfo, DetectOptions, Node, NvmlAnswers, Registers, Root, ToolOutputs, cpu,
    detect, read_cpuid,
};
use proptest::prelude::*;
use rstest::rstest;

/// A processor that has all flags of `target` but those hidden.
fn x86(target: &str, numbers: (u32, u32, u32), hidden: &[&str]) -> String {
    let graph = Microarchitectures::builtin();
    let known = graph.get(&graph.find(target).unwrap()).unwrap();
    let flags: Vec<&str> = known
        .features()
        .iter()
        .map(String::as_str)
        .filter(|flag| !hidden.contains(flag))
        .chain(["lm", "hypervisor"])
        .collect();
    let (family, model, stepping) = numbers;
    format!(
        "processor : 0\nvendor_id : {}\ncpu family : {family}\nmodel : {model}\n\
         stepping : {stepping}\nflags : {}\n\n",
        known.vendor(),
        flags.join(" ")
    )
}

fn found(text: &str) -> CpuFinding {
    let info = Cpuinfo::parse(text);
    cpu(
        &info,
        info.machine().unwrap(),
        &Microarchitectures::builtin(),
    )
    .unwrap()
}

const ZEN5: (u32, u32, u32) = (26, 2, 1);

#[rstest]
#[case::zen5("zen5", ZEN5, &["rdseed", "pku", "flush_l1d", "movdiri", "movdir64b"], "x86_64_v4")]
#[case::zen4("zen4", (25, 17, 1), &["pku", "rdseed"], "x86_64_v4")]
#[case::zen3("zen3", (25, 1, 1), &["pku", "clzero"], "x86_64_v3")]
#[case::zen2("zen2", (23, 49, 0), &["rdseed"], "x86_64_v3")]
#[case::cascadelake("cascadelake", (6, 85, 7), &["clwb", "rdseed"], "x86_64_v4")]
#[case::intersect("zen5", (26, 2, 1), &["avx512_vp2intersect"], "zen4")]
#[case::turin_dense("zen5", (26, 17, 0), &["rdseed", "avx512_vp2intersect"], "x86_64_v4")]
#[case::emerald("sapphirerapids", (6, 207, 2), &["amx_tile", "amx_bf16", "amx_int8"], "icelake")]
#[case::granite("graniterapids", (6, 173, 1), &["amx_tile", "amx_bf16", "amx_int8", "amx_fp16"], "icelake")]
#[case::granite_d("graniterapids", (6, 174, 1), &["movdiri", "amx_tile"], "icelake")]
#[case::diamond("graniterapids", (19, 1, 1), &["cldemote", "serialize"], "icelake")]
#[case::arrow("arrowlake", (6, 197, 2), &["waitpkg"], "skylake")]
#[case::arrow_s("arrowlake_s", (6, 198, 2), &["waitpkg"], "skylake")]
#[case::lunar("arrowlake_s", (6, 189, 1), &["rdseed", "movdiri"], "haswell")]
#[case::panther("arrowlake_s", (6, 204, 1), &["rdseed"], "haswell")]
#[case::sierra("arrowlake", (6, 175, 3), &["rdseed"], "haswell")]
#[case::meteor("alderlake", (6, 170, 4), &["clwb"], "skylake")]
#[case::cooper("cooperlake", (6, 85, 11), &["clwb", "rdseed"], "x86_64_v4")]
#[case::sapphirerapids("sapphirerapids", (6, 143, 8), &["amx_tile", "amx_bf16", "amx_int8"], "icelake")]
fn flags_that_no_compiler_emits_are_forgiven_when_the_model_is_known(
    #[case] target: &str,
    #[case] numbers: (u32, u32, u32),
    #[case] hidden: &[&str],
    #[case] by_flags: &str,
) {
    let found = found(&x86(target, numbers, hidden));
    assert_eq!(found.target.as_str(), target, "{found}");
    assert_eq!(found.by_flags.as_str(), by_flags);
    let mut masked: Vec<&str> = found
        .masked
        .iter()
        .map(|masked| masked.flag.as_str())
        .collect();
    let mut hidden = hidden.to_vec();
    masked.sort_unstable();
    hidden.sort_unstable();
    assert_eq!(masked, hidden);
}

#[rstest]
#[case::bf16("avx512_bf16")]
#[case::vnni("avx_vnni")]
#[case::gfni("gfni")]
#[case::ifma("avx512ifma")]
fn a_flag_that_code_generation_uses_is_never_forgiven(#[case] flag: &str) {
    let found = found(&x86("zen5", ZEN5, &["rdseed", flag]));
    let graph = Microarchitectures::builtin();
    assert_ne!(found.target.as_str(), "zen5", "{found}");
    assert!(
        !graph.get(&found.target).unwrap().features().contains(flag),
        "{found}"
    );
}

#[rstest]
#[case::granite("graniterapids", (6, 173, 1), "sapphirerapids")]
#[case::cooper("cooperlake", (6, 85, 11), "cascadelake")]
fn a_target_that_archspec_does_not_have_is_known_by_its_model(
    #[case] target: &str,
    #[case] numbers: (u32, u32, u32),
    #[case] by_flags: &str,
) {
    let whole = found(&x86(target, numbers, &[]));
    assert_eq!(
        (whole.target.as_str(), whole.by_flags.as_str()),
        (target, by_flags)
    );
    assert!(whole.masked.is_empty());
    // Another model with the same flags, and the model without its flag.
    let (family, _, stepping) = numbers;
    let other = found(&x86(target, (family, 0x01, stepping), &[]));
    assert_eq!(other.target.as_str(), by_flags);
    let less = found(&x86(by_flags, numbers, &[]));
    assert_ne!(less.target.as_str(), "cooperlake");
}

#[test]
fn an_unknown_model_is_judged_by_its_flags_alone() {
    let found = found(&x86("zen5", (99, 1, 1), &["rdseed"]));
    assert_eq!(found.target.as_str(), "x86_64_v4");
    assert_eq!(found.target, found.by_flags);
    assert!(found.masked.is_empty());
}

#[test]
fn the_answer_says_what_was_hidden_and_why_that_is_safe() {
    assert_eq!(
        found(&x86("zen5", ZEN5, &["rdseed", "flush_l1d"])).to_string(),
        "zen5; its flags alone say x86_64_v4, for these are hidden: flush_l1d (a model-specific \
         register, not an instruction) rdseed (reached only through an intrinsic)"
    );
}

#[test]
fn cores_that_differ_are_what_they_have_in_common() {
    let mixed = x86("icelake", (6, 106, 6), &[]) + &x86("cascadelake", (6, 85, 7), &[]);
    let both = found(&mixed);
    assert_eq!(both.target.as_str(), "cascadelake", "{both}");
    let arm = |part: &str, more: &str| {
        format!(
            "Features : fp asimd evtstrm aes pmull sha1 sha2 crc32 cpuid{more}\n\
             CPU implementer : 0x41\nCPU architecture: 8\nCPU part : {part}\n\n"
        )
    };
    let newer = " atomics fphp asimdhp asimdrdm lrcpc dcpop asimddp";
    assert_eq!(found(&arm("0xd0c", newer)).target.as_str(), "neoverse_n1");
    let both = found(&(arm("0xd0c", newer) + &arm("0xd08", "")));
    assert_eq!(both.target.as_str(), "cortex_a72", "{both}");
}
