//! Nodes described by trees of files.

use super::*;

pub(crate) fn tree(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let place = folder.path().join(path);
        fs::create_dir_all(place.parent().unwrap()).unwrap();
        fs::write(place, text).unwrap();
    }
    folder
}

pub(crate) fn features(root: &Path, options: &DetectOptions) -> Vec<String> {
    let node = detect(&Root::new(root), &Microarchitectures::builtin(), options);
    node.features().map(ToString::to_string).collect()
}

#[test]
fn an_empty_tree_provides_nothing() {
    let root = tree(&[]);
    let found = detect(
        &Root::new(root.path()),
        &Microarchitectures::builtin(),
        &DetectOptions::default(),
    );
    assert_eq!(found, Node::default());
    assert_eq!(
        features(&root.path().join("missing"), &DetectOptions::default()),
        [""; 0]
    );
}

#[test]
fn a_gpu_node_is_described_by_its_files() {
    let root = tree(&[
        ("proc/cpuinfo", &x86("zen4", (25, 17, 1), &[])),
        ("proc/sys/kernel/arch", "x86_64\n"),
        ("proc/sys/kernel/osrelease", "5.14.0-427.el9.x86_64\n"),
        (
            "proc/driver/nvidia/version",
            "NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.15  Tue Mar  5 2024\n",
        ),
        (
            "proc/driver/nvidia/gpus/0000:01:00.0/information",
            "Model: \t NVIDIA H100 80GB HBM3\n",
        ),
        (
            "proc/driver/nvidia/gpus/0000:02:00.0/information",
            "Model: \t NVIDIA H100 80GB HBM3\n",
        ),
        (
            "sys/class/infiniband/mlx5_0/ports/1/link_layer",
            "InfiniBand\n",
        ),
        (
            "sys/class/infiniband/mlx5_1/ports/1/link_layer",
            "Ethernet\n",
        ),
        ("sys/devices/system/cpu/smt/active", "1\n"),
        (
            "lib/x86_64-linux-gnu/libc.so.6",
            "\0GNU C Library stable release version 2.34.\n\0",
        ),
        (
            "usr/lib64/pkgconfig/libfabric.pc",
            "Name: libfabric\nVersion: 1.20.1\n",
        ),
        ("opt/cray/pe/mpich/8.1.28/readme", ""),
        ("sys/class/dmi/id/sys_vendor", "Amazon EC2\n"),
        ("sys/class/dmi/id/product_name", "p5.48xlarge\n"),
    ]);
    let mut expected = vec![
        "arch:zen4",
        "gpu:nvidia",
        "driver:550.54.15",
        "cc:9.0",
        "fabric:infiniband",
        "fabric:roce",
        "libfabric:1.20.1",
        "mpi:cray-mpich-8.1.28",
        "glibc:2.34",
        "kernel:5.14.0-427.el9.x86_64",
        "smt:on",
    ];
    assert_eq!(features(root.path(), &DetectOptions::default()), expected);
    expected.push("instance:p5.48xlarge");
    let asked = DetectOptions {
        cloud: true,
        ..DetectOptions::default()
    };
    assert_eq!(features(root.path(), &asked), expected);
}

#[test]
fn an_amd_node_is_described_by_its_files() {
    let root = tree(&[
        (
            "sys/class/kfd/kfd/topology/nodes/0/properties",
            "cpu_cores_count 64\ngfx_target_version 0\n",
        ),
        (
            "sys/class/kfd/kfd/topology/nodes/1/properties",
            "simd_count 440\ngfx_target_version 90010\n",
        ),
        ("opt/rocm/.info/version", "6.2.0-66\n"),
        ("sys/class/cxi/cxi0/device/x", ""),
        ("sys/class/drm/card0/device/vendor", "0x8086\n"),
        ("sys/class/drm/card0/device/device", "0x0bd5\n"),
    ]);
    assert_eq!(
        features(root.path(), &DetectOptions::default()),
        [
            "gpu:amd",
            "gfx:gfx90a",
            "rocm:6.2.0-66",
            "gpu:intel",
            "fabric:slingshot"
        ]
    );
}

