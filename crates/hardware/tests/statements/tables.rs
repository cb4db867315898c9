//! What hardware there is, by hand.

/// Numbers of a version.
pub(crate) type V = (u32, u32, u32);

/// CPU target, the targets whose programs it runs, and its flags by Node Feature Discovery's
/// names, of those that are asked for.
pub(crate) const CPUS: &[(&str, &[&str], &[&str])] = &[
    ("x86_64", &["x86_64"], &[]),
    (
        "x86_64_v3",
        &["x86_64_v3", "x86_64_v2", "x86_64"],
        &["AVX2"],
    ),
    (
        "haswell",
        &["haswell", "nehalem", "x86_64_v3", "x86_64_v2", "x86_64"],
        &["AVX2"],
    ),
    (
        "zen3",
        &["zen3", "zen2", "zen", "x86_64_v3", "x86_64_v2", "x86_64"],
        &["AVX2"],
    ),
    (
        "zen4",
        &[
            "zen4",
            "zen3",
            "zen2",
            "zen",
            "x86_64_v4",
            "x86_64_v3",
            "x86_64_v2",
            "x86_64",
        ],
        &["AVX2", "AVX512F"],
    ),
    (
        "icelake",
        &[
            "icelake",
            "cascadelake",
            "skylake_avx512",
            "haswell",
            "nehalem",
            "x86_64_v4",
            "x86_64_v3",
            "x86_64_v2",
            "x86_64",
        ],
        &["AVX2", "AVX512F"],
    ),
    ("neoverse_n1", &["neoverse_n1", "armv8.2a", "aarch64"], &[]),
    (
        "neoverse_v1",
        &[
            "neoverse_v1",
            "neoverse_n1",
            "armv8.4a",
            "armv8.2a",
            "aarch64",
        ],
        &["SVE"],
    ),
    (
        "neoverse_v2",
        &[
            "neoverse_v2",
            "neoverse_n1",
            "armv8.4a",
            "armv8.2a",
            "aarch64",
        ],
        &["SVE"],
    ),
];

/// Driver: as written, its numbers, the CUDA that it runs at most, and the one it came with.
pub(crate) const DRIVERS: &[(&str, V, V, V)] = &[
    ("418.87", (418, 87, 0), (10, 1, 0), (10, 1, 0)),
    ("450.51.06", (450, 51, 6), (11, 0, 0), (11, 0, 0)),
    ("450.80.02", (450, 80, 2), (11, 999, 0), (11, 0, 0)),
    ("470.57.02", (470, 57, 2), (11, 999, 0), (11, 4, 0)),
    ("525.60.13", (525, 60, 13), (12, 999, 0), (12, 0, 0)),
    ("535.161.08", (535, 161, 8), (12, 999, 0), (12, 2, 0)),
    ("550.54", (550, 54, 0), (12, 999, 0), (12, 4, 0)),
    ("580.65.06", (580, 65, 6), (13, 999, 0), (13, 0, 0)),
];

pub(crate) const CUDAS: &[V] = &[
    (10, 1, 0),
    (11, 0, 0),
    (11, 8, 0),
    (12, 1, 0),
    (12, 4, 0),
    (13, 0, 0),
];
pub(crate) const GPUS: &[(u32, u32)] = &[(7, 0), (8, 0), (8, 6), (9, 0), (10, 0)];
pub(crate) const GFX: &[&str] = &["gfx90a", "gfx942", "gfx1030"];
/// MPI, and its interface.
pub(crate) const MPIS: &[(&str, u8)] = &[
    ("mpich", 1),
    ("cray-mpich", 1),
    ("intelmpi", 1),
    ("openmpi", 2),
];
pub(crate) const BRANDS: &[&str] = &["tesla", "geforce"];
pub(crate) const KERNELS: &[(u32, u32)] = &[(4, 18), (5, 14), (6, 8)];
pub(crate) const OPERATORS: &[&str] = &["=", "!=", "<", "<=", ">", ">="];
