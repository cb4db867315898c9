//! Real cases: which image a machine gets, and the properties that hold for every choice.

#![expect(clippy::unwrap_used, reason = "tests may assert by panicking")]

use metahub_hardware::{
    Choice, DecidedBy, Entry, Extension, Feature, How, Microarchitectures, Mismatch, Options,
    Outcome, Provided, choose, choose_with, fit, least_required,
};
use rstest::rstest;
use std::sync::Arc;

fn features(text: &str) -> Vec<Feature> {
    text.split_whitespace()
        .map(|word| word.parse().unwrap())
        .collect()
}

fn provided(text: &str) -> Provided {
    Provided::new(features(text))
}

fn images(list: &[&str]) -> Vec<Vec<Feature>> {
    list.iter()
        .map(|image| features(image.trim_matches('-')))
        .collect()
}

/// Chooses among images written as lists of features (`-` requires nothing) and hands the
/// choice to `check`.
fn picking<T>(list: &[&str], machine: &Provided, check: impl FnOnce(&Choice<'_>) -> T) -> T {
    let images = images(list);
    let entries: Vec<Entry<'_>> = images
        .iter()
        .map(|requirements| Entry {
            requirements,
            weight: 0,
        })
        .collect();
    check(&choose(&entries, machine))
}

fn pick(list: &[&str], machine: &Provided) -> Option<usize> {
    picking(list, machine, |choice| choice.winner())
}

#[rstest]
#[case::itself("arch:zen3", "arch:zen3", true)]
#[case::descendant("arch:zen3", "arch:zen4", true)]
#[case::never_the_other_way("arch:zen4", "arch:zen3", false)]
#[case::incomparable("arch:zen3", "arch:icelake", false)]
#[case::incomparable_too("arch:icelake", "arch:zen3", false)]
#[case::a_level("arch:x86_64_v3", "arch:zen3", true)]
#[case::no_avx512_for_zen3("arch:x86_64_v4", "arch:zen3", false)]
#[case::avx512_for_zen4("arch:x86_64_v4", "arch:zen4", true)]
#[case::arm_siblings("arch:neoverse_v1", "arch:neoverse_v2", false)]
#[case::arm_line("arch:neoverse_n1", "arch:grace", true)]
#[case::other_family("arch:aarch64", "arch:zen3", false)]
#[case::spelling("cpu:Skylake-AVX512", "arch:cascadeLake", true)]
#[case::no_cpu_known("arch:x86_64", "cuda:12.4", false)]
#[case::unknown_names_by_equality("arch:futurelake", "arch:FutureLake", true)]
#[case::unknown_names_only_by_equality("arch:x86_64", "arch:futurelake", false)]
#[case::cuda_later("cuda:12.4", "cuda:12.6", true)]
#[case::cuda_earlier("cuda:12.4", "cuda:12.2", false)]
#[case::cuda_by_driver("cuda:12.4", "driver:550.54.15", true)]
#[case::cuda_by_driver_minor("cuda:12.9", "driver:525.60", true)]
#[case::cuda_by_old_driver("cuda:12.0", "driver:470.57.02", false)]
#[case::cuda_by_driver_next_major("cuda:13.0", "driver:575.1", false)]
#[case::cuda_said_low_but_driver_runs_it("cuda:12.4", "cuda:11.8 driver:550", true)]
#[case::driver("driver:525", "driver:550.54", true)]
#[case::rocm("rocm:6.2", "rocm:6.10", true)]
#[case::glibc("glibc:2.34", "glibc:2.17", false)]
#[case::kernel("kernel:5.14", "kernel:5.14.0-427.el9.x86_64", true)]
#[case::libfabric("libfabric:1.20", "libfabric:1.9", false)]
#[case::cc_minor("cc:8.0", "cc:8.6", true)]
#[case::cc_major("cc:8.0", "cc:9.0", false)]
#[case::cc_ptx("cc:8.0+ptx", "cc:9.0", true)]
#[case::cc_fat("cc:7.0,8.0,9.0", "cc:8.6", true)]
#[case::cc_one_of_two_gpus("cc:9.0", "cc:7.0 cc:9.0", true)]
#[case::gfx_generic("gfx:gfx10-3-generic", "gfx:gfx1031", true)]
#[case::mpi_family("mpi:mpich", "mpi:cray-mpich", true)]
#[case::mpi_other("mpi:openmpi", "mpi:intelmpi", false)]
#[case::other_keys_by_equality("site:blue", "site:blue", true)]
#[case::other_keys_only_by_equality("site:blue", "site:green", false)]
#[case::all_of_them("arch:zen3 cuda:12.4", "arch:zen3", false)]
#[case::nothing_required("", "", true)]
fn an_image_fits_when_the_machine_runs_it(
    #[case] image: &str,
    #[case] machine: &str,
    #[case] fits: bool,
) {
    let (image, machine) = (features(image), provided(machine));
    let found = fit(&image, &machine);
    assert_eq!(found.fits(), fits, "{found}");
}

#[rstest]
#[case::nearest("arch:zen4", &["arch:x86_64_v2", "arch:zen2", "arch:zen3"], Some(2))]
#[case::no_zen4_build("arch:zen4", &["arch:x86_64_v4", "arch:zen3"], Some(1))]
#[case::no_zen4_build_in_any_order("arch:zen4", &["arch:zen3", "arch:x86_64_v4"], Some(0))]
#[case::no_avx512("arch:zen3", &["arch:x86_64_v4", "arch:x86_64_v3"], Some(1))]
#[case::nehalem_is_more_than_v2("arch:haswell", &["arch:x86_64_v2", "arch:nehalem"], Some(1))]
#[case::generic_last("arch:zen3", &["-", "arch:x86_64"], Some(1))]
#[case::generic_if_nothing_else("arch:zen3", &["arch:icelake", "-"], Some(1))]
#[case::nothing("arch:zen3", &["arch:icelake", "arch:neoverse_v1"], None)]
#[case::more_requirements("arch:zen3 cuda:12.4", &["arch:zen3", "arch:zen3 cuda:12.0"], Some(1))]
#[case::said_twice_counts_once("arch:zen3", &["arch:zen3", "arch:zen3 cpu:znver3"], Some(0))]
#[case::nearer_beats_more("arch:zen3 cuda:12.4", &["arch:zen2 cuda:12.0", "arch:zen3"], Some(1))]
#[case::first_of_equals("arch:zen3", &["arch:zen3", "arch:znver3"], Some(0))]
#[case::an_ancestor_said_as_well("arch:zen3 arch:x86_64_v3", &["arch:x86_64_v3", "arch:zen2"], Some(1))]
#[case::mission("arch:cascadeLake", &["arch:cascadeLake", "arch:zen3"], Some(0))]
fn the_most_specific_image_is_chosen(
    #[case] machine: &str,
    #[case] images: &[&str],
    #[case] winner: Option<usize>,
) {
    picking(images, &provided(machine), |choice| {
        let why = choice.explain(|at| images[at].to_owned());
        assert_eq!(choice.winner(), winner, "{why}");
    });
}

/// An entry may require several targets. The machine runs both, so the nearest one counts, and
/// of equally near ones the one that demands more: however they are written.
#[rstest]
#[case("arch:x86_64_v4 arch:zen3")]
#[case("arch:zen3 arch:x86_64_v4")]
fn an_entrys_targets_count_in_any_order(#[case] both: &str) {
    // Both are one step above zen4; zen3 descends from more.
    for images in [["arch:x86_64_v4", both], [both, "arch:x86_64_v4"]] {
        picking(&images, &provided("arch:zen4"), |choice| {
            let winner = choice.winner().and_then(|at| images.get(at));
            assert_eq!(winner, Some(&both), "{images:?}");
        });
    }
    let (v4, both) = (features("arch:x86_64_v4 site:a"), features(both));
    let entry = |requirements| Entry {
        requirements,
        weight: 0,
    };
    let machine = provided("arch:zen4 site:a");
    for entries in [[entry(&v4), entry(&both)], [entry(&both), entry(&v4)]] {
        let choice = choose(&entries, &machine);
        let winner = choice.winner().map(|at| entries[at].requirements);
        assert_eq!(winner, Some(both.as_slice()));
        assert_eq!(choice.decided_by(), Some(DecidedBy::MoreDemandingTarget));
    }
}

/// PTX is compiled by the driver, which minor-version compatibility does not cover.
#[rstest]
#[case::no_toolkit("cc:8.0+ptx", "cc:9.0", None)]
#[case::same("cc:8.0+ptx cuda:12.4", "cc:9.0 driver:550.54", None)]
#[case::older_driver("cc:8.0+ptx cuda:12.4", "cc:9.0 driver:535.54", Some(Mismatch::Proven))]
#[case::older_cuda(
    "cuda:12.4 cc:8.0+ptx",
    "cc:9.0 driver:535.54 cuda:12.2",
    Some(Mismatch::Proven)
)]
#[case::compat_package("cuda:12.4 cc:8.0+ptx", "cc:9.0 driver:535.54 cuda:12.4", None)]
#[case::machine_code("cc:9.0,8.0+ptx cuda:12.4", "cc:9.0 driver:535.54", None)]
#[case::machine_code_on_the_other_gpu("cc:8.0+ptx cuda:12.4", "cc:8.6 cc:9.0 driver:535.54", None)]
#[case::no_driver("cc:8.0+ptx cuda:12.4", "cc:9.0", Some(Mismatch::Unstated))]
#[case::latest_toolkit(
    "cuda:12.0 cuda:12.4 cc:8.0+ptx",
    "cc:9.0 driver:535.54",
    Some(Mismatch::Proven)
)]
fn ptx_counts_where_the_driver_is_of_the_toolkits_cuda_or_a_later_one(
    #[case] image: &str,
    #[case] machine: &str,
    #[case] mismatch: Option<Mismatch>,
) {
    let (image, machine) = (features(image), provided(machine));
    let found = fit(&image, &machine);
    assert_eq!(found.mismatch(), mismatch, "{found}");
}

