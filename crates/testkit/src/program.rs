//! Programs of a few instructions, and layers that hold them, for tests of what code needs.

/// Exits with 0 on every x86-64 processor.
pub const PLAIN: &[u8] = &[];
/// `vpaddd ymm0, ymm0, ymm0`: AVX2.
pub const AVX2: &[u8] = &[0xc5, 0xfd, 0xfe, 0xc0];
/// `vpaddd zmm0, zmm0, zmm0`: AVX-512.
pub const AVX512: &[u8] = &[0x62, 0xf1, 0x7d, 0x48, 0xfe, 0xc0];

/// `mov eax, 60; xor edi, edi; syscall`.
const EXIT: &[u8] = &[0xb8, 60, 0, 0, 0, 0x31, 0xff, 0x0f, 0x05];
/// The program's address in memory.
const BASE: u64 = 0x0040_0000;
/// Bytes of the file's header and its one segment's.
const HEADERS: u64 = 64 + 56;

/// A static x86-64 program that runs `instructions` and exits with 0.
#[must_use]
pub fn program(instructions: &[u8]) -> Vec<u8> {
    let size = HEADERS + (instructions.len() + EXIT.len()) as u64;
    let mut file = Vec::new();
    file.extend([0x7f, b'E', b'L', b'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    // An executable for x86-64, of version 1.
    file.extend([2, 0, 62, 0, 1, 0, 0, 0]);
    for word in [BASE + HEADERS, 64, 0] {
        file.extend(word.to_le_bytes());
    }
    // No flags; sizes of the headers, of which there is one for a segment and none for sections.
    for half in [0_u16, 0, 64, 56, 1, 64, 0, 0] {
        file.extend(half.to_le_bytes());
    }
    // A segment to load that may be read and executed.
    file.extend([1, 0, 0, 0, 5, 0, 0, 0]);
    for word in [0, BASE, BASE, size, size, 4096] {
        file.extend(word.to_le_bytes());
    }
    file.extend(instructions);
    file.extend(EXIT);
    file
}

/// An uncompressed layer of files, each with its path and content.
///
/// # Panics
/// A path of more than 99 bytes.
#[must_use]
pub fn layer(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut archive = Vec::new();
    for (path, content) in files {
        assert!(path.len() < 100, "{path} is too long for these tests");
        let mut header = [0_u8; 512];
        let mut put = |at: usize, bytes: &[u8]| header[at..at + bytes.len()].copy_from_slice(bytes);
        put(0, path.as_bytes());
        put(100, b"0000755\0");
        put(108, b"0000000\0");
        put(116, b"0000000\0");
        put(124, format!("{:011o}\0", content.len()).as_bytes());
        put(136, b"00000000000\0");
        put(148, b"        ");
        put(156, b"0");
        put(257, b"ustar\x0000");
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        archive.extend(header);
        archive.extend(*content);
        archive.resize(archive.len().next_multiple_of(512), 0);
    }
    archive.resize(archive.len() + 1024, 0);
    archive
}
