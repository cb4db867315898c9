//! Minimal static ELF64 executables that print one text: what the demo images run.
//!
//! Machine code is assembled here, instruction by instruction, so that a demo image needs neither
//! a compiler nor a base image. Never a general assembler, never more than one program.
//! Layout by the System V ABI: ELF header, two program headers, code, text, all in one segment.

use crate::DemoError;

/// Where the kernel maps the file: the customary address of x86-64 and arm64 executables.
const BASE: u64 = 0x40_0000;
/// Segment alignment in bytes. arm64 kernels may use pages of 64 KiB; a multiple fits all others.
const ALIGN: u64 = 0x1_0000;
const EHDR_BYTES: u16 = 64;
const PHDR_BYTES: u16 = 56;
const PROGRAM_HEADERS: u16 = 2;
/// Offset of the first instruction in the file.
const CODE: u64 = 64 + 2 * 56;

const PT_LOAD: u32 = 1;
const PT_GNU_STACK: u32 = 0x6474_e551;
const READ: u32 = 4;
const WRITE: u32 = 2;
const EXECUTE: u32 = 1;

/// An instruction set that demo programs are made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Machine {
    /// x86-64, any of it: the code uses nothing beyond the first such CPU.
    X86_64,
    /// 64-bit Arm, little-endian.
    Aarch64,
}

impl Machine {
    /// The name in image documents (Go's `GOARCH`).
    #[must_use]
    pub const fn architecture(self) -> &'static str {
        match self {
            Self::X86_64 => "amd64",
            Self::Aarch64 => "arm64",
        }
    }

    /// The name that `uname -m` prints.
    #[must_use]
    pub const fn uname(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64",
            Self::Aarch64 => "aarch64",
        }
    }

    /// `e_machine` of the ELF header.
    const fn elf_number(self) -> u16 {
        match self {
            Self::X86_64 => 62,
            Self::Aarch64 => 183,
        }
    }
}

/// The bytes of a static Linux executable that writes `text` to standard output, whatever its
/// arguments, and exits 0; or exits 1 if the text cannot be written.
///
/// # Errors
/// [`DemoError::TextTooLong`] for a text of more than 65,535 bytes.
pub fn executable(machine: Machine, text: &str) -> Result<Vec<u8>, DemoError> {
    let length = u16::try_from(text.len()).map_err(|_| DemoError::TextTooLong(text.len()))?;
    let code = match machine {
        Machine::X86_64 => x86_64(length),
        Machine::Aarch64 => aarch64(length),
    };
    let size = CODE + code.len() as u64 + u64::from(length);
    let mut file = Vec::new();
    header(&mut file, machine);
    program_header(&mut file, PT_LOAD, READ | EXECUTE, BASE, size, ALIGN);
    // Without this entry, kernels give the program an executable stack.
    program_header(&mut file, PT_GNU_STACK, READ | WRITE, 0, 0, 16);
    file.extend(code);
    file.extend(text.as_bytes());
    Ok(file)
}

