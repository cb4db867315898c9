//! GPUs by what the kernel's drivers show in files: NVIDIA's driver and models, AMD's
//! processors by the KFD topology, Intel's by PCI numbers.

use std::collections::BTreeSet;

use super::facts::Facts;
use super::root::Root;
use crate::products::capability_of_product;

/// `NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.15  ...` → `550.54.15`.
pub(crate) fn nvidia_driver(version_file: &str) -> Option<&str> {
    let line = version_file
        .lines()
        .find(|line| line.contains("NVRM version"))?;
    line.split_ascii_whitespace().find(|word| {
        word.split('.').count() >= 2 && word.chars().all(|c| c.is_ascii_digit() || c == '.')
    })
}

fn nvidia_capability(model: &str) -> Option<&'static str> {
    model
        .split([' ', '-', '\t'])
        .find_map(capability_of_product)
}

/// KFD's number for a processor: major · 10000 + minor · 100 + step, written as `gfx` and
/// the major in decimal, minor and step in hexadecimal. 0 is a CPU.
pub(crate) fn gfx_name(version: u32) -> Option<String> {
    let (major, minor, step) = (version / 10_000, version / 100 % 100, version % 100);
    (version > 0).then(|| format!("gfx{major}{minor:x}{step:x}"))
}

pub(crate) fn nvidia(root: &Root, facts: &mut Facts) {
    let path = "/proc/driver/nvidia/version";
    let Some(driver) = root
        .text(path)
        .as_deref()
        .and_then(nvidia_driver)
        .map(str::to_owned)
    else {
        return;
    };
    // The driver may be loaded where there is no GPU, or where every GPU is passed to another
    // driver.
    let folder = "/proc/driver/nvidia/gpus";
    let gpus: Vec<(String, String)> = root
        .list(folder)
        .into_iter()
        .map(|gpu| format!("{folder}/{gpu}/information"))
        .map(|path| (root.text(&path).unwrap_or_default(), path))
        .filter(|(text, _)| line_of(text, "GPU Excluded:") != Some("Yes"))
        .collect();
    if gpus.is_empty() {
        return;
    }
    facts.add("gpu", "nvidia", path);
    facts.add("driver", &driver, path);
    for (text, path) in &gpus {
        if let Some(capability) = line_of(text, "Model:").and_then(nvidia_capability) {
            facts.add("cc", capability, path);
        }
    }
}

/// The value of a line `KEY VALUE`.
fn line_of<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    text.lines()
        .find_map(|line| line.strip_prefix(key))
        .map(str::trim)
}

pub(crate) fn amd(root: &Root, facts: &mut Facts) {
    let nodes = "/sys/class/kfd/kfd/topology/nodes";
    for node in root.list(nodes) {
        let path = format!("{nodes}/{node}/properties");
        let text = root.text(&path).unwrap_or_default();
        let version = text
            .lines()
            .find_map(|line| line.strip_prefix("gfx_target_version "));
        if let Some(name) = version
            .and_then(|v| v.trim().parse().ok())
            .and_then(gfx_name)
        {
            facts.add("gpu", "amd", &path);
            facts.add("gfx", &name, &path);
        }
    }
    let path = "/opt/rocm/.info/version";
    if let Some(version) = root.text(path) {
        facts.add("rocm", &version, path);
    }
}

pub(crate) fn intel(root: &Root, facts: &mut Facts) {
    let cards = "/sys/class/drm";
    let numbered = |name: &String| {
        name.strip_prefix("card")
            .is_some_and(|n| n.bytes().all(|b| b.is_ascii_digit()))
    };
    let mut seen = BTreeSet::new();
    for card in root.list(cards).iter().filter(|name| numbered(name)) {
        let path = format!("{cards}/{card}/device/vendor");
        let device = root.text(&format!("{cards}/{card}/device/device"));
        if root.text(&path).as_deref() == Some("0x8086") && seen.insert(device) {
            facts.add("gpu", "intel", &path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case(90010, "gfx90a")]
    #[case(110501, "gfx1151")]
    #[case(90402, "gfx942")]
    #[case(100300, "gfx1030")]
    #[case(90006, "gfx906")]
    #[case(120001, "gfx1201")]
    fn amd_processors_are_named_by_their_number(#[case] version: u32, #[case] name: &str) {
        assert_eq!(gfx_name(version).as_deref(), Some(name));
        assert_eq!(gfx_name(0), None);
    }

    #[rstest]
    #[case(
        "NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.15  Tue Mar  5 22:23:56 UTC 2024\nGCC version:  gcc version 12.2.0",
        Some("550.54.15")
    )]
    #[case(
        "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  570.133.20  Release Build",
        Some("570.133.20")
    )]
    #[case("GCC version:  gcc version 12.2.0", None)]
    fn the_nvidia_driver_states_its_version(#[case] text: &str, #[case] version: Option<&str>) {
        assert_eq!(nvidia_driver(text), version);
    }

    #[rstest]
    #[case(" \t NVIDIA A100-SXM4-40GB", Some("8.0"))]
    #[case("NVIDIA H100 80GB HBM3", Some("9.0"))]
    #[case("NVIDIA L4", Some("8.9"))]
    #[case("NVIDIA L40S", Some("8.9"))]
    #[case("Tesla T4", Some("7.5"))]
    #[case("NVIDIA GB200", Some("10.0"))]
    #[case("NVIDIA A10G", Some("8.6"))]
    #[case("NVIDIA RTX A1000", None)]
    #[case("Quadro P1000", None)]
    fn data_centre_gpus_are_known_by_name(#[case] model: &str, #[case] cc: Option<&str>) {
        assert_eq!(nvidia_capability(model), cc);
    }
}