#[test]
fn a_cluster_node_is_described_by_its_files() {
    let root = tree(&[
        ("sys/class/infiniband/rdmap0s6/device/vendor", "0x1d0f\n"),
        (
            "sys/class/infiniband/hfi1_0/ports/1/link_layer",
            "InfiniBand\n",
        ),
        ("sys/devices/system/cpu/smt/active", "0\n"),
        (
            "usr/lib64/openmpi/lib/pkgconfig/ompi.pc",
            "Name: Open MPI\nDescription: Portable MPI\nVersion: 4.1.5\nURL: http://x/\n",
        ),
        (
            "usr/lib64/mpich/lib/pkgconfig/mpich.pc",
            "Name: mpich\nVersion: 4.1.2\n",
        ),
        (
            "usr/lib64/pkgconfig/pmix.pc",
            "Name: pmix\nVersion: 4.2.9\n",
        ),
        ("usr/lib64/slurm/mpi_pmix_v5.so", ""),
        ("usr/lib64/slurm/mpi_pmi2.so", ""),
        ("usr/lib64/slurm/mpi_none.so", ""),
        ("opt/cray/libfabric/1.20.1/readme", ""),
    ]);
    assert_eq!(
        features(root.path(), &DetectOptions::default()),
        [
            "fabric:omnipath",
            "fabric:efa",
            "pmix:4.2.9",
            "mpi:openmpi-4.1.5",
            "mpi:mpich-4.1.2",
            "libfabric:1.20.1",
            "pmi:pmi2",
            "pmix:5",
            "smt:off",
        ]
    );
}

#[rstest]
#[case::arm(
    "aarch64",
    "processor\t: 0\nBogoMIPS\t: 2100.00\nFeatures\t: fp asimd evtstrm aes pmull sha1 sha2 \
     crc32 atomics fphp asimdhp cpuid asimdrdm jscvt fcma lrcpc dcpop sha3 sm3 sm4 asimddp sha512 \
     sve asimdfhm dit uscat ilrcpc flagm ssbs dcpodp svei8mm svebf16 i8mm bf16 dgh rng\n\
     CPU implementer\t: 0x41\nCPU architecture: 8\nCPU variant\t: 0x1\nCPU part\t: 0xd40\n\
     CPU revision\t: 1\n\n",
    "neoverse_v1"
)]
#[case::arm_with_flags_hidden(
    "aarch64",
    "Features\t: fp asimd aes pmull sha1 sha2 crc32 atomics fphp asimdhp asimdrdm jscvt fcma \
     lrcpc sha3 sm3 sm4 asimddp sha512 sve asimdfhm uscat ilrcpc flagm svei8mm svebf16 i8mm bf16\n\
     CPU implementer\t: 0x41\nCPU architecture: 8\nCPU part\t: 0xd40\n\n",
    "neoverse_v1"
)]
#[case::power(
    "ppc64le",
    "processor\t: 0\ncpu\t\t: POWER9, altivec supported\nclock\t\t: 3800.0MHz\n\n\
     timebase\t: 512000000\nplatform\t: PowerNV\n",
    "power9le"
)]
#[case::risc_v(
    "riscv64",
    "processor\t: 0\nhart\t\t: 1\nisa\t\t: rv64imafdc\nmmu\t\t: sv39\nuarch\t\t: \
     sifive,u74-mc\n\n",
    "u74mc"
)]
#[case::risc_v_with_vectors(
    "riscv64",
    "isa\t: rv64imafdcv_zicbom_zba_zbb\nuarch\t: spacemit,x60\n\n",
    "x60"
)]
#[case::risc_v_general("riscv64", "isa\t: rv64gcv\nmodel name\t: Spacemit(R) X60\n\n", "x60")]
#[case::risc_v_without_vectors(
    "riscv64",
    "isa\t: rv64imafdc_zicbom_zve32x_zvfh\nmodel name\t: Spacemit(R) X60\n\n",
    "riscv64"
)]
#[case::risc_v_of_one_hart_without(
    "riscv64",
    "isa : rv64gcv\nuarch : spacemit,x60\n\nisa : rv64gc\nuarch : spacemit,x60\n\n",
    "riscv64"
)]
#[case::risc_v_that_states_nothing("riscv64", "uarch\t: spacemit,x60\n\n", "riscv64")]
#[case::cobalt_100(
    "aarch64",
    "Features\t: fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm \
     jscvt fcma lrcpc dcpop sha3 sm3 sm4 asimddp sha512 sve asimdfhm dit uscat ilrcpc flagm ssbs \
     sb dcpodp sve2 sveaes svepmull svebitperm svesha3 svesm4 flagm2 frint svei8mm svebf16 i8mm \
     bf16\nCPU implementer\t: 0x6d\nCPU architecture: 8\nCPU part\t: 0xd49\n\n",
    "neoverse_n2"
)]
#[case::cobalt_100_without_vectors(
    "aarch64",
    "Features\t: fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm \
     lrcpc dcpop asimddp\nCPU implementer\t: 0x6d\nCPU architecture: 8\nCPU part\t: 0xd49\n\n",
    "neoverse_n1"
)]
#[case::what_runs_32_bits("armv7l", "CPU architecture: 7\n", "arm")]
fn a_machine_of_each_family_is_known_by_its_files(
    #[case] machine: &str,
    #[case] cpuinfo: &str,
    #[case] target: &str,
) {
    let kernel = if machine == "armv7l" { "arm" } else { machine };
    let root = tree(&[("proc/cpuinfo", cpuinfo), ("proc/sys/kernel/arch", kernel)]);
    let found = features(root.path(), &DetectOptions::default());
    assert_eq!(found, [format!("arch:{target}")]);
}