fn header(file: &mut Vec<u8>, machine: Machine) {
    // Magic, 64 bits, little-endian, version 1, System V, padding.
    file.extend(b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0");
    file.extend(2_u16.to_le_bytes()); // e_type: ET_EXEC
    file.extend(machine.elf_number().to_le_bytes());
    file.extend(1_u32.to_le_bytes()); // e_version
    file.extend((BASE + CODE).to_le_bytes()); // e_entry
    file.extend(u64::from(EHDR_BYTES).to_le_bytes()); // e_phoff
    file.extend(0_u64.to_le_bytes()); // e_shoff: no sections
    file.extend(0_u32.to_le_bytes()); // e_flags
    for half in [EHDR_BYTES, PHDR_BYTES, PROGRAM_HEADERS, 64, 0, 0] {
        file.extend(half.to_le_bytes()); // e_ehsize … e_shstrndx
    }
}

fn program_header(file: &mut Vec<u8>, kind: u32, flags: u32, address: u64, size: u64, align: u64) {
    file.extend(kind.to_le_bytes());
    file.extend(flags.to_le_bytes());
    // Offset in the file, virtual address, physical address, size in the file, size in memory.
    for word in [0, address, address, size, size, align] {
        file.extend(word.to_le_bytes());
    }
}

/// The program for x86-64. `syscall` leaves every register but rax, rcx and r11 alone, so rsi and
/// rdx carry what is left to write from turn to turn.
fn x86_64(length: u16) -> Vec<u8> {
    const CODE_BYTES: u32 = 55;
    const AFTER_LEA: u32 = 7;
    let mut code = Vec::new();
    code.extend(b"\x48\x8d\x35"); //            lea rsi, [rip + text]
    code.extend((CODE_BYTES - AFTER_LEA).to_le_bytes());
    code.push(0xba); //                         mov edx, length
    code.extend(u32::from(length).to_le_bytes());
    code.extend(b"\x85\xd2"); //                test edx, edx
    code.extend(b"\x74\x19"); //                jz done
    code.extend(b"\xb8\x01\0\0\0"); // again:   mov eax, 1 (write)
    code.extend(b"\xbf\x01\0\0\0"); //          mov edi, 1 (standard output)
    code.extend(b"\x0f\x05"); //                syscall
    code.extend(b"\x48\x85\xc0"); //            test rax, rax
    code.extend(b"\x7e\x11"); //                jle failed
    code.extend(b"\x48\x01\xc6"); //            add rsi, rax
    code.extend(b"\x48\x29\xc2"); //            sub rdx, rax
    code.extend(b"\x75\xe7"); //                jnz again
    code.extend(b"\x31\xff"); //        done:   xor edi, edi
    code.extend(b"\xb8\x3c\0\0\0"); //  exit:   mov eax, 60 (exit)
    code.extend(b"\x0f\x05"); //                syscall
    code.extend(b"\x6a\x01\x5f"); //    failed: push 1; pop rdi
    code.extend(b"\xeb\xf4"); //                jmp exit
    code
}

/// The program for 64-bit Arm. `svc` leaves every register but x0 alone.
fn aarch64(length: u16) -> Vec<u8> {
    const INSTRUCTIONS: u32 = 16;
    const X0: u32 = 0;
    const X1: u32 = 1;
    const X2: u32 = 2;
    const X8: u32 = 8;
    const SVC: u32 = 0xd400_0001;
    const LE: u32 = 13;
    const NE: u32 = 1;
    let mov = |register: u32, value: u32| 0xd280_0000 | (value << 5) | register;
    // Branch distances are in instructions from the branch itself, 19 bits.
    let distance = |instructions: i32| (instructions.cast_unsigned() & 0x7_ffff) << 5;
    let b_if = |condition: u32, to: i32| 0x5400_0000 | distance(to) | condition;
    let instructions: [u32; INSTRUCTIONS as usize] = [
        0x1000_0000 | (INSTRUCTIONS << 5) | X1, //   0         adr x1, text
        mov(X2, u32::from(length)),             //   1         mov x2, length
        0xb400_0000 | distance(9) | X2,         //   2         cbz x2, done
        mov(X0, 1),                             //   3 again:  mov x0, 1 (standard output)
        mov(X8, 64),                            //   4         mov x8, 64 (write)
        SVC,                                    //   5         svc 0
        0xf100_001f,                            //   6         cmp x0, 0
        b_if(LE, 7),                            //   7         b.le failed
        0x8b00_0021,                            //   8         add x1, x1, x0
        0xeb00_0042,                            //   9         subs x2, x2, x0
        b_if(NE, -7),                           //  10         b.ne again
        mov(X0, 0),                             //  11 done:   mov x0, 0
        mov(X8, 93),                            //  12 exit:   mov x8, 93 (exit)
        SVC,                                    //  13         svc 0
        mov(X0, 1),                             //  14 failed: mov x0, 1
        0x17ff_fffd,                            //  15         b exit
    ];
    instructions
        .into_iter()
        .flat_map(u32::to_le_bytes)
        .collect()
}
