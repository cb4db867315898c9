//! What instructions ask of a processor: features, and the levels that they make up.

use std::sync::OnceLock;

use crate::answer::Level;

use iced_x86::{Code, CpuidFeature, EncodingKind};

/// Features and other properties of code, one bit each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Uses(pub(crate) u64);

impl Uses {
    /// SSE and SSE2 in their first encoding, which every x86-64 processor has.
    pub(crate) const LEGACY: Self = Self(1);
    /// Vector instructions in the encoding of AVX.
    pub(crate) const VEX: Self = Self(1 << 1);
    /// Instructions in the encoding of AVX-512.
    pub(crate) const EVEX: Self = Self(1 << 2);
    /// Asks the processor what it is.
    pub(crate) const DETECTS: Self = Self(1 << 3);
    /// Code between functions, or without any function.
    pub(crate) const GAP: Self = Self(1 << 4);
    /// Bytes that are no instruction.
    pub(crate) const INVALID: Self = Self(1 << 5);
    /// Its name says which processors it is for.
    pub(crate) const NAMED: Self = Self(1 << 7);
    /// Where the bits of features begin.
    const FIRST: u32 = 8;

    pub(crate) const V2: Self = Self::of(0, 6);
    pub(crate) const V3: Self = Self::of(6, 14);
    /// Those of the third level that are no vector instructions.
    pub(crate) const BITS: Self = Self::of(10, 14);
    pub(crate) const V4: Self = Self::of(14, 19);

    const fn of(from: u32, to: u32) -> Self {
        Self(((1 << to) - (1 << from)) << Self::FIRST)
    }

    pub(crate) const fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    pub(crate) const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(crate) const fn only(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// All features of a level of x86-64 and of those below it; none of other architectures.
    pub(crate) fn of_level(level: Level) -> Self {
        match level {
            Level::V2 => Self::V2,
            Level::V3 => Self::V2.and(Self::V3),
            Level::V4 => Self::V2.and(Self::V3).and(Self::V4),
            Level::Arm81 | Level::Arm82 | Level::Sve => Self::default(),
        }
    }

    /// The features by their names in `/proc/cpuinfo`.
    pub(crate) fn features(self) -> impl Iterator<Item = &'static str> {
        let bits = self.0 >> Self::FIRST;
        let names = FEATURES.iter().enumerate();
        names
            .filter(move |(bit, _)| bits >> bit & 1 == 1)
            .map(|(_, name)| *name)
    }
}

/// Features in the order of their bits. The first 6 make x86-64-v2, the next 8 v3, the next 5 v4.
const FEATURES: [&str; 45] = [
    "sse3",
    "ssse3",
    "sse4_1",
    "sse4_2",
    "popcnt",
    "cx16", // v2
    "avx",
    "avx2",
    "fma",
    "f16c",
    "bmi1",
    "bmi2",
    "abm",
    "movbe", // v3
    "avx512f",
    "avx512bw",
    "avx512cd",
    "avx512dq",
    "avx512vl", // v4
    "aes",
    "pclmulqdq",
    "sha_ni",
    "adx",
    "rdrand",
    "rdseed",
    "gfni",
    "vaes",
    "vpclmulqdq",
    "avx_vnni",
    "avx512_vnni",
    "avx512_bf16",
    "avx512_fp16",
    "avx512vbmi",
    "avx512_vbmi2",
    "avx512ifma",
    "avx512_bitalg",
    "avx512_vpopcntdq",
    "avx512_vp2intersect",
    "amx",
    "xop",
    "fma4",
    "tbm",
    "sse4a",
    "avx512er",
    "avx512_4vnniw",
];

