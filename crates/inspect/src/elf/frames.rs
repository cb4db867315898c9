//! Where functions begin and end by `.eh_frame`, which stripped files keep (Linux Standard Base,
//! "Exception Frames").

use std::collections::HashMap;

use crate::bytes::{u16_at, u32_at, u64_at};
use crate::elf::layout::Layout;

/// Bytes that are read at once.
const WINDOW: usize = 256 * 1024;
/// Longest record that is looked at, in bytes.
const RECORD: usize = 4096;
/// Encodings that are remembered.
const COMMON: usize = 4096;

/// Calls `each` with the address and the length of every function, until it answers false.
pub(crate) fn frames(elf: &Layout<'_>, mut each: impl FnMut(u64, u64) -> bool) {
    let Some((address, offset, size)) = place(elf) else {
        return;
    };
    let mut encodings: HashMap<u64, Option<u8>> = HashMap::new();
    let mut window = Window::default();
    let mut at = 0_u64;
    while at + 8 <= size {
        let record = window.at(elf, offset, size, at);
        let Some(length) = u32_at(record, 0) else {
            return;
        };
        if length == 0 || length == 0xffff_ffff {
            return;
        }
        let length = u64::from(length);
        let body = record.get(4..).unwrap_or_default();
        let id = u32_at(body, 0).unwrap_or_default();
        if id == 0 {
            if encodings.len() < COMMON {
                encodings.insert(at, encoding(body));
            }
        } else if let Some(common) = (at + 4).checked_sub(u64::from(id))
            && let Some(Some(encoding)) = encodings.get(&common)
            && let Some((start, length)) = range(body, *encoding, address.wrapping_add(at + 8))
            && !each(start, length)
        {
            return;
        }
        at += 4 + length;
    }
}

/// Address, offset and size of `.eh_frame`.
fn place(elf: &Layout<'_>) -> Option<(u64, u64, u64)> {
    if let Some(section) = elf.section(".eh_frame") {
        return Some((section.address, section.offset, section.size));
    }
    let header = elf.frame_header()?;
    let bytes = elf.content.up_to(header.offset, 8);
    // Version 1, and a pointer that is four bytes from where it stands.
    if bytes.first() != Some(&1) || bytes.get(1) != Some(&0x1b) {
        return None;
    }
    let step = u32_at(&bytes, 4)? as i32;
    let address = header
        .address
        .wrapping_add(4)
        .wrapping_add_signed(i64::from(step));
    let offset = elf.offset(address)?;
    let segment = elf.segments.iter().find(|segment| {
        let within = address.checked_sub(segment.address);
        segment.kind == 1 && within.is_some_and(|within| within < segment.size)
    })?;
    Some((address, offset, segment.size - (address - segment.address)))
}

#[derive(Default)]
struct Window {
    bytes: Vec<u8>,
    start: u64,
}

impl Window {
    /// The bytes from `at` on, at least a record's beginning of them.
    fn at(&mut self, elf: &Layout<'_>, offset: u64, size: u64, at: u64) -> &[u8] {
        let end = self.start + self.bytes.len() as u64;
        if at < self.start || (at + RECORD as u64 > end && end < size) {
            let length = (size - at).min(WINDOW as u64) as usize;
            self.bytes = offset
                .checked_add(at)
                .map(|offset| elf.content.up_to(offset, length).into_owned())
                .unwrap_or_default();
            self.start = at;
        }
        self.bytes
            .get((at - self.start) as usize..)
            .unwrap_or_default()
    }
}

/// How the addresses of the functions are written, by what their records have in common.
fn encoding(body: &[u8]) -> Option<u8> {
    let mut at = 5;
    let end = body
        .get(at..)?
        .iter()
        .take(16)
        .position(|byte| *byte == 0)?;
    let augmentation = body.get(at..at + end)?;
    at += end + 1;
    let mut skip = || {
        for _ in 0..10 {
            let byte = *body.get(at)?;
            at += 1;
            if byte & 0x80 == 0 {
                return Some(());
            }
        }
        None
    };
    // Alignments and the return register.
    (0..3).try_for_each(|_| skip())?;
    let Some(letters) = augmentation.strip_prefix(b"z") else {
        return augmentation.is_empty().then_some(0);
    };
    skip()?;
    for letter in letters {
        match letter {
            b'R' => return body.get(at).copied(),
            b'L' => at += 1,
            b'P' => {
                let encoding = *body.get(at)?;
                at += 1 + width(encoding)?;
            }
            b'S' | b'B' => {}
            _ => return None,
        }
    }
    Some(0)
}

fn width(encoding: u8) -> Option<usize> {
    Some(match encoding & 15 {
        0 | 4 | 12 => 8,
        3 | 11 => 4,
        2 | 10 => 2,
        _ => return None,
    })
}

/// The function of a record; `place` is the address of the pointer in it.
fn range(body: &[u8], encoding: u8, place: u64) -> Option<(u64, u64)> {
    let width = width(encoding)?;
    let number = |at: usize| match encoding & 15 {
        0 | 4 | 12 => u64_at(body, at),
        3 => u32_at(body, at).map(u64::from),
        11 => u32_at(body, at).map(|number| number as i32 as u64),
        2 => u16_at(body, at).map(u64::from),
        _ => u16_at(body, at).map(|number| number as i16 as u64),
    };
    let start = number(4)?;
    let length = match encoding & 15 {
        11 => u32_at(body, 4 + width).map(u64::from),
        10 => u16_at(body, 4 + width).map(u64::from),
        _ => number(4 + width),
    }?;
    let start = match encoding & 0x70 {
        0 => start,
        0x10 => place.wrapping_add(start),
        _ => return None,
    };
    Some((start, length))
}
