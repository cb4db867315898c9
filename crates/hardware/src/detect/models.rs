//! The target of an x86 processor by vendor, family, model and stepping: the numbers that
//! hypervisors pass through when they hide flags. Ranges are the kernel's
//! (`arch/x86/kernel/cpu/amd.c`, `asm/intel-family.h`). An unlisted number means nothing. A number
//! may name a target that the processor has more than, and a target is only taken when its flags
//! are there. archspec's Arm targets carry their `CPU part`.

/// The target's archspec name, for `vendor_id`, `cpu family`, `model` and `stepping` as
/// `/proc/cpuinfo` states them.
pub(crate) fn x86(vendor: &str, family: u32, model: u32, stepping: u32) -> Option<&'static str> {
    match (vendor, family) {
        ("AuthenticAMD", 0x15) => match model {
            0x00..=0x01 => Some("bulldozer"),
            0x02 | 0x10..=0x1f => Some("piledriver"),
            0x30..=0x3f => Some("steamroller"),
            0x60..=0x7f => Some("excavator"),
            _ => None,
        },
        ("AuthenticAMD", 0x17) => match model {
            0x00..=0x2f | 0x50..=0x5f => Some("zen"),
            0x30..=0x4f | 0x60..=0x7f | 0x90..=0x91 | 0xa0..=0xaf => Some("zen2"),
            _ => None,
        },
        ("AuthenticAMD", 0x19) => match model {
            0x00..=0x0f | 0x20..=0x5f => Some("zen3"),
            0x10..=0x1f | 0x60..=0xaf => Some("zen4"),
            _ => None,
        },
        ("AuthenticAMD", 0x1a) => match model {
            0x00..=0x2f | 0x40..=0x4f | 0x60..=0x7f => Some("zen5"),
            0x50..=0x5f | 0x80..=0xaf | 0xc0..=0xcf => Some("zen6"),
            _ => None,
        },
        ("GenuineIntel", 6) => intel(model, stepping),
        // Nova Lake, Diamond Rapids.
        ("GenuineIntel", 0x12) if matches!(model, 0x01 | 0x03) => Some("arrowlake_s"),
        ("GenuineIntel", 0x13) if model == 0x01 => Some("graniterapids"),
        _ => None,
    }
}

/// The designer of an Arm processor's core, by archspec's name for the vendor: some put their own
/// number on Arm's core and keep its part (Azure Cobalt 100: `0x6d`, part `0xd49`, which is
/// Neoverse N2).
pub(crate) fn arm_designer<'v>(implementer: &str, vendor: &'v str) -> &'v str {
    match implementer {
        "0x6d" => "ARM",
        _ => vendor,
    }
}

fn intel(model: u32, stepping: u32) -> Option<&'static str> {
    Some(match model {
        0x1a | 0x1e | 0x1f | 0x2e => "nehalem",
        0x25 | 0x2c | 0x2f => "westmere",
        0x2a | 0x2d => "sandybridge",
        0x3a | 0x3e => "ivybridge",
        0x3c | 0x3f | 0x45 | 0x46 => "haswell",
        0x3d | 0x47 | 0x4f | 0x56 => "broadwell",
        0x4e | 0x5e | 0x8e | 0x9e | 0xa5 | 0xa6 => "skylake",
        0x55 if stepping <= 4 => "skylake_avx512",
        0x55 if stepping >= 10 => "cooperlake",
        0x55 => "cascadelake",
        0x57 | 0x85 => "mic_knl",
        0x66 => "cannonlake",
        // With Tiger Lake and Rocket Lake.
        0x6a | 0x6c | 0x7d | 0x7e | 0x8c | 0x8d | 0xa7 => "icelake",
        0x8f | 0xcf => "sapphirerapids",
        0xad | 0xae => "graniterapids",
        // With Raptor Lake, Meteor Lake, Bartlett Lake and those of small cores only.
        0x97 | 0x9a | 0xaa | 0xac | 0xb7 | 0xba | 0xbe | 0xbf | 0xd7 => "alderlake",
        // With Sierra Forest and Grand Ridge.
        0xaf | 0xb5 | 0xb6 | 0xc5 => "arrowlake",
        // With Lunar Lake, Panther Lake, Wildcat Lake and Clearwater Forest.
        0xbd | 0xc6 | 0xcc | 0xd5 | 0xdd => "arrowlake_s",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Microarchitectures;

    #[test]
    fn every_model_is_a_known_target_of_its_vendor() {
        let graph = Microarchitectures::builtin();
        for vendor in ["AuthenticAMD", "GenuineIntel"] {
            for (family, model) in
                (0..0x20).flat_map(|family| (0..0x100).map(move |model| (family, model)))
            {
                for stepping in [0, 4, 7, 11] {
                    if let Some(name) = x86(vendor, family, model, stepping) {
                        let target = graph.find(name).unwrap();
                        assert_eq!(target.as_str(), name);
                        assert_eq!(graph.get(&target).unwrap().vendor(), vendor, "{name}");
                    }
                }
            }
        }
    }
}
