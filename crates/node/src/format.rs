//! Formats the output of `detect`.

use std::fmt::Write as _;

use metahub_hardware::{Feature, Key, Microarchitectures};
use serde_json::json;

use crate::detect::Detected;

/// Facts for people; with `why`, how the CPU target was chosen.
#[must_use]
pub fn text(found: &Detected, login: Option<&str>, why: bool) -> String {
    let mut out = String::new();
    let width = found
        .facts
        .iter()
        .map(|fact| fact.feature.to_string().len())
        .max()
        .unwrap_or(0);
    for fact in &found.facts {
        let feature = fact.feature.to_string();
        let _ = writeln!(out, "{feature:width$}  {}", fact.from);
    }
    let _ = writeln!(out, "login: {}", login.unwrap_or("none"));
    if !why {
        return out;
    }
    let Some(cpu) = &found.cpu else {
        let _ = writeln!(out, "cpu: unknown: /proc/cpuinfo names no architecture");
        return out;
    };
    let _ = writeln!(
        out,
        "cpu: {}; by its flags alone {}",
        cpu.target, cpu.by_flags
    );
    if cpu.mixed_cores {
        let _ = writeln!(
            out,
            "cpu: cores of different kinds; what all have in common"
        );
    }
    for masked in &cpu.masked {
        let _ = writeln!(out, "missing and forgiven: {}: {}", masked.flag, masked.why);
    }
    out
}

/// All of it as JSON.
#[must_use]
pub fn json(found: &Detected, login: Option<&str>) -> String {
    let document = json!({
        "target": found.target,
        "login": login,
        "facts": found.facts,
        "cpu": found.cpu,
    });
    format!("{document:#}\n")
}

/// Lines for Node Feature Discovery's `features.d`: `name=value`, of which it makes the labels
/// `feature.node.kubernetes.io/metahub-...`.
#[must_use]
pub fn nfd(found: &Detected) -> String {
    let mut lines: Vec<String> = Vec::new();
    for fact in &found.facts {
        let key = label(fact.feature.key().as_str());
        let value = label(fact.feature.value());
        if key.is_empty() || value.is_empty() {
            continue;
        }
        let several = found
            .facts
            .iter()
            .filter(|other| other.feature.key() == fact.feature.key())
            .count()
            > 1;
        lines.push(if several {
            format!("metahub-{key}-{value}=true")
        } else {
            format!("metahub-{key}={value}")
        });
    }
    for target in runs(found) {
        lines.push(format!("metahub-runs-{}=true", label(&target)));
    }
    lines.dedup();
    lines.join("\n") + "\n"
}

/// A line for `slurm.conf`: the node's own target first, then those whose builds run on it, then
/// GPUs, fabrics and libraries. Static features only: `node_features/helpers` lets a job for one
/// of two targets run on the other.
#[must_use]
pub fn slurm(found: &Detected, node: &str) -> String {
    let mut features: Vec<String> = found.target.iter().map(ToString::to_string).collect();
    features.extend(runs(found));
    let shown = [
        Key::Cuda,
        Key::Driver,
        Key::Cc,
        Key::Rocm,
        Key::Gfx,
        Key::Mpi,
        Key::Libfabric,
    ];
    let others = found
        .facts
        .iter()
        .map(|fact| &fact.feature)
        .filter(|f| shown.contains(f.key()) || matches!(f.key().as_str(), "gpu" | "fabric"));
    features.extend(others.map(slurm_name));
    let mut seen: Vec<String> = Vec::new();
    for feature in features {
        if !feature.is_empty() && !seen.contains(&feature) {
            seen.push(feature);
        }
    }
    format!("NodeName={node} Feature={}\n", seen.join(","))
}

/// A part of Flux's `resource` configuration: the same features as properties.
#[must_use]
pub fn flux(found: &Detected, node: &str) -> String {
    let line = slurm(found, node);
    let features = line.trim_end().rsplit_once('=').map_or("", |(_, all)| all);
    let features: Vec<String> = features
        .split(',')
        .filter(|feature| !feature.is_empty())
        .map(|feature| format!("\"{feature}\""))
        .collect();
    format!(
        "[[resource.config]]\nhosts = \"{node}\"\nproperties = [{}]\n",
        features.join(", ")
    )
}

fn slurm_name(feature: &Feature) -> String {
    let value = label(feature.value());
    if *feature.key() == Key::Gfx {
        return value;
    }
    format!("{}-{value}", feature.key())
}

/// The targets whose builds run here, nearest first, without the node's own.
fn runs(found: &Detected) -> Vec<String> {
    let graph = Microarchitectures::builtin();
    found
        .target
        .iter()
        .flat_map(|target| graph.ancestors(target))
        .map(|target| target.to_string())
        .collect()
}

/// As much of `text` as a label's value may have: letters, digits and `.`, `_`, `-`, at most 63,
/// a letter or digit at both ends.
fn label(text: &str) -> String {
    let mut label: String = text
        .chars()
        .map(|c| match c {
            c if c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-') => c,
            _ => '_',
        })
        .take(63)
        .collect();
    let is_inner = |c: char| !c.is_ascii_alphanumeric();
    label = label.trim_matches(is_inner).to_owned();
    label
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::Fact;

    fn found(features: &[&str]) -> Detected {
        let facts: Vec<Fact> = features
            .iter()
            .map(|text| Fact {
                feature: text.parse().unwrap(),
                from: "/proc/cpuinfo".to_owned(),
            })
            .collect();
        Detected {
            target: facts[0].feature.target().cloned(),
            cpu: None,
            facts,
        }
    }

    #[test]
    fn slurm_gets_one_line_of_static_features() {
        let found = found(&[
            "arch:zen2",
            "cc:8.0",
            "cc:9.0",
            "gfx:gfx90a",
            "kernel:6.1",
            "gpu:amd",
        ]);
        assert_eq!(
            slurm(&found, "n1"),
            "NodeName=n1 Feature=zen2,zen,x86_64_v3,x86_64_v2,x86_64,cc-8.0,cc-9.0,gfx90a,gpu-amd\n"
        );
    }

    #[test]
    fn flux_gets_the_same_as_properties() {
        assert_eq!(
            flux(&found(&["arch:zen2", "cuda:12.4"]), "n1"),
            "[[resource.config]]\nhosts = \"n1\"\nproperties = [\"zen2\", \"zen\", \"x86_64_v3\", \
             \"x86_64_v2\", \"x86_64\", \"cuda-12.4\"]\n"
        );
        assert!(flux(&found(&["kernel:6.1"]), "n1").ends_with("properties = []\n"));
    }

    #[test]
    fn nfd_gets_names_and_values_that_labels_may_have() {
        let found = found(&["arch:zen2", "cc:8.0", "cc:9.0", "kernel:6.1.0+rpt(x)"]);
        assert_eq!(
            nfd(&found),
            "metahub-arch=zen2\nmetahub-cc-8.0=true\nmetahub-cc-9.0=true\n\
             metahub-kernel=6.1.0_rpt_x\nmetahub-runs-zen=true\nmetahub-runs-x86_64_v3=true\n\
             metahub-runs-x86_64_v2=true\nmetahub-runs-x86_64=true\n"
        );
    }

    #[test]
    fn people_read_where_each_fact_comes_from() {
        let shown = text(&found(&["arch:zen2", "cc:8.0"]), Some("zen2+cc=8.0"), true);
        assert!(
            shown.starts_with("arch:zen2  /proc/cpuinfo\ncc:8.0     "),
            "{shown}"
        );
        assert!(
            shown.contains("login: zen2+cc=8.0\ncpu: unknown"),
            "{shown}"
        );
    }
}
