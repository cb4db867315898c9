//! What the graph of CPU targets knows: names in every spelling, descent, distance,
//! platforms, and what a site may add.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "tests may assert by panicking"
)]

use std::collections::BTreeSet;

use metahub_hardware::{Extension, ExtensionError, Microarchitectures, Target, TargetError};
use rstest::rstest;
use serde_json::json;

fn near(spelling: &str) -> Vec<String> {
    match Microarchitectures::builtin().find(spelling) {
        Err(TargetError::Unknown { near, .. }) => near.iter().map(ToString::to_string).collect(),
        other => panic!("{spelling}: {other:?}"),
    }
}

#[rstest]
#[case("icl", "icelake")]
#[case("emr", "sapphirerapids")]
#[case("gnr", "graniterapids")]
#[case("Granite-Rapids", "graniterapids")]
#[case("cooperlake", "cooperlake")]
#[case("cpx", "cooperlake")]
#[case("milan-x", "zen3")]
#[case("genoa-x", "zen4")]
#[case("siena", "zen4")]
#[case("lunarlake", "arrowlake_s")]
#[case("kabylake", "skylake")]
fn names_that_people_type_are_targets(#[case] spelling: &str, #[case] name: &str) {
    assert_eq!(target(spelling).as_str(), name);
}

#[rstest]
#[case("graviton5", &["neoverse_v2"])]
#[case("c5n.18xlarge", &["skylake_avx512"])]
#[case("HBv4", &["zen4"])]
#[case("Standard_HB120rs_v3", &["zen3"])]
#[case("c3", &["ivybridge"])]
#[case("c3-standard-88", &["ivybridge"])]
#[case("tigerlake", &["x86_64_v4"])]
#[case("sierraforest", &["x86_64_v3"])]
#[case("diamondrapids", &["sapphirerapids"])]
#[case("zen7", &["zen6", "zen5", "zen4"])]
#[case("x86_64_v5", &["x86_64_v4", "x86_64_v3", "x86_64_v2"])]
#[case("graviton9", &["neoverse_v2", "neoverse_v1", "neoverse_n1"])]
#[case("zn3", &["zen3"])]
#[case("haswel", &["haswell"])]
#[case("saphirerapids", &["sapphirerapids"])]
#[case("skylakeu", &["skylake"])]
#[case("neoverse_v4", &["neoverse_v2", "neoverse_v1"])]
#[case("thunderx", &[])]
#[case("x86_65_v3", &["x86_64_v3"])]
#[case("a100", &[])]
#[case("somelake", &[])]
fn a_hint_names_what_was_meant_and_never_more(#[case] spelling: &str, #[case] hints: &[&str]) {
    assert_eq!(near(spelling), hints);
}

#[rstest]
#[case("h100", "did you mean cc:9.0?")]
#[case("mi250x", "did you mean gfx:gfx90a?")]
#[case("sm_80", "did you mean cc:sm_80?")]
#[case("cuda12.4", "did you mean cuda:12.4?")]
#[case("accel/nvidia/cc90", "did you mean cc:cc90?")]
fn what_is_no_cpu_is_told_as_the_feature_that_it_means(#[case] word: &str, #[case] says: &str) {
    let error = Microarchitectures::builtin().find(word).unwrap_err();
    assert!(error.to_string().contains(says), "{error}");
}

/// Processors that are no target, by the target of theirs that demands most: no hint may
/// demand more.
#[rstest]
#[case("rocketlake", "icelake")]
#[case("tigerlake", "icelake")]
#[case("pantherlake", "arrowlake_s")]
#[case("goldmont", "x86_64_v2")]
#[case("tremont", "x86_64_v2")]
#[case("gracemont", "alderlake")]
#[case("grandridge", "arrowlake")]
#[case("neoverse_e1", "armv8.2a")]
#[case("cortex_a53", "aarch64")]
#[case("cortex_a55", "armv8.2a")]
#[case("cortex_a57", "aarch64")]
#[case("cortex_a76", "neoverse_n1")]
#[case("power12", "power10le")]
#[case("thunderx", "aarch64")]
#[case("bonnell", "x86_64")]
#[case("penryn", "core2")]
#[case("yonah", "i686")]
#[case("geode", "i686")]
#[case("jaguar", "x86_64_v2")]
#[case("m9", "m4")]
fn no_hint_demands_more_than_the_processor_runs(#[case] name: &str, #[case] runs: &str) {
    let graph = Microarchitectures::builtin();
    let runs = target(runs);
    for hint in near(name) {
        let hint = target(&hint);
        let big_endian = graph.family(&hint) != graph.family(&runs);
        assert!(graph.runs(&runs, &hint) || big_endian, "{name}: {hint}");
    }
}