fn feature(of: CpuidFeature) -> Option<&'static str> {
    Some(match of {
        CpuidFeature::SSE3 => "sse3",
        CpuidFeature::SSSE3 => "ssse3",
        CpuidFeature::SSE4_1 => "sse4_1",
        CpuidFeature::SSE4_2 => "sse4_2",
        CpuidFeature::POPCNT => "popcnt",
        CpuidFeature::CMPXCHG16B => "cx16",
        CpuidFeature::AVX => "avx",
        CpuidFeature::AVX2 => "avx2",
        CpuidFeature::FMA => "fma",
        CpuidFeature::F16C => "f16c",
        CpuidFeature::BMI1 => "bmi1",
        CpuidFeature::BMI2 => "bmi2",
        CpuidFeature::LZCNT => "abm",
        CpuidFeature::MOVBE => "movbe",
        CpuidFeature::AVX512F => "avx512f",
        CpuidFeature::AVX512BW => "avx512bw",
        CpuidFeature::AVX512CD => "avx512cd",
        CpuidFeature::AVX512DQ => "avx512dq",
        CpuidFeature::AVX512VL => "avx512vl",
        CpuidFeature::AES => "aes",
        CpuidFeature::PCLMULQDQ => "pclmulqdq",
        CpuidFeature::SHA => "sha_ni",
        CpuidFeature::ADX => "adx",
        CpuidFeature::RDRAND => "rdrand",
        CpuidFeature::RDSEED => "rdseed",
        CpuidFeature::GFNI => "gfni",
        CpuidFeature::VAES => "vaes",
        CpuidFeature::VPCLMULQDQ => "vpclmulqdq",
        CpuidFeature::AVX_VNNI => "avx_vnni",
        CpuidFeature::AVX512_VNNI => "avx512_vnni",
        CpuidFeature::AVX512_BF16 => "avx512_bf16",
        CpuidFeature::AVX512_FP16 => "avx512_fp16",
        CpuidFeature::AVX512_VBMI => "avx512vbmi",
        CpuidFeature::AVX512_VBMI2 => "avx512_vbmi2",
        CpuidFeature::AVX512_IFMA => "avx512ifma",
        CpuidFeature::AVX512_BITALG => "avx512_bitalg",
        CpuidFeature::AVX512_VPOPCNTDQ => "avx512_vpopcntdq",
        CpuidFeature::AVX512_VP2INTERSECT => "avx512_vp2intersect",
        CpuidFeature::AMX_TILE | CpuidFeature::AMX_BF16 | CpuidFeature::AMX_INT8 => "amx",
        CpuidFeature::XOP => "xop",
        CpuidFeature::FMA4 => "fma4",
        CpuidFeature::TBM => "tbm",
        CpuidFeature::SSE4A => "sse4a",
        CpuidFeature::AVX512ER | CpuidFeature::AVX512PF => "avx512er",
        CpuidFeature::AVX512_4VNNIW | CpuidFeature::AVX512_4FMAPS => "avx512_4vnniw",
        _ => return None,
    })
}

/// The level that uses belong to.
pub(crate) fn level(uses: Uses) -> Option<Level> {
    if uses.has(Uses::EVEX) || uses.has(Uses::V4) {
        Some(Level::V4)
    } else if uses.has(Uses::VEX) || uses.has(Uses::V3) {
        Some(Level::V3)
    } else if uses.has(Uses::V2) {
        Some(Level::V2)
    } else {
        None
    }
}

/// What one instruction asks for.
pub(crate) fn uses(table: &[Uses], code: Code) -> Uses {
    table.get(code as usize).copied().unwrap_or_default()
}

/// What each instruction asks for, by its code's number.
pub(crate) fn table() -> &'static [Uses] {
    static TABLE: OnceLock<Vec<Uses>> = OnceLock::new();
    TABLE.get_or_init(|| Code::values().map(of_code).collect())
}

