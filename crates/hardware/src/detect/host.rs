//! The rest of a node by its files: kernel, C library, SMT, fabrics, libfabric and MPI
//! as installed, and on request the cloud's instance type as the firmware states it.

use super::facts::Facts;
use super::root::Root;

/// Folders where distributions keep shared libraries.
const LIBRARIES: &[&str] = &[
    "/lib/x86_64-linux-gnu",
    "/lib/aarch64-linux-gnu",
    "/lib/powerpc64le-linux-gnu",
    "/lib/riscv64-linux-gnu",
    "/usr/lib/x86_64-linux-gnu",
    "/usr/lib/aarch64-linux-gnu",
    "/usr/lib/powerpc64le-linux-gnu",
    "/usr/lib/riscv64-linux-gnu",
    "/lib64",
    "/usr/lib64",
    "/lib",
    "/usr/lib",
];

/// Further folders for what vendors install.
const VENDORS: &[&str] = &[
    "/usr/local/lib",
    "/usr/local/lib64",
    "/opt/amazon/efa/lib64",
    "/opt/amazon/efa/lib",
    "/opt/amazon/openmpi/lib64",
    "/opt/amazon/openmpi/lib",
    "/usr/lib64/openmpi/lib",
    "/usr/lib64/mpich/lib",
];

/// Folders where Slurm keeps its plug-ins.
const SLURM: &[&str] = &[
    "/usr/lib64/slurm",
    "/usr/lib/slurm",
    "/usr/lib/x86_64-linux-gnu/slurm-wlm",
    "/usr/lib/x86_64-linux-gnu/slurm",
    "/usr/lib/aarch64-linux-gnu/slurm-wlm",
    "/usr/lib/aarch64-linux-gnu/slurm",
    "/opt/slurm/lib/slurm",
];

pub(crate) fn kernel(root: &Root, facts: &mut Facts) {
    let path = "/proc/sys/kernel/osrelease";
    if let Some(release) = root.text(path) {
        facts.add("kernel", &release, path);
    }
}

/// What distributions append to a kernel's release, and the machine (`uname -m`) that it is
/// for. Where the kernel does not state its machine, this does; the processor alone does not
/// tell the byte order of Power, nor whether a 64-bit one runs a 32-bit kernel.
const RELEASES: &[(&str, &str)] = &[
    ("ppc64le", "ppc64le"),
    ("ppc64el", "ppc64le"),
    ("powerpc64le", "ppc64le"),
    ("ppc64", "ppc64"),
    ("powerpc64", "ppc64"),
    ("i386", "i686"),
    ("i586", "i686"),
    ("i686", "i686"),
    ("686", "i686"),
    ("armv7hl", "arm"),
    ("armv7l", "arm"),
    ("armmp", "arm"),
];

/// The machine that the kernel's release names.
pub(crate) fn machine_of_release(root: &Root) -> Option<&'static str> {
    let release = root.text("/proc/sys/kernel/osrelease")?;
    let mut words = release.rsplit(['.', '-', '_', '+']);
    words.find_map(|word| {
        let row = RELEASES.iter().find(|(name, _)| *name == word);
        row.map(|(_, machine)| *machine)
    })
}

/// The machine that a Power system's own programs were compiled for, by the header of one
/// (System V ABI, `e_ident` and `e_machine`); `None` when there is none to look at.
pub(crate) fn power_order(root: &Root) -> Option<String> {
    const POWER64: u16 = 21;
    let programs = ["/bin/sh", "/usr/bin/sh", "/sbin/init", "/usr/bin/env"];
    let header = programs.iter().find_map(|path| root.bytes(path))?;
    let order = header.strip_prefix(b"\x7fELF\x02")?.first()?;
    let machine: [u8; 2] = header.get(18..20)?.try_into().ok()?;
    let found = match order {
        1 => (u16::from_le_bytes(machine), "ppc64le"),
        2 => (u16::from_be_bytes(machine), "ppc64"),
        _ => return None,
    };
    (found.0 == POWER64).then(|| found.1.to_owned())
}

pub(crate) fn smt(root: &Root, facts: &mut Facts) {
    let path = "/sys/devices/system/cpu/smt/active";
    match root.text(path).as_deref() {
        Some("1") => facts.add("smt", "on", path),
        Some("0") => facts.add("smt", "off", path),
        _ => {}
    }
}

/// The version is in the library itself: `... stable release version 2.36.`
pub(crate) fn glibc(root: &Root, facts: &mut Facts) {
    for folder in LIBRARIES {
        let path = format!("{folder}/libc.so.6");
        if let Some(version) = root.bytes(&path).as_deref().and_then(glibc_version) {
            return facts.add("glibc", &version, &path);
        }
    }
}

