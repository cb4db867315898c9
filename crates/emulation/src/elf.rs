//! The smallest ELF files, and a mark in the head of those that are not to be emulated.

/// `e_machine` of the programs that are made or run.
pub(crate) const AMD64: u16 = 62;
pub(crate) const AARCH64: u16 = 183;
/// Where code lies in memory: a multiple of eight.
pub(crate) const CODE: u64 = BASE + HEAD as u64;

const BASE: u64 = 0x40_0000;
/// Length of both headers.
const HEAD: usize = 64 + 56;
/// The last byte of `e_ident`, which the specification leaves unused, and what it is in the
/// emulator.
pub(crate) const MARK_AT: u64 = 15;
pub(crate) const MARK: u8 = 0x4d;

/// A marked program with `code` in one segment, whose start is its first byte.
pub(crate) fn program(machine: u16, code: &[u8]) -> Vec<u8> {
    let mut file = b"\x7fELF\x02\x01\x01".to_vec();
    file.resize(15, 0);
    file.push(MARK);
    let length = (HEAD + code.len()) as u64;
    let half = |file: &mut Vec<u8>, values: &[u16]| {
        file.extend(values.iter().flat_map(|value| value.to_le_bytes()));
    };
    let word = |file: &mut Vec<u8>, values: &[u64]| {
        file.extend(values.iter().flat_map(|value| value.to_le_bytes()));
    };
    // Executable; entry, program headers, no sections.
    half(&mut file, &[2, machine, 1, 0]);
    word(&mut file, &[CODE, 64, 0]);
    half(&mut file, &[0, 0, 64, 56, 1, 0, 0, 0]);
    // One segment that is loaded, readable and executable.
    half(&mut file, &[1, 0, 5, 0]);
    word(&mut file, &[0, BASE, BASE, length, length, 4096]);
    file.extend(code);
    file
}

/// A program that ends with 0.
pub(crate) fn ends(machine: u16) -> Vec<u8> {
    let code: &[u8] = match machine {
        // mov x8, #93; mov x0, #0; svc #0
        AARCH64 => b"\xa8\x0b\x80\xd2\x00\x00\x80\xd2\x01\x00\x00\xd4",
        // mov $60,%eax; xor %edi,%edi; syscall
        _ => b"\xb8\x3c\0\0\0\x31\xff\x0f\x05",
    };
    program(machine, code)
}

/// What `binfmt_misc` is told: programs of `machine` (of any, if none), unless they are marked, are
/// led to `to`.
pub(crate) fn registration(name: &str, machine: Option<u16>, to: &str) -> String {
    let mut magic = b"\x7fELF".to_vec();
    let mut mask = vec![0xff_u8; 4];
    magic.resize(20, 0);
    mask.resize(20, 0);
    if let Some(byte) = mask.get_mut(MARK_AT as usize) {
        *byte = 0xff;
    }
    if let Some(machine) = machine {
        let [low, high] = machine.to_le_bytes();
        for (at, value, bits) in [
            (4, 2, 0xff),
            (5, 1, 0xff),
            // Executable or position-independent.
            (16, 2, 0xfe),
            (17, 0, 0xff),
            (18, low, 0xff),
            (19, high, 0xff),
        ] {
            for (bytes, byte) in [(&mut magic, value), (&mut mask, bits)] {
                if let Some(place) = bytes.get_mut(at) {
                    *place = byte;
                }
            }
        }
    }
    let text =
        |bytes: &[u8]| -> String { bytes.iter().map(|byte| format!("\\x{byte:02x}")).collect() };
    // F: it is opened now. P: the name under which a program was started is passed on.
    format!(":{name}:M:0:{}:{}:{to}:FP", text(&magic), text(&mask))
}

/// What loads the program, if it is loaded by another one.
pub(crate) fn interpreter(file: &[u8]) -> Option<String> {
    let number = |at: usize, length: usize| -> Option<usize> {
        let bytes = file.get(at..at.checked_add(length)?)?;
        let mut all = [0; 8];
        all.get_mut(..length)?.copy_from_slice(bytes);
        usize::try_from(u64::from_le_bytes(all)).ok()
    };
    let (table, size, count) = (number(32, 8)?, number(54, 2)?, number(56, 2)?);
    (0..count).find_map(|index| {
        let at = table.checked_add(index.checked_mul(size)?)?;
        if number(at, 4)? != 3 {
            return None;
        }
        let from = number(at.checked_add(8)?, 8)?;
        let length = number(at.checked_add(32)?, 8)?;
        let name = file.get(from..from.checked_add(length)?)?;
        let name = name.strip_suffix(&[0]).unwrap_or(name);
        String::from_utf8(name.to_vec()).ok()
    })
}