#[test]
fn a_slip_in_any_name_is_never_answered_with_more_than_the_name_itself() {
    let graph = Microarchitectures::builtin();
    let mut tried = 0;
    for entry in graph.iter() {
        let name = entry.target().as_str();
        for at in 0..name.len() {
            let mut left_out = name.to_owned();
            left_out.remove(at);
            let mut doubled = name.to_owned();
            doubled.insert(at, name.as_bytes()[at].into());
            let digit = |text: &str| text.as_bytes().get(at).is_some_and(u8::is_ascii_digit);
            for slip in [left_out, doubled] {
                let Err(TargetError::Unknown { near, .. }) = graph.find(&slip) else {
                    continue;
                };
                tried += 1;
                // Where a number is wrong, another number may be meant.
                if digit(name) || near.contains(entry.target()) {
                    continue;
                }
                for hint in near {
                    let more = graph.descends_from(&hint, entry.target());
                    assert!(!more, "{slip}, a slip of {name}, is answered with {hint}");
                }
            }
        }
    }
    assert!(tried > 500, "{tried}");
}

#[rstest]
#[case("x86_64", "386", true)]
#[case("zen4", "386", true)]
#[case("mic_knl", "386", true)]
#[case("zen4", "amd64", true)]
#[case("zen4", "arm", false)]
#[case("neoverse_n1", "arm", true)]
#[case("neoverse_n2", "arm", true)]
#[case("neoverse_v1", "arm", true)]
#[case("cortex_a72", "arm", true)]
#[case("graviton4", "arm", false)]
#[case("grace", "arm", false)]
#[case("neoverse_v3ae", "arm", false)]
#[case("olympus", "arm", false)]
#[case("a64fx", "arm", false)]
#[case("thunderx2", "arm", false)]
#[case("ampere1", "arm", false)]
#[case("m1", "arm", false)]
#[case("m4", "arm", false)]
#[case("aarch64", "arm", false)]
#[case("armv9.2a", "arm", false)]
#[case("neoverse_n1", "arm64", true)]
#[case("i686", "386", true)]
#[case("i686", "amd64", false)]
#[case("power9le", "ppc64", false)]
fn a_target_runs_32_bit_programs_where_that_is_known(
    #[case] name: &str,
    #[case] architecture: &str,
    #[case] runs: bool,
) {
    let graph = Microarchitectures::builtin();
    assert_eq!(graph.runs_architecture(&target(name), architecture), runs);
}

#[test]
fn a_site_says_what_its_targets_run_besides_their_own() {
    let graph = extend(json!({"targets": {
        "ours": {"from": ["neoverse_n1"]},
        "newer": {"from": ["neoverse_n1"], "also_runs": []},
        "older": {"from": ["aarch64"], "also_runs": ["arm"]},
    }}))
    .unwrap();
    let runs = |name| graph.runs_architecture(&graph.find(name).unwrap(), "arm");
    assert_eq!(
        (runs("ours"), runs("newer"), runs("older")),
        (true, false, true)
    );
}

fn target(name: &str) -> Target {
    Microarchitectures::builtin().find(name).unwrap()
}