#[rstest]
#[case::cpu("arch:zen4", "arch:zen3", Some(Mismatch::Proven))]
#[case::other_family("arch:aarch64", "arch:zen3", Some(Mismatch::Proven))]
#[case::no_cpu("arch:zen4", "cuda:12.4", Some(Mismatch::Unstated))]
#[case::unknown_cpu("arch:zenn4", "arch:zen4", Some(Mismatch::Unknown))]
#[case::unknown_cpu_by_the_same_name("arch:zenn4", "arch:zenn4", None)]
#[case::operator("cuda:>=12.4", "cuda:13.0", Some(Mismatch::Unknown))]
#[case::operator_and_nothing_stated("cuda:>=12.4", "arch:zen4", Some(Mismatch::Unknown))]
#[case::factor(
    "nvidia-require:cuda>=12,memory>=8",
    "driver:580",
    Some(Mismatch::Unknown)
)]
#[case::mpi("mpi:spectrum", "mpi:mpich", Some(Mismatch::Unknown))]
#[case::cuda_on_a_cpu_host("cuda:12.4", "arch:zen4", Some(Mismatch::Unstated))]
#[case::cuda_by_driver("cuda:13.0", "driver:550", Some(Mismatch::Proven))]
#[case::cuda_on_amd("cuda:12.4", "gpu:amd", Some(Mismatch::Proven))]
#[case::cuda_on_amd_by_processor("driver:550", "gfx:gfx90a", Some(Mismatch::Proven))]
#[case::cuda_with_rocm_installed("cuda:12.4", "rocm:6.2", Some(Mismatch::Unstated))]
#[case::cuda_on_both("cuda:12.4", "gpu:amd gpu:nvidia", Some(Mismatch::Unstated))]
#[case::cuda_on_any("cuda:12.4", "gpu:any", Some(Mismatch::Unstated))]
#[case::rocm_on_nvidia("rocm:6.2", "cc:9.0", Some(Mismatch::Proven))]
#[case::gfx_on_nvidia("gfx:gfx90a", "driver:550", Some(Mismatch::Proven))]
#[case::gpu("gpu:nvidia", "driver:550", None)]
#[case::gpu_by_software("gpu:cuda", "gpu:nvidia", None)]
#[case::gpu_of_amd("gpu:amd", "gfx:gfx942", None)]
#[case::any_gpu("gpu:any", "gpu:intel", None)]
#[case::any_gpu_by_capability("gpu:any", "cc:9.0", None)]
#[case::other_gpu("gpu:nvidia", "gpu:amd", Some(Mismatch::Proven))]
#[case::no_gpu("gpu:nvidia", "arch:zen4", Some(Mismatch::Unstated))]
#[case::text("site:blue", "site:green", Some(Mismatch::Proven))]
#[case::no_text("site:blue", "arch:zen4", Some(Mismatch::Unstated))]
#[case::the_most_certain_counts("cuda:12.4 arch:zen5", "arch:zen4", Some(Mismatch::Proven))]
#[case::fits("arch:zen3", "arch:zen4", None)]
fn a_requirement_that_is_not_met_is_proven_unknown_or_not_stated(
    #[case] image: &str,
    #[case] machine: &str,
    #[case] mismatch: Option<Mismatch>,
) {
    let (image, machine) = (features(image), provided(machine));
    let found = fit(&image, &machine);
    assert_eq!(found.mismatch(), mismatch, "{found}");
    assert_eq!(found.fits(), mismatch.is_none());
    assert_eq!(found.is_unstated(), mismatch == Some(Mismatch::Unstated));
    if mismatch == Some(Mismatch::Unknown) {
        assert!(found.to_string().contains("expected"), "{found}");
    }
}

