//! x86 by the CPUID instruction: flags named as `/proc/cpuinfo` names them, by
//! archspec's table of bits. On a node it confirms what the kernel's file says; under
//! an emulator that shows the host's file, it knows better.
//! It does not decide a target.

use std::collections::BTreeSet;

use archspec::schema::{CpuIdFlags, CpuIdSchema, CpuRegister};

/// What CPUID returns for one leaf.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Registers {
    /// EAX.
    pub eax: u32,
    /// EBX.
    pub ebx: u32,
    /// ECX.
    pub ecx: u32,
    /// EDX.
    pub edx: u32,
}

/// CPUID's data about a processor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CpuidFacts {
    /// `AuthenticAMD`, `GenuineIntel`, ...
    pub vendor: String,
    /// As `cpu family` in `/proc/cpuinfo`.
    pub family: u32,
    /// As `model`.
    pub model: u32,
    /// As `stepping`.
    pub stepping: u32,
    /// The flags that are set, of those that archspec's table names.
    pub flags: BTreeSet<String>,
    /// The clear flags among the requested ones that the table names.
    pub clear: BTreeSet<String>,
}

/// Reads CPUID through `ask`, which takes a leaf (EAX) and a subleaf (ECX).
pub fn read_cpuid(ask: impl Fn(u32, u32) -> Registers) -> CpuidFacts {
    let schema = CpuIdSchema::schema();
    let start = ask(schema.vendor.input.eax, schema.vendor.input.ecx);
    let extended = &schema.highest_extension_support.input;
    let highest_extended = ask(extended.eax, extended.ecx).eax;
    let vendor: Vec<u8> = [start.ebx, start.edx, start.ecx]
        .iter()
        .flat_map(|word| word.to_le_bytes())
        .collect();
    let mut facts = CpuidFacts {
        vendor: String::from_utf8_lossy(&vendor).into_owned(),
        family: 0,
        model: 0,
        stepping: 0,
        flags: BTreeSet::new(),
        clear: BTreeSet::new(),
    };
    let signature = ask(1, 0).eax;
    let field = |shift: u32, mask: u32| (signature >> shift) & mask;
    let base_family = field(8, 0xf);
    facts.stepping = field(0, 0xf);
    facts.family = base_family
        + if base_family == 0xf {
            field(20, 0xff)
        } else {
            0
        };
    let extended_model = if matches!(base_family, 6 | 0xf) {
        field(16, 0xf) << 4
    } else {
        0
    };
    facts.model = extended_model + field(4, 0xf);
    let mut note = |leaves: &[CpuIdFlags], highest: u32| {
        for leaf in leaves {
            let known = leaf.input.eax <= highest;
            let found = if known {
                ask(leaf.input.eax, leaf.input.ecx)
            } else {
                Registers::default()
            };
            for bit in &leaf.bits {
                let register = match bit.register {
                    CpuRegister::Eax => found.eax,
                    CpuRegister::Ebx => found.ebx,
                    CpuRegister::Ecx => found.ecx,
                    CpuRegister::Edx => found.edx,
                };
                let set = register.checked_shr(u32::from(bit.bit)).unwrap_or(0) & 1 == 1;
                let list = if set {
                    &mut facts.flags
                } else {
                    &mut facts.clear
                };
                list.insert(bit.name.clone());
            }
        }
    };
    note(&schema.flags, start.eax);
    note(&schema.extension_flags, highest_extended);
    // A name for several bits is set when one of them is.
    facts.clear = &facts.clear - &facts.flags;
    facts
}

impl CpuidFacts {
    /// The same facts as a block of `/proc/cpuinfo`.
    #[must_use]
    pub fn as_cpuinfo(&self) -> String {
        let flags: Vec<&str> = self.flags.iter().map(String::as_str).collect();
        format!(
            "vendor_id : {}\ncpu family : {}\nmodel : {}\nstepping : {}\nflags : {}\n",
            self.vendor,
            self.family,
            self.model,
            self.stepping,
            flags.join(" ")
        )
    }
}

/// What the processor that runs this program says; `None` on other architectures.
#[cfg(target_arch = "x86_64")]
pub(crate) fn live() -> Option<CpuidFacts> {
    Some(read_cpuid(|leaf, subleaf| {
        let found = core::arch::x86_64::__cpuid_count(leaf, subleaf);
        Registers {
            eax: found.eax,
            ebx: found.ebx,
            ecx: found.ecx,
            edx: found.edx,
        }
    }))
}

/// What the processor that runs this program says; `None` on other architectures.
#[cfg(not(target_arch = "x86_64"))]
pub(crate) fn live() -> Option<CpuidFacts> {
    None
}
