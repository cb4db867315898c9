//! Libraries by their names that matter for where an image runs: C library, MPI, libfabric, CUDA
//! and ROCm.

use std::collections::BTreeSet;

use serde::Serialize;

use crate::answer::FileFacts;

/// Libraries of an image by their sonames: those that it holds and those that it asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Libraries {
    /// `glibc`, `musl`, or both; empty for images of static programs.
    pub c_library: BTreeSet<&'static str>,
    /// The highest version of glibc's symbols that a program asks for, such as `2.34`.
    pub glibc: Option<String>,
    /// MPI libraries.
    pub mpi: BTreeSet<String>,
    /// libfabric and UCX.
    pub libfabric: BTreeSet<String>,
    /// CUDA's libraries; `libcuda.so` is the driver's.
    pub cuda: BTreeSet<String>,
    /// ROCm's libraries.
    pub rocm: BTreeSet<String>,
    /// Programs that load others: dynamic linkers, by their paths.
    pub interpreters: BTreeSet<String>,
    /// Versions of Go that built programs.
    pub go: BTreeSet<String>,
}

const MPI: &[&str] = &[
    "libmpi.so",
    "libmpich",
    "libmpicxx.so",
    "libmpi_cxx.so",
    "libmpifort.so",
    "libmpi_mpifh.so",
    "libmpi_usempi",
    "libmpi_cray",
    "libmpi_abi",
    "libmvapich",
];
const FABRIC: &[&str] = &[
    "libfabric.so",
    "libucp.so",
    "libuct.so",
    "libpsm2.so",
    "libibverbs.so",
];
const CUDA: &[&str] = &[
    "libcuda.so",
    "libcudart.so",
    "libcublas",
    "libcudnn",
    "libcufft",
    "libcusparse",
    "libcusolver",
    "libcurand",
    "libnccl.so",
    "libnvrtc.so",
    "libnvidia-ml.so",
    "libnvjpeg",
    "libcupti.so",
    "libnvToolsExt.so",
];
const ROCM: &[&str] = &[
    "libamdhip64.so",
    "libhsa-runtime64.so",
    "librocblas.so",
    "libMIOpen.so",
    "librocfft.so",
    "librccl.so",
    "librocm",
    "librocrand.so",
    "librocsparse.so",
    "librocsolver.so",
    "libhipblas",
    "libhiprtc.so",
    "libamd_comgr.so",
];

impl Libraries {
    pub(crate) fn add(&mut self, path: &str, file: &FileFacts) {
        let name = path.rsplit('/').next().unwrap_or(path);
        let own = file
            .soname
            .as_deref()
            .or(name.starts_with("lib").then_some(name));
        for soname in own
            .into_iter()
            .chain(file.needed.iter().map(String::as_str))
        {
            let is = |names: &[&str]| names.iter().any(|name| soname.starts_with(name));
            let group = match () {
                () if is(MPI) => &mut self.mpi,
                () if is(FABRIC) => &mut self.libfabric,
                () if is(CUDA) => &mut self.cuda,
                () if is(ROCM) => &mut self.rocm,
                () => continue,
            };
            group.insert(soname.to_owned());
        }
        self.interpreters.extend(file.interpreter.clone());
        self.go
            .extend(file.go.clone().filter(|version| !version.is_empty()));
        if numbers(file.glibc.as_deref()) > numbers(self.glibc.as_deref()) {
            self.glibc.clone_from(&file.glibc);
        }
    }
}

/// The parts of a version.
fn numbers(text: Option<&str>) -> Option<Vec<u32>> {
    text?.split('.').map(|part| part.parse().ok()).collect()
}

/// Which C libraries programs ask for.
pub(crate) fn c_library<'f>(
    programs: impl Iterator<Item = (&'f str, &'f FileFacts)>,
) -> BTreeSet<&'static str> {
    let mut found = BTreeSet::new();
    for (_, file) in programs {
        let interpreter = file.interpreter.as_deref().unwrap_or_default();
        if file.glibc.is_some() || interpreter.contains("ld-linux") {
            found.insert("glibc");
        }
        if interpreter.contains("ld-musl") {
            found.insert("musl");
        }
    }
    found
}