#[test]
fn weight_decides_between_images_equally_specific_and_order_comes_last() {
    let (v4, zen3) = (features("arch:x86_64_v4"), features("arch:zen3"));
    let machine = provided("arch:zen4");
    let entries = [
        Entry {
            requirements: &zen3,
            weight: 0,
        },
        Entry {
            requirements: &v4,
            weight: 5,
        },
    ];
    let choice = choose(&entries, &machine);
    assert_eq!(
        (choice.winner(), choice.decided_by()),
        (Some(1), Some(DecidedBy::Weight))
    );

    let zen2 = features("arch:zen2");
    let entries = [
        Entry {
            requirements: &zen3,
            weight: 0,
        },
        Entry {
            requirements: &zen2,
            weight: 99,
        },
    ];
    let choice = choose(&entries, &machine);
    assert_eq!(
        (choice.winner(), choice.decided_by()),
        (Some(0), Some(DecidedBy::NearerTarget))
    );
}

#[test]
fn what_does_not_fit_is_never_chosen_whatever_its_weight() {
    let (v4, v2) = (features("arch:x86_64_v4"), features("arch:x86_64_v2"));
    let entries = [
        Entry {
            requirements: &v4,
            weight: i64::MAX,
        },
        Entry {
            requirements: &v2,
            weight: -1,
        },
    ];
    let machine = provided("arch:zen3");
    assert_eq!(choose(&entries, &machine).winner(), Some(1));
    let heavy = Options {
        minimum_weight: Some(0),
    };
    let choice = choose_with(&entries, &machine, heavy);
    assert_eq!(choice.winner(), None);
    assert!(choice.verdicts()[1].too_light);
}

