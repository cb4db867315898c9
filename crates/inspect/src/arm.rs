//! Code of 64-bit Arm programs, by the bits of its instructions ("Arm Architecture Reference
//! Manual", "Top level encodings for A64"): atomic instructions, the scalable vectors, dot products.
//! There is no graph of calls here, so that much is unknown.

use crate::answer::{Cpu, Evidence, Level, Status};
use crate::bytes::u32_at;
use crate::code::Outline;
use crate::elf::Elf;
use crate::limits::Limits;

/// What a function holds.
#[derive(Clone, Copy, Debug, Default)]
struct Holds {
    atomics: Option<u64>,
    exclusive: bool,
    scalable: Option<u64>,
    dots: Option<u64>,
    vectors: bool,
    detects: bool,
}

/// What the code of `elf` asks of the processor, and how many instructions were read.
pub(crate) fn judge(elf: &Elf<'_>, limits: &Limits) -> (Cpu, u64) {
    let outline = match Outline::read(elf, limits) {
        Ok(outline) => outline,
        Err(why) => return (Cpu::unknown(why), 0),
    };
    let (mut words, mut detects) = (0, outline.detects);
    let mut cpu = Cpu::default();
    let mut all: Vec<(Holds, bool, Option<String>)> = Vec::new();
    let (mut exclusives, mut vectors) = (0_usize, 0_usize);
    for function in &outline.functions {
        let length = function.length.min(4 << 20) as usize;
        let bytes = elf.content.up_to(function.offset, length);
        let mut holds = Holds::default();
        for (index, word) in bytes.chunks_exact(4).enumerate() {
            let Some(word) = u32_at(word, 0) else { break };
            look(&mut holds, word, function.address + index as u64 * 4);
            words += 1;
        }
        detects |= holds.detects;
        exclusives += usize::from(holds.exclusive && holds.atomics.is_none());
        vectors += usize::from(holds.vectors && holds.scalable.is_none());
        if holds.atomics.is_some() || holds.scalable.is_some() || holds.dots.is_some() {
            all.push((holds, function.named, function.name(elf)));
        }
    }
    let count = |of: fn(&Holds) -> bool| all.iter().filter(|(holds, ..)| of(holds)).count();
    let atomics = count(|holds| holds.atomics.is_some() && !holds.exclusive);
    let scalable = count(|holds| holds.scalable.is_some());
    let mut shown = 0;
    for (holds, named, name) in &all {
        for (level, at, built) in [
            (
                Level::Sve,
                holds.scalable,
                scalable >= 3 && scalable > vectors,
            ),
            (Level::Arm82, holds.dots, false),
            (Level::Arm81, holds.atomics, atomics >= 3 && exclusives == 0),
        ] {
            let Some(at) = at else { continue };
            let guarded =
                holds.detects || (*named && detects) || (level == Level::Arm81 && holds.exclusive);
            let (status, why) = match () {
                () if guarded => (Status::Dispatched, "another way stands beside it"),
                () if built => (Status::Required, "the whole file was built so"),
                () if !detects && outline.program => (
                    Status::Required,
                    "nothing in the program looks at the processor",
                ),
                () => (Status::Unknown, "what leads to it was not followed"),
            };
            let known = match status {
                Status::Required => cpu.required >= Some(level),
                Status::Dispatched => cpu.dispatched >= Some(level),
                Status::Unknown => shown >= 3,
            };
            if known {
                continue;
            }
            shown += usize::from(status == Status::Unknown);
            let mut evidence = Evidence::new(status, Some(level), why);
            evidence.address = Some(format!("{at:#x}"));
            evidence.function.clone_from(name);
            evidence.instruction = Some(match level {
                Level::Sve => "sve".to_owned(),
                Level::Arm82 => "dot product".to_owned(),
                _ => "atomic".to_owned(),
            });
            if status == Status::Required && level == Level::Sve {
                cpu.features.insert("sve");
            }
            cpu.show(evidence);
        }
    }
    (cpu, words)
}

fn look(holds: &mut Holds, word: u32, address: u64) {
    let first = |held: &mut Option<u64>| {
        held.get_or_insert(address);
    };
    // CAS and CASP, then LDADD to SWP. LDAPR shares their bits.
    let swap = word & 0x3fa0_7c00 == 0x08a0_7c00 || word & 0xbfa0_7c00 == 0x0820_7c00;
    let memory = word & 0x3b20_0c00 == 0x3820_0000 && word & 0xf000 != 0xc000;
    if swap || memory {
        first(&mut holds.atomics);
    } else if word & 0x3f00_0000 == 0x0800_0000 && word & 0x00a0_0000 == 0 {
        holds.exclusive = true;
    }
    let group = word >> 25 & 15;
    if group == 0b0010 {
        first(&mut holds.scalable);
    }
    if word & 0x9fe0_fc00 == 0x0e80_9400 {
        first(&mut holds.dots);
    }
    holds.vectors |= group & 7 == 7 && word >> 31 == 0;
    // MRS of an identification register.
    holds.detects |= word & 0xffff_f000 == 0xd538_0000;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instructions_are_told_by_their_bits() {
        let of = |word| {
            let mut holds = Holds::default();
            look(&mut holds, word, 4);
            holds
        };
        // ldadd w0, w1, [x2]; casal x0, x1, [x2]; swp x3, x4, [x5]
        for word in [0xb820_0041, 0xc8e0_fc41, 0xf823_80a4] {
            assert_eq!(of(word).atomics, Some(4), "{word:#x}");
        }
        // ldaxr x0, [x1]; stxr w2, x0, [x1]; ldr x0, [x1]; ldapr x0, [x1]
        for word in [0xc85f_fc20, 0xc802_7c20, 0xf940_0020, 0xf8bf_c020] {
            assert_eq!(of(word).atomics, None, "{word:#x}");
        }
        assert!(of(0xc85f_fc20).exclusive);
        // ptrue p0.b; ld1w { z0.s }, p0/z, [x0]
        assert_eq!(of(0x2518_e3e0).scalable, Some(4));
        assert_eq!(of(0xa540_a000).scalable, Some(4));
        // sdot v0.4s, v1.16b, v2.16b; add v0.4s, v1.4s, v2.4s; add x0, x1, x2
        assert_eq!(of(0x4e82_9420).dots, Some(4));
        assert!(of(0x4ea2_8420).vectors && of(0x4ea2_8420).dots.is_none());
        assert!(!of(0x8b02_0020).vectors);
        // mrs x0, id_aa64isar0_el1
        assert!(of(0xd538_0600).detects);
    }
}