fn glibc_version(library: &[u8]) -> Option<String> {
    let mark = b"release version ";
    let start = library
        .windows(mark.len())
        .position(|window| window == mark)?
        + mark.len();
    let text: String = library
        .get(start..)?
        .iter()
        .take(16)
        .map(|byte| char::from(*byte))
        .take_while(|c| c.is_ascii_digit() || *c == '.')
        .collect();
    let version = text.trim_end_matches('.');
    (!version.is_empty()).then(|| version.to_owned())
}

/// pkg-config's files state versions; the names of the libraries do not.
pub(crate) fn libraries(root: &Root, facts: &mut Facts) {
    for folder in LIBRARIES.iter().chain(VENDORS) {
        let files: &[(&str, &str, &str)] = &[
            ("libfabric.pc", "libfabric", ""),
            ("ompi.pc", "mpi", "openmpi-"),
            ("mpich.pc", "mpi", "mpich-"),
            ("mvapich2.pc", "mpi", "mvapich2-"),
            ("pmix.pc", "pmix", ""),
        ];
        for (file, key, prefix) in files {
            let path = format!("{folder}/pkgconfig/{file}");
            let text = root.text(&path).unwrap_or_default();
            if let Some(version) = text.lines().find_map(|line| line.strip_prefix("Version:")) {
                facts.add(key, &format!("{prefix}{}", version.trim()), &path);
            }
        }
    }
    for (folder, key, prefix) in [
        ("/opt/cray/libfabric", "libfabric", ""),
        ("/opt/cray/pe/mpich", "mpi", "cray-mpich-"),
    ] {
        let versions = root.list(folder);
        for version in versions
            .iter()
            .filter(|name| name.starts_with(|c: char| c.is_ascii_digit()))
        {
            facts.add(key, &format!("{prefix}{version}"), folder);
        }
    }
}

/// Slurm's plug-ins for starting MPI programs: `mpi_pmix_v4.so`, `mpi_pmi2.so`.
pub(crate) fn slurm(root: &Root, facts: &mut Facts) {
    for folder in SLURM {
        for file in root.list(folder) {
            let plugin = file
                .strip_prefix("mpi_")
                .and_then(|f| f.strip_suffix(".so"));
            match plugin {
                Some(kind @ ("pmi2" | "pmix" | "cray_shasta")) => facts.add("pmi", kind, folder),
                Some(other) => {
                    if let Some(version) = other.strip_prefix("pmix_v") {
                        facts.add("pmix", version, folder);
                    }
                }
                None => {}
            }
        }
    }
}

pub(crate) fn fabrics(root: &Root, facts: &mut Facts) {
    let folder = "/sys/class/infiniband";
    for device in root.list(folder) {
        let path = format!("{folder}/{device}");
        for fabric in fabrics_of(root, &device, &path) {
            facts.add("fabric", fabric, &path);
        }
    }
    if !root.list("/sys/class/cxi").is_empty() {
        facts.add("fabric", "slingshot", "/sys/class/cxi");
    }
}

/// What an RDMA device is connected to (Documentation/ABI/stable/sysfs-class-infiniband). One whose
/// links are neither InfiniBand nor Ethernet is unknown.
fn fabrics_of(root: &Root, device: &str, path: &str) -> Vec<&'static str> {
    let vendor = root.text(&format!("{path}/device/vendor"));
    if vendor.as_deref() == Some("0x1d0f") || device.starts_with("efa") {
        return vec!["efa"];
    }
    if device.starts_with("hfi1") {
        return vec!["omnipath"];
    }
    // iWARP and usNIC have Ethernet links, too, and speak no RoCE.
    let kind = root.text(&format!("{path}/node_type"));
    let kind = kind.as_deref().and_then(|kind| kind.split(':').next());
    if matches!(kind, Some("4" | "5" | "6")) {
        return Vec::new();
    }
    let ports = root.list(&format!("{path}/ports"));
    let links = ports.iter().filter_map(|port| {
        let link = root.text(&format!("{path}/ports/{port}/link_layer"));
        match link.as_deref() {
            Some("InfiniBand") => Some("infiniband"),
            Some("Ethernet") => Some("roce"),
            _ => None,
        }
    });
    links.collect()
}

/// Amazon's firmware states the instance type; other clouds must be asked by network.
pub(crate) fn instance(root: &Root, facts: &mut Facts) {
    let path = "/sys/class/dmi/id/product_name";
    let vendor = root.text("/sys/class/dmi/id/sys_vendor");
    if let (Some("Amazon EC2"), Some(kind)) = (vendor.as_deref(), root.text(path)) {
        facts.add("instance", &kind, path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_c_library_states_its_version() {
        let text = b"\0\x01GNU C Library (Debian GLIBC 2.36-9) stable release version 2.36.\nCopy";
        assert_eq!(glibc_version(text).as_deref(), Some("2.36"));
        assert_eq!(glibc_version(b"release version "), None);
        assert_eq!(glibc_version(b""), None);
    }
}