#[test]
fn a_profile_falls_back_to_the_targets_it_lists_and_only_after_its_own_line() {
    let graph = Microarchitectures::builtin();
    let v1 = graph.find("neoverse_v1").unwrap();
    let machine = provided("arch:grace").with_fallbacks([v1]);
    assert_eq!(pick(&["-", "arch:neoverse_v1"], &machine), Some(1));
    assert_eq!(
        pick(&["arch:neoverse_v1", "arch:neoverse_n1"], &machine),
        Some(1)
    );
    assert_eq!(pick(&["arch:zen3"], &machine), None);
}

#[test]
fn a_site_lets_grace_run_neoverse_v1_by_a_fallback_edge() {
    let site: Extension = serde_json::from_value(serde_json::json!({
        "fallbacks": {"aarch64/nvidia/grace": ["neoverse_v1"]},
        "targets": {"blue-box": {"from": ["neoverse_v2"], "vendor": "Blue"}},
        "aliases": {"partition_a": "blue-box"},
    }))
    .unwrap();
    let graph = Arc::new(Microarchitectures::builtin().extend(&site).unwrap());
    let machine = |text| Provided::in_graph(Arc::clone(&graph), features(text));
    let images = &["arch:neoverse_n1", "arch:neoverse_v1"];
    for name in ["arch:grace", "arch:blue-box", "arch:partition_a"] {
        picking(images, &machine(name), |choice| {
            assert_eq!(choice.winner(), Some(1), "{name}");
            let check = &choice.verdicts()[1].fit.checks()[0];
            let by_site = matches!(
                check.outcome,
                Outcome::Met {
                    how: How::SiteFallback { .. },
                    ..
                }
            );
            assert!(by_site, "{check}");
        });
    }
    assert_eq!(pick(images, &machine("arch:blue_box")), Some(1));
    assert_eq!(pick(&["arch:blue-box"], &machine("arch:grace")), None);
    assert_eq!(
        pick(&["arch:BlueBox"], &machine("arch:partition-a")),
        Some(0)
    );
    assert_eq!(pick(images, &provided("arch:grace")), Some(0));
}