#[rstest]
#[case("cascadeLake", "cascadelake")]
#[case("Cascade-Lake", "cascadelake")]
#[case("skylake-avx512", "skylake_avx512")]
#[case("SKYLAKE_AVX512", "skylake_avx512")]
#[case("znver3", "zen3")]
#[case("x86-64-v3", "x86_64_v3")]
#[case("x86_64/v3", "x86_64_v3")]
#[case("amd64/v3", "x86_64_v3")]
#[case("linux/amd64/v3", "x86_64_v3")]
#[case("amd64", "x86_64")]
#[case("arm64/v8", "aarch64")]
#[case("linux/arm64", "aarch64")]
#[case("armv8.2-a", "armv8.2a")]
#[case("icelake_server", "icelake")]
#[case("Icelake-Client", "icelake")]
#[case("x86_64/amd/zen3", "zen3")]
#[case("x86_64/intel/skylake_avx512", "skylake_avx512")]
#[case("aarch64/neoverse_v1", "neoverse_v1")]
#[case("aarch64/nvidia/grace", "neoverse_v2")]
#[case("x86_64/generic", "x86_64")]
#[case("aarch64/generic", "aarch64")]
#[case("aarch64/a64fx", "a64fx")]
#[case("neoverse-n1", "neoverse_n1")]
#[case("graviton3", "neoverse_v1")]
#[case("EPYC-Milan", "zen3")]
#[case("ppc64el", "ppc64le")]
#[case(" zen4 ", "zen4")]
fn a_target_is_found_in_any_spelling_people_use(#[case] spelling: &str, #[case] name: &str) {
    assert_eq!(target(spelling).as_str(), name);
}

#[rstest]
#[case("zen33", "zen3")]
#[case("skylak", "skylake")]
#[case("x86_64_v5", "x86_64_v3")]
#[case("x86_64/amd/zn3", "zen3")]
fn an_unknown_target_is_an_error_with_near_names(#[case] spelling: &str, #[case] near: &str) {
    let error = Microarchitectures::builtin().find(spelling).unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("did you mean") && text.contains(near),
        "{text}"
    );
}

#[rstest]
#[case("")]
#[case("graniterapids2000")]
#[case("x86_64/unknownvendor/zen3")]
#[case("accel/nvidia/cc90")]
#[case(">=zen3")]
#[case("!zen3")]
#[case("zen3,")]
#[case("zen\u{e9}3")]
fn what_is_no_target_is_not_guessed_at(#[case] spelling: &str) {
    let error = Microarchitectures::builtin().find(spelling).unwrap_err();
    assert!(matches!(error, TargetError::Unknown { .. }), "{error}");
}

#[rstest]
#[case("aarch64/zen3", "puts zen3 under aarch64, but zen3 belongs to x86_64")]
#[case(
    "x86_64/intel/zen3",
    "puts zen3 under intel, but zen3 belongs to AuthenticAMD"
)]
fn a_path_that_contradicts_itself_is_an_error(#[case] spelling: &str, #[case] says: &str) {
    let error = Microarchitectures::builtin()
        .find(spelling)
        .unwrap_err()
        .to_string();
    assert!(error.contains(says), "{error}");
}

#[rstest]
#[case("zen3", "zen2", true)]
#[case("zen3", "zen3", true)]
#[case("zen4", "x86_64_v4", true)]
#[case("zen3", "x86_64_v4", false)]
#[case("zen3", "icelake", false)]
#[case("icelake", "zen3", false)]
#[case("neoverse_v2", "neoverse_v1", false)]
#[case("neoverse_v2", "neoverse_n1", true)]
#[case("olympus", "armv9.2a", true)]
#[case("arrowlake_s", "skylake", true)]
#[case("ampere1a", "ampere1", true)]
#[case("cannonlake", "x86_64_v4", true)]
#[case("power9", "power9le", false)]
fn descent_is_archspecs(#[case] target: &str, #[case] other: &str, #[case] descends: bool) {
    let graph = Microarchitectures::builtin();
    let find = |name| graph.find(name).unwrap();
    assert_eq!(graph.descends_from(&find(target), &find(other)), descends);
    assert_eq!(graph.runs(&find(target), &find(other)), descends);
}

#[test]
fn whoever_descends_from_a_target_has_every_flag_of_it() {
    let graph = Microarchitectures::builtin();
    for entry in graph.iter() {
        let flags: BTreeSet<&str> = entry.features().iter().map(String::as_str).collect();
        for ancestor in graph.ancestors(entry.target()) {
            for flag in graph.get(&ancestor).unwrap().features() {
                assert!(
                    flags.contains(flag.as_str()),
                    "{} {ancestor} {flag}",
                    entry.target()
                );
            }
        }
    }
}

