//! Which processor QEMU is to emulate for a target of archspec: one that has no more than every
//! machine of that target, so that what runs there runs on all of them.

use metahub_hardware::{Microarchitectures, Target};

use crate::error::EmulationError;

/// The simplest x86-64 processor: `qemu64` without what later levels brought.
const PLAIN: &str = "qemu64,-pni,-cx16,-lahf-lm,-svm";
/// Features of archspec, and what QEMU calls them.
const X86_64: &[(&str, &str)] = &[
    ("sse3", "+pni"),
    ("ssse3", "+pni,+ssse3"),
    ("sse4_1", "+sse4.1"),
    ("sse4_2", "+sse4.2"),
    ("sse4a", "+sse4a"),
    ("popcnt", "+popcnt"),
    ("cx16", "+cx16"),
    ("lahf_lm", "+lahf-lm"),
    ("aes", "+aes"),
    ("pclmulqdq", "+pclmulqdq"),
    ("xsave", "+xsave"),
    ("xsaveopt", "+xsaveopt"),
    ("avx", "+xsave,+avx"),
    ("avx2", "+avx2"),
    ("f16c", "+f16c"),
    ("fma", "+fma"),
    ("bmi1", "+bmi1"),
    ("bmi2", "+bmi2"),
    ("abm", "+abm"),
    ("movbe", "+movbe"),
    ("rdrand", "+rdrand"),
    ("rdseed", "+rdseed"),
    ("adx", "+adx"),
    ("fsgsbase", "+fsgsbase"),
    ("clflushopt", "+clflushopt"),
    ("clwb", "+clwb"),
    ("vaes", "+vaes"),
    ("vpclmulqdq", "+vpclmulqdq"),
];
/// Features that are left out: either every processor has them, or compilers make no use of them.
const LEFT_OUT: &[&str] = &["mmx", "sse", "sse2", "clzero", "xsavec", "pku"];

/// Targets of 64-bit Arm, and QEMU's models, which have no switches for single features.
const AARCH64: &[(&str, &str)] = &[
    ("aarch64", "cortex-a53"),
    ("armv8.0a", "cortex-a53"),
    ("cortex_a72", "cortex-a72"),
    ("neoverse_n1", "neoverse-n1"),
    ("neoverse_v1", "neoverse-v1"),
    ("neoverse_n2", "neoverse-n2"),
    ("a64fx", "a64fx"),
];

/// A processor as QEMU emulates it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Processor {
    /// The emulator, such as `qemu-x86_64`.
    pub emulator: &'static str,
    /// What it is told of the processor (`-cpu`).
    pub model: String,
    /// The architecture of its programs, as OCI images name it.
    pub architecture: &'static str,
}

impl Processor {
    /// The processor of `target`.
    ///
    /// # Errors
    /// Where QEMU emulates none that has all that the target has.
    pub fn of(target: &Target, graph: &Microarchitectures) -> Result<Self, EmulationError> {
        let refused = |why: String| EmulationError::NoProcessor {
            target: target.to_string(),
            why,
        };
        match graph.family(target).as_str() {
            "x86_64" => x86_64(target, graph).map_err(refused),
            "aarch64" => {
                let found = AARCH64.iter().find(|(name, _)| *name == target.as_str());
                let names: Vec<&str> = AARCH64.iter().map(|(name, _)| *name).collect();
                let (_, model) = found
                    .ok_or_else(|| refused(format!("of 64-bit Arm it has {}", names.join(", "))))?;
                Ok(Self {
                    emulator: "qemu-aarch64",
                    model: (*model).to_owned(),
                    architecture: "arm64",
                })
            }
            other => Err(refused(format!("programs of {other} are not run"))),
        }
    }
}

fn x86_64(target: &Target, graph: &Microarchitectures) -> Result<Processor, String> {
    let mut model = PLAIN.to_owned();
    for feature in graph
        .get(target)
        .into_iter()
        .flat_map(|known| known.features())
    {
        if LEFT_OUT.contains(&feature.as_str()) {
            continue;
        }
        let found = X86_64.iter().find(|(name, _)| name == feature);
        let Some((_, switch)) = found else {
            return Err(format!("QEMU does not emulate {feature}"));
        };
        model.push(',');
        model.push_str(switch);
    }
    Ok(Processor {
        emulator: "qemu-x86_64",
        model,
        architecture: "amd64",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_emulated_by_what_it_has_or_refused() {
        let graph = Microarchitectures::builtin();
        let model = |name: &str| {
            let target = graph.find(name).unwrap();
            Processor::of(&target, &graph).map(|processor| processor.model)
        };
        assert_eq!(model("x86_64").unwrap(), PLAIN);
        let v2 = model("x86_64_v2").unwrap();
        assert!(v2.contains("+sse4.2") && !v2.contains("avx"), "{v2}");
        let v3 = model("x86_64_v3").unwrap();
        assert!(v3.contains("+avx2") && !v3.contains("aes"), "{v3}");
        for name in ["haswell", "zen2", "zen3", "skylake", "neoverse_n1"] {
            assert!(model(name).is_ok(), "{name}: {:?}", model(name));
        }
        for (name, why) in [
            ("x86_64_v4", "avx512"),
            ("zen4", "avx512"),
            ("neoverse_v2", "of 64-bit Arm"),
            ("power9le", "power"),
        ] {
            let refused = model(name).unwrap_err().to_string();
            assert!(refused.contains(why), "{refused}");
        }
    }
}