#[test]
fn a_driver_without_a_gpu_states_nothing() {
    let tools = ToolOutputs {
        nvml: Some(NvmlAnswers {
            driver: Some("550.54.15".to_owned()),
            cuda: Some("12.4".to_owned()),
            ..NvmlAnswers::default()
        }),
        nvidia_smi: Some("No devices were found\n".to_owned()),
        ..ToolOutputs::default()
    };
    let asked = DetectOptions {
        tools,
        ..DetectOptions::default()
    };
    assert_eq!(features(tree(&[]).path(), &asked), [""; 0]);
}

#[test]
fn tools_are_read_from_what_they_print() {
    let tools = ToolOutputs {
        nvml: None,
        nvidia_smi: Some("535.161.08, 8.0\n535.161.08, 7.0\n[N/A], [N/A]\n".to_owned()),
        fi_info: Some("fi_info: 1.15.2\nlibfabric: 1.15.2\nlibfabric api: 1.15\n".to_owned()),
        mpichversion: Some("MPICH Version:    \t4.1.2\nMPICH Release date: x\n".to_owned()),
        ompi_info: Some("Open MPI v4.1.5\n\nhttps://www.open-mpi.org/\n".to_owned()),
        srun_mpi_list: Some(
            "MPI plugin types are...\n\tnone\n\tpmi2\n\tpmix\nspecific pmix plugin versions \
             available: pmix_v4,pmix_v5\n"
                .to_owned(),
        ),
        ldd: Some("ldd (Ubuntu GLIBC 2.35-0ubuntu3.8) 2.35\nCopyright\n".to_owned()),
    };
    let root = tree(&[]);
    assert_eq!(
        features(
            root.path(),
            &DetectOptions {
                tools,
                ..DetectOptions::default()
            }
        ),
        [
            "gpu:nvidia",
            "driver:535.161.08",
            "cc:8.0",
            "cc:7.0",
            "libfabric:1.15.2",
            "mpi:mpich-4.1.2",
            "mpi:openmpi-4.1.5",
            "pmi:pmi2",
            "pmi:pmix",
            "pmix:4",
            "pmix:5",
            "glibc:2.35",
        ]
    );
}