fn of_code(code: Code) -> Uses {
    let mut uses = Uses::default();
    if matches!(code, Code::Cpuid | Code::Xgetbv) {
        return Uses::DETECTS;
    }
    if code == Code::INVALID {
        return Uses::INVALID;
    }
    // An older processor runs `rep bsf` for it, which compilers emit on purpose.
    if matches!(
        code,
        Code::Tzcnt_r16_rm16 | Code::Tzcnt_r32_rm32 | Code::Tzcnt_r64_rm64
    ) {
        return uses;
    }
    let features = code.cpuid_features();
    for name in features.iter().filter_map(|of| feature(*of)) {
        if let Some(bit) = FEATURES.iter().position(|known| *known == name) {
            uses = uses.and(Uses(1 << (bit as u32 + Uses::FIRST)));
        }
    }
    let scalar = features.iter().all(|of| {
        matches!(
            of,
            CpuidFeature::BMI1 | CpuidFeature::BMI2 | CpuidFeature::TBM
        )
    });
    match code.encoding() {
        EncodingKind::VEX if !scalar => uses.and(Uses::VEX),
        EncodingKind::EVEX => uses.and(Uses::EVEX),
        EncodingKind::Legacy if is_legacy_vector(code, features) => uses.and(Uses::LEGACY),
        _ => uses,
    }
}

/// Whether compilers would encode it as AVX when they may.
fn is_legacy_vector(code: Code, features: &[CpuidFeature]) -> bool {
    use CpuidFeature as F;
    let vector = features.iter().any(|of| {
        matches!(
            of,
            F::SSE | F::SSE2 | F::SSE3 | F::SSSE3 | F::SSE4_1 | F::SSE4_2
        )
    });
    let other = matches!(
        code,
        Code::Sfence
            | Code::Lfence
            | Code::Mfence
            | Code::Clflush_m8
            | Code::Prefetchnta_m8
            | Code::Prefetcht0_m8
            | Code::Prefetcht1_m8
            | Code::Prefetcht2_m8
            | Code::Movnti_m32_r32
            | Code::Movnti_m64_r64
            | Code::Ldmxcsr_m32
            | Code::Stmxcsr_m32
            | Code::Pause
    );
    let crc = matches!(
        code,
        Code::Crc32_r32_rm8
            | Code::Crc32_r32_rm16
            | Code::Crc32_r32_rm32
            | Code::Crc32_r64_rm8
            | Code::Crc32_r64_rm64
    );
    vector && !other && !crc
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(code: Code) -> Vec<&'static str> {
        uses(table(), code).features().collect()
    }

    #[test]
    fn instructions_ask_for_the_features_of_their_manuals() {
        assert_eq!(names(Code::VEX_Vfmadd231ps_ymm_ymm_ymmm256), ["fma"]);
        assert_eq!(names(Code::VEX_Mulx_r64_r64_rm64), ["bmi2"]);
        assert_eq!(names(Code::Lzcnt_r64_rm64), ["abm"]);
        assert_eq!(names(Code::Tzcnt_r64_rm64), [""; 0]);
        assert_eq!(names(Code::Popcnt_r64_rm64), ["popcnt"]);
        assert_eq!(names(Code::Movaps_xmm_xmmm128), [""; 0]);
        let vector = uses(table(), Code::EVEX_Vaddpd_zmm_k1z_zmm_zmmm512b64_er);
        assert!(vector.has(Uses::EVEX) && vector.has(Uses::V4) && !vector.has(Uses::VEX));
        assert!(uses(table(), Code::VEX_Vmovaps_ymm_ymmm256).has(Uses::VEX));
        assert!(!uses(table(), Code::VEX_Andn_r64_r64_rm64).has(Uses::VEX));
        assert!(uses(table(), Code::Pxor_xmm_xmmm128).has(Uses::LEGACY));
        assert!(uses(table(), Code::Cpuid).has(Uses::DETECTS));
    }

    #[test]
    fn levels_hold_their_features() {
        let level = |of: Uses| of.features().collect::<Vec<_>>();
        assert_eq!(level(Uses::V2).first(), Some(&"sse3"));
        assert_eq!(level(Uses::V2).last(), Some(&"cx16"));
        assert_eq!(level(Uses::V3).first(), Some(&"avx"));
        assert_eq!(level(Uses::V3).last(), Some(&"movbe"));
        assert_eq!(level(Uses::BITS), ["bmi1", "bmi2", "abm", "movbe"]);
        assert_eq!(level(Uses::V4).len(), 5);
    }
}
