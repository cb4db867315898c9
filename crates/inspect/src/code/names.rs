//! What names of functions and of what they call tell.

use std::sync::OnceLock;

/// Parts of names that say which processors a function is for.
const LEVELS: &[&str] = &[
    "avx",
    "fma3",
    "fma4",
    "_fma",
    "sse",
    "ssse3",
    "bmi",
    "haswell",
    "skylake",
    "zen",
    "sandybridge",
    "bulldozer",
    "piledriver",
    "steamroller",
    "excavator",
    "cooperlake",
    "sapphirerapids",
    "icelake",
    "knl",
    "cascadelake",
    "v2_",
    "_v3",
    "_v4",
    "x86_64_v",
    "popcnt",
    "pclmul",
    "vpclmul",
    "aesni",
    "_aes",
    "vaes",
    "shani",
    "sha_ni",
    "_shaext",
    "lzcnt",
    "movbe",
    "f16c",
    "vnni",
    "amx",
    "core2",
    "nehalem",
    "westmere",
    "broadwell",
    "xop",
];

/// Parts of names of what tells about the processor; the name must also have one of [`WORDS`].
const PROCESSOR: &[&str] = &["cpu", "hwcap", "x86"];
const WORDS: &[&str] = &[
    "feature",
    "flags",
    "supports",
    "cpuid",
    "detect",
    "capab",
    "_caps",
    "getcpuinfo",
    "hasfeature",
];
const VECTORS: &[&str] = &[
    "hasavx", "has_avx", "hassse", "has_sse", "have_avx", "have_sse",
];

/// Words by their first letter, and by their first two at one bit each, since names are many.
struct Words {
    by_letter: [Vec<&'static [u8]>; 256],
    pairs: Vec<u64>,
}

impl Words {
    fn new(words: &[&'static str]) -> Self {
        let mut by_letter = [const { Vec::new() }; 256];
        let mut pairs = vec![0; 1024];
        for word in words {
            let word = word.as_bytes();
            let [first, second, ..] = *word else { continue };
            if let Some(of_letter) = by_letter.get_mut(usize::from(first)) {
                of_letter.push(word);
            }
            let (at, bit) = Self::pair(first, second);
            if let Some(bits) = pairs.get_mut(at) {
                *bits |= bit;
            }
        }
        Self { by_letter, pairs }
    }

    /// Where the bit of two letters is.
    fn pair(first: u8, second: u8) -> (usize, u64) {
        let pair = usize::from(first) << 8 | usize::from(second);
        (pair >> 6, 1 << (pair & 63))
    }

    /// Whether one of them stands in a name, in capitals or not.
    fn any_in(&self, name: &str) -> bool {
        let bytes = name.as_bytes();
        let mut first = 0;
        bytes.iter().enumerate().any(|(next, byte)| {
            let second = byte.to_ascii_lowercase();
            let (place, bit) = Self::pair(first, second);
            let letter = std::mem::replace(&mut first, second);
            if self.pairs.get(place).is_none_or(|bits| bits & bit == 0) {
                return false;
            }
            let at = next.saturating_sub(1);
            let of_letter = self.by_letter.get(usize::from(letter));
            of_letter.into_iter().flatten().any(|word| {
                let here = bytes.get(at..at + word.len());
                here.is_some_and(|here| here.eq_ignore_ascii_case(word))
            })
        })
    }
}

/// Whether a name says which processors its function is for.
pub(crate) fn says_level(name: &str) -> bool {
    static TABLE: OnceLock<Words> = OnceLock::new();
    let mut parts = name.bytes().skip(4);
    let vector = name.starts_with("_ZGV") && matches!(parts.next(), Some(b'b'..=b'e'));
    vector || TABLE.get_or_init(|| Words::new(LEVELS)).any_in(name)
}

/// Whether a function or a variable of that name tells what the processor has.
pub(crate) fn detects(name: &str) -> bool {
    static PROCESSORS: OnceLock<Words> = OnceLock::new();
    static VECTOR: OnceLock<Words> = OnceLock::new();
    static FEATURE: OnceLock<Words> = OnceLock::new();
    let short = name.trim_start_matches('_');
    const KNOWN: &[&str] = &[
        "cpu_model",
        "cpu_indicator_init",
        "cpu_features2",
        "x86_get_cpuid_feature_leaf",
        "x86_get_cpu_features",
        "get_cpuid",
        "rtld_global_ro",
        "dl_x86_cpu_features",
        "dl_x86_get_cpu_features",
        "intel_cpu_features_init",
        "intel_cpu_feature_indicator",
        "intel_fast_memcpy",
        "OPENSSL_ia32cap_P",
        "OPENSSL_ia32cap_loc",
    ];
    if KNOWN.contains(&short) {
        return true;
    }
    let processor = PROCESSORS
        .get_or_init(|| Words::new(PROCESSOR))
        .any_in(name);
    (processor && FEATURE.get_or_init(|| Words::new(WORDS)).any_in(name))
        || VECTOR.get_or_init(|| Words::new(VECTORS)).any_in(name)
}

/// Whether it gives out memory that may be executed, and its place among the arguments is the
/// third.
pub(crate) fn maps_memory(name: &str) -> bool {
    let name = name.trim_start_matches('_');
    matches!(
        name,
        "mmap" | "mmap64" | "mprotect" | "pkey_mprotect" | "libc_mmap" | "libc_mmap64"
    )
}

/// Whether it is one of those with which glibc makes stacks executable, for programs that ask for
/// it.
pub(crate) fn is_of_glibc(name: &str) -> bool {
    let name = name.trim_start_matches('_');
    name.starts_with("dl_make_stack") || name == "nptl_change_stack_perm"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_levels_and_detection() {
        for name in [
            "sum_avx2",
            "_ZGVdN4v_sin",
            "gemm_HASWELL",
            "x264_pixel_sad_sse2",
        ] {
            assert!(says_level(name), "{name}");
        }
        for name in ["main", "_ZN3fooEv", "compute", "_ZGVsomething"] {
            assert!(!says_level(name), "{name}");
        }
        for name in [
            "__cpu_model",
            "av_get_cpu_flags",
            "__get_cpuid_max",
            "SDL_HasAVX2",
        ] {
            assert!(detects(name), "{name}");
        }
        for name in ["getauxval", "sched_getcpu", "memcpy", "cpu_to_le32"] {
            assert!(!detects(name), "{name}");
        }
    }
}