#[test]
fn what_lies_between_two_targets_is_nearer() {
    let graph = Microarchitectures::builtin();
    let all: Vec<Target> = graph.iter().map(|entry| entry.target().clone()).collect();
    for a in &all {
        assert_eq!(graph.distance(a, a), Some(0));
        for b in all.iter().filter(|b| *b != a && graph.descends_from(a, b)) {
            assert!(graph.depth(a) > graph.depth(b));
            assert!(
                !graph.descends_from(b, a),
                "{a} and {b} descend from each other"
            );
            for c in all.iter().filter(|c| *c != b && graph.descends_from(b, c)) {
                assert!(graph.distance(a, b) < graph.distance(a, c), "{a} {b} {c}");
            }
        }
    }
}

#[test]
fn ancestors_come_nearest_first() {
    let graph = Microarchitectures::builtin();
    let names: Vec<String> = graph
        .ancestors(&target("zen4"))
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(
        names,
        [
            "zen3",
            "x86_64_v4",
            "zen2",
            "zen",
            "x86_64_v3",
            "x86_64_v2",
            "x86_64"
        ]
    );
}

#[rstest]
#[case("zen3", "amd64", Some("v3"))]
#[case("cascadelake", "amd64", Some("v4"))]
#[case("nehalem", "amd64", Some("v2"))]
#[case("k10", "amd64", None)]
#[case("grace", "arm64", None)]
#[case("power9le", "ppc64le", None)]
#[case("u74mc", "riscv64", None)]
#[case("i686", "386", None)]
fn a_target_belongs_to_a_platform_of_oci(
    #[case] name: &str,
    #[case] architecture: &str,
    #[case] variant: Option<&str>,
) {
    let platform = Microarchitectures::builtin().oci_platform(&target(name));
    assert_eq!(
        (platform.os, platform.architecture.as_str()),
        ("linux", architecture)
    );
    assert_eq!(platform.variant, variant);
}

#[rstest]
#[case("zen3", "x86_64", "x86_64_v3")]
#[case("skylake", "x86_64", "x86_64_v3")]
#[case("neoverse_v1", "aarch64", "armv8.4a")]
#[case("zen", "x86_64", "x86_64_v3")]
fn a_target_has_a_family_and_a_generic_level(
    #[case] name: &str,
    #[case] family: &str,
    #[case] level: &str,
) {
    let graph = Microarchitectures::builtin();
    assert_eq!(graph.family(&target(name)).as_str(), family);
    assert_eq!(graph.generic(&target(name)).as_str(), level);
}

fn extend(site: serde_json::Value) -> Result<Microarchitectures, ExtensionError> {
    let site: Extension = serde_json::from_value(site).unwrap();
    Microarchitectures::builtin().extend(&site)
}

#[test]
fn a_site_adds_targets_on_top_of_each_other() {
    let graph = extend(json!({"targets": {
        "aaa": {"from": ["zzz"]},
        "zzz": {"from": ["zen5", "icelake"], "features": ["avx_new"]},
    }}))
    .unwrap();
    let find = |name| graph.find(name).unwrap();
    assert!(graph.descends_from(&find("aaa"), &find("znver4")));
    assert_eq!(graph.family(&find("AAA")).as_str(), "x86_64");
    assert!(Microarchitectures::builtin().find("zzz").is_err());
    let elsewhere = extend(json!({"targets": {"zzz": {"from": ["zen"]}}})).unwrap();
    assert!(!elsewhere.descends_from(&find("zzz"), &find("icelake")));
}

#[rstest]
#[case(json!({"targets": {"Zen-3": {}}}), "\"Zen-3\" cannot be added: it already means zen3")]
#[case(json!({"aliases": {"znver3": "zen2"}}), "it already means zen3")]
#[case(json!({"aliases": {"--": "zen2"}}), "needs letters or digits")]
#[case(json!({"aliases": {"mine": "zenn3"}}), "alias \"mine\": no CPU target is called \"zenn3\"")]
#[case(json!({"targets": {"mine": {"from": ["zenn3"]}}}), "target \"mine\": no CPU target")]
#[case(json!({"targets": {"a": {"from": ["b"]}, "b": {"from": ["a"]}}}), "in a circle")]
#[case(json!({"fallbacks": {"zen3": ["zen4"]}}), "in a circle")]
#[case(json!({"fallbacks": {"zen3": ["nope"]}}), "fallback \"zen3\": no CPU target")]
fn additions_that_do_not_hold_together_are_refused(
    #[case] site: serde_json::Value,
    #[case] says: &str,
) {
    let error = extend(site).unwrap_err().to_string();
    assert!(error.contains(says), "{error}");
}
