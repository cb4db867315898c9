//! What the processor itself says, and properties of any text.

use super::files::*;
use super::*;

/// A processor of AMD's with such an extended family and model, and nothing of leaf 7.
fn without_avx2(signature: u32) -> impl Fn(u32, u32) -> Registers {
    move |leaf, _| match leaf {
        0 => Registers {
            eax: 7,
            ebx: 0x6874_7541,
            edx: 0x6974_6e65,
            ecx: 0x444d_4163,
        },
        1 => Registers {
            eax: signature,
            ecx: u32::MAX,
            edx: u32::MAX,
            ..Registers::default()
        },
        0x8000_0000 => Registers {
            eax: 0x8000_0001,
            ..Registers::default()
        },
        0x8000_0001 => Registers {
            ecx: u32::MAX,
            edx: u32::MAX,
            ..Registers::default()
        },
        _ => Registers::default(),
    }
}

#[test]
fn cpuid_denies_flags_that_the_kernels_file_shows() {
    let facts = read_cpuid(without_avx2(0x00b0_0f21));
    assert_eq!(
        (facts.vendor.as_str(), facts.family, facts.model),
        ("AuthenticAMD", 26, 2)
    );
    let text = Cpuinfo::parse(&x86("zen5", ZEN5, &[]));
    let graph = Microarchitectures::builtin();
    let found = cpu(&text.confirmed_by(&facts), "x86_64", &graph).unwrap();
    assert_eq!(found.target.as_str(), "x86_64_v2", "{found}");
}

#[test]
fn a_text_about_another_processor_is_of_no_use() {
    // Under an emulator that shows the host's file.
    let facts = read_cpuid(without_avx2(0x00a0_0f11));
    assert_eq!((facts.family, facts.model), (0x19, 1));
    let graph = Microarchitectures::builtin();
    for host in [
        x86("zen5", ZEN5, &[]),
        x86("icelake", (6, 106, 6), &[]),
        String::new(),
    ] {
        let text = Cpuinfo::parse(&host).confirmed_by(&facts);
        assert_eq!(text.first("model"), Some("1"));
        let found = cpu(&text, "x86_64", &graph).unwrap();
        // All of AMD's flags are set, and AVX without AVX2.
        assert_eq!(found.target.as_str(), "bulldozer", "{found}");
    }
}

/// Every file that detection reads, and folders of which it reads all.
const FILES: &[&str] = &[
    "proc/cpuinfo",
    "proc/sys/kernel/arch",
    "proc/sys/kernel/osrelease",
    "proc/driver/nvidia/version",
    "proc/driver/nvidia/gpus/0/information",
    "sys/class/kfd/kfd/topology/nodes/1/properties",
    "opt/rocm/.info/version",
    "sys/class/drm/card0/device/vendor",
    "sys/class/infiniband/x/ports/1/link_layer",
    "sys/devices/system/cpu/smt/active",
    "lib/x86_64-linux-gnu/libc.so.6",
    "usr/lib64/pkgconfig/libfabric.pc",
    "usr/lib64/slurm/mpi_pmix_v4.so",
    "sys/class/dmi/id/sys_vendor",
    "sys/class/dmi/id/product_name",
];
const EXPECTED: &str = "NVRM version: 550.1\ngfx_target_version 4294967295\nVersion: 1\n\
                        Model: NVIDIA \nflags : lm\nvendor_id : GenuineIntel\nrelease version 2.";

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text_is_read_without_failing(text in "\\PC{0,200}", machine in "[a-z0-9_]{0,8}") {
        let graph = Microarchitectures::builtin();
        let info = Cpuinfo::parse(&text);
        let _ = info.machine();
        for machine in [machine.as_str(), "x86_64", "aarch64", "ppc64le", "riscv64"] {
            let _ = cpu(&info, machine, &graph);
        }
        let tools = ToolOutputs {
            nvml: Some(NvmlAnswers {
                driver: Some(text.clone()),
                cuda: Some(text.clone()),
                capabilities: vec![text.clone()],
                brands: vec![text.clone()],
            }),
            nvidia_smi: Some(text.clone()),
            fi_info: Some(text.clone()),
            mpichversion: Some(text.clone()),
            ompi_info: Some(text.clone()),
            srun_mpi_list: Some(text.clone()),
            ldd: Some(text),
        };
        let _ = detect(
            &Root::new("/nonexistent"),
            &graph,
            &DetectOptions { tools, ..DetectOptions::default() },
        );
    }

    #[test]
    fn what_is_named_is_there_flag_by_flag_or_forgiven_by_name(
        target in prop::sample::select(vec!["zen2", "zen3", "zen4", "zen5", "zen6", "icelake",
            "sapphirerapids", "cascadelake", "haswell", "skylake", "arrowlake_s"]),
        numbers in prop::sample::select(vec![(23, 49, 0), (25, 1, 1), (25, 17, 1), (26, 2, 1),
            (26, 81, 0), (6, 106, 6), (6, 143, 8), (6, 85, 7), (6, 63, 2), (6, 94, 3), (6, 198, 2)]),
        hide in proptest::collection::vec(any::<prop::sample::Index>(), 0..8),
    ) {
        let graph = Microarchitectures::builtin();
        let known = graph.get(&graph.find(target).unwrap()).unwrap();
        let all: Vec<&str> = known.features().iter().map(String::as_str).collect();
        let hidden: Vec<&str> = hide.iter().map(|index| *index.get(&all)).collect();
        let found = found(&x86(target, numbers, &hidden));
        let shown = |flag: &str| {
            let implied = flag == "sse3" && all.contains(&"ssse3") && !hidden.contains(&"ssse3");
            implied || (all.contains(&flag) && !hidden.contains(&flag))
        };
        for flag in graph.get(&found.target).unwrap().features() {
            let forgiven = found.masked.iter().any(|masked| masked.flag == *flag);
            prop_assert!(shown(flag) || forgiven, "{} lacks {}", found, flag);
        }
    }
}

proptest! {
    // Each case writes a tree.
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(32) })]

    #[test]
    fn any_tree_is_read_without_failing(
        contents in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..120), FILES.len()),
        versions in prop::collection::vec("[0-9a-z.]{1,8}", 2),
    ) {
        let folder = tempfile::tempdir().unwrap();
        for (path, content) in FILES.iter().zip(&contents) {
            let place = folder.path().join(path);
            fs::create_dir_all(place.parent().unwrap()).unwrap();
            // What is expected there, and then anything.
            let mut bytes = EXPECTED.as_bytes().to_vec();
            bytes.truncate(content.len() * 2);
            bytes.extend(content);
            fs::write(place, bytes).unwrap();
        }
        for version in versions {
            let _ = fs::create_dir_all(folder.path().join("opt/cray/pe/mpich").join(version));
        }
        let options = DetectOptions { cloud: true, ..DetectOptions::default() };
        let _ = features(folder.path(), &options);
    }
}