#[rstest]
#[case::no_features_first(&["arch:x86_64_v2", "-"], 1)]
#[case::most_ancestral(&["arch:zen3", "arch:x86_64_v3", "arch:x86_64_v4"], 1)]
#[case::fewest(&["arch:x86_64_v2 cuda:12.0", "arch:x86_64_v3"], 1)]
#[case::the_root_demands_nothing(&["arch:x86_64_v2", "arch:x86_64 mpi:mpich", "arch:amd64"], 2)]
#[case::unknown_targets_last(&["arch:futurelake", "arch:zen5"], 1)]
#[case::first_of_equals(&["arch:zen3", "arch:zen3"], 0)]
fn without_a_profile_the_image_that_requires_least_is_served(
    #[case] images: &[&str],
    #[case] expected: usize,
) {
    let images: Vec<Vec<Feature>> = images
        .iter()
        .map(|image| features(image.trim_matches('-')))
        .collect();
    let entries: Vec<Entry<'_>> = images
        .iter()
        .map(|requirements| Entry {
            requirements,
            weight: 0,
        })
        .collect();
    assert_eq!(
        least_required(&entries, &Microarchitectures::builtin()),
        Some(expected)
    );
    let none: &[Entry<'_>] = &[];
    assert_eq!(least_required(none, &Microarchitectures::builtin()), None);
}

#[test]
fn a_choice_explains_every_entry_to_people() {
    let images = [
        "arch:zen3",
        "arch:x86_64_v4 cuda:12.4",
        "arch:x86_64_v3",
        "arch:icelake",
        "-",
    ];
    let machine = provided("arch:zen4 driver:470.1");
    let text = picking(&images, &machine, |choice| {
        choice.explain(|at| format!("image{at}"))
    });
    assert_eq!(
        text,
        "\
1. image0: fits: arch:zen3 is met by arch:zen4: it descends from it in 1 step
- image1: does not fit: cuda:12.4 is not met by driver:470.1
2. image2: fits: arch:x86_64_v3 is met by arch:zen4: it descends from it in 4 steps
- image3: does not fit: arch:icelake is not met by arch:zen4
3. image4: fits: requires nothing
chosen: image0 over image2: its CPU target is nearer
"
    );
}

#[test]
fn a_choice_explains_every_entry_to_programs() {
    let images = ["arch:zen3", "arch:zen3 mpi:mpich"];
    let json = picking(&images, &provided("arch:zen4"), |choice| {
        serde_json::to_value(choice).unwrap()
    });
    assert_eq!(
        json,
        serde_json::json!({
            "winner": 0,
            "runner_up": null,
            "decided_by": "only-one-fits",
            "verdicts": [
                {
                    "fits": true, "rank": 1, "weight": 0, "too_light": false,
                    "nearness": {"kind": "line", "steps": 1},
                    "checks": [{
                        "requirement": "arch:zen3", "outcome": "met", "by": "arch:zen4",
                        "how": {"rule": "descends", "steps": 1},
                    }],
                },
                {
                    "fits": false, "rank": null, "weight": 0, "too_light": false,
                    "nearness": {"kind": "line", "steps": 1},
                    "checks": [
                        {
                            "requirement": "arch:zen3", "outcome": "met", "by": "arch:zen4",
                            "how": {"rule": "descends", "steps": 1},
                        },
                        {
                            "requirement": "mpi:mpich", "outcome": "unmet", "provided": [],
                            "mismatch": "unstated",
                        },
                    ],
                },
            ],
        })
    );
}