#[test]
fn a_given_cpuinfo_takes_the_place_of_the_nodes_own() {
    let options = DetectOptions {
        cpuinfo: Some("cpu : POWER9 (raw), altivec supported\n".to_owned()),
        ..DetectOptions::default()
    };
    // The text does not tell the byte order.
    assert_eq!(features(Path::new("/nonexistent"), &options), [""; 0]);
    for (machine, target) in [("ppc64", "arch:power9"), ("ppc64le", "arch:power9le")] {
        let told = DetectOptions {
            machine: Some(machine.to_owned()),
            ..options.clone()
        };
        assert_eq!(features(Path::new("/nonexistent"), &told), [target]);
    }
}

/// The beginning of a program for 64-bit Power.
const ELF_LITTLE: &str = "\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x03\0\x15\0";
const ELF_BIG: &str = "\x7fELF\x02\x02\x01\0\0\0\0\0\0\0\0\0\0\x03\0\x15";
const ELF_X86: &str = "\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x03\0\x3e\0";

#[rstest]
#[case::nothing(&[], None)]
#[case::release_big(&[("proc/sys/kernel/osrelease", "4.18.0-80.el7.ppc64")], Some("power9"))]
#[case::release_little(&[("proc/sys/kernel/osrelease", "5.14.0-427.el9.ppc64le")], Some("power9le"))]
#[case::debian_big(&[("proc/sys/kernel/osrelease", "6.1.0-18-powerpc64")], Some("power9"))]
#[case::program_big(&[("bin/sh", ELF_BIG)], Some("power9"))]
#[case::program_little(&[("usr/bin/sh", ELF_LITTLE)], Some("power9le"))]
#[case::program_of_another(&[("bin/sh", ELF_X86)], None)]
#[case::script(&[("bin/sh", "#!/bin/busybox")], None)]
#[case::kernel(&[("bin/sh", ELF_LITTLE), ("proc/sys/kernel/arch", "ppc64")], Some("power9"))]
fn the_byte_order_of_power_is_told_by_the_system_and_never_assumed(
    #[case] files: &[(&str, &str)],
    #[case] target: Option<&str>,
) {
    let mut all = vec![("proc/cpuinfo", "cpu\t\t: POWER9, altivec supported\n")];
    all.extend(files);
    let root = tree(&all);
    let found = features(root.path(), &DetectOptions::default());
    let arch = found
        .iter()
        .find_map(|feature| feature.strip_prefix("arch:"));
    assert_eq!(arch, target);
}

#[test]
fn a_32_bit_kernel_on_a_64_bit_processor_is_a_32_bit_machine() {
    let root = tree(&[
        ("proc/cpuinfo", &x86("haswell", (6, 63, 2), &[])),
        ("proc/sys/kernel/osrelease", "6.1.0-18-686-pae"),
    ]);
    let found = features(root.path(), &DetectOptions::default());
    assert!(found.contains(&"arch:i686".to_owned()), "{found:?}");
}

#[rstest]
#[case("rv64imac")]
#[case("rv64imafd")]
fn a_core_without_what_every_program_is_compiled_for_is_no_target(#[case] isa: &str) {
    let root = tree(&[
        (
            "proc/cpuinfo",
            &format!("isa : {isa}\nuarch : sifive,u74-mc\n"),
        ),
        ("proc/sys/kernel/arch", "riscv64"),
    ]);
    assert_eq!(features(root.path(), &DetectOptions::default()), [""; 0]);
}

#[test]
fn the_machine_that_runs_this_test_is_detected() {
    let graph = Microarchitectures::builtin();
    let node = detect(&Root::new("/"), &graph, &DetectOptions::default());
    let cpu = node.cpu.unwrap();
    let family = graph.family(&cpu.target);
    assert_eq!(family, graph.find(std::env::consts::ARCH).unwrap());
}
