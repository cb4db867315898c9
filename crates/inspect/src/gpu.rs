//! GPU code in files: CUDA's fat binaries (cuobjdump agrees), ROCm's offload bundles (clang,
//! "Offload Bundler") and code objects of both.

use std::collections::BTreeSet;

use crate::answer::Gpu;
use crate::bytes::{u16_at, u32_at, u64_at};
use crate::content::Content;
use crate::elf::Elf;

/// Begins a container of CUDA code.
const FATBIN: u32 = 0xba55_ed50;
/// Begins a bundle of ROCm code.
const BUNDLE: &[u8] = b"__CLANG_OFFLOAD_BUNDLE__";
/// Begins a compressed one.
const COMPRESSED: &[u8] = b"CCOB";
/// Most code objects of one file.
const MOST: usize = 100_000;
/// Bytes that are searched at once.
const WINDOW: usize = 1 << 20;
/// ELF machines of the two.
const CUDA: u16 = 190;
const AMDGPU: u16 = 224;

impl Gpu {
    /// Whether there is any.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.cuda.is_empty() && self.rocm.is_empty() && self.unread.is_none()
    }

    /// Whether the first bytes of a file are of GPU code outside of a program.
    pub(crate) fn begins(bytes: &[u8]) -> bool {
        u32_at(bytes, 0) == Some(FATBIN)
            || bytes.starts_with(BUNDLE)
            || (bytes.starts_with(COMPRESSED) && matches!(u16_at(bytes, 4), Some(1..=3)))
    }

    /// GPU code of a program for CPUs.
    pub(crate) fn of_program(elf: &Elf<'_>) -> Self {
        let mut gpu = Self::default();
        for section in &elf.sections {
            match section.name.as_str() {
                ".nv_fatbin" | "__nv_relfatbin" => {
                    gpu.containers(elf.content, section.offset, section.size);
                }
                ".hip_fatbin" => gpu.bundles(elf.content, section.offset, section.size),
                _ => {}
            }
        }
        gpu
    }

    /// GPU code that is a file of its own; `None` if it is none.
    pub(crate) fn of_file(content: &Content, machine: Option<u16>) -> Option<Self> {
        let mut gpu = Self::default();
        let head = content.up_to(0, 64);
        match machine {
            Some(CUDA) => gpu.cuda.extend(cubin(&head)),
            Some(AMDGPU) => {
                let flags = u32_at(&head, 48)?;
                match gfx(flags & 0xff) {
                    Some(name) => drop(gpu.rocm.insert(name.to_owned())),
                    None => gpu.fail("a code object for an AMD processor that is not known"),
                }
            }
            Some(_) => return None,
            None if u32_at(&head, 0) == Some(FATBIN) => gpu.containers(content, 0, content.size()),
            None => gpu.bundles(content, 0, content.size()),
        }
        Some(gpu)
    }

    fn fail(&mut self, why: &str) {
        self.unread.get_or_insert_with(|| why.to_owned());
    }

    fn containers(&mut self, content: &Content, offset: u64, size: u64) {
        let Some(end) = offset
            .checked_add(size)
            .filter(|end| *end <= content.size())
        else {
            self.fail("it ends within its CUDA code");
            return;
        };
        let mut at = offset;
        let mut left = MOST;
        while at + 16 <= end && left > 0 {
            let head = content.up_to(at, 16);
            if u32_at(&head, 0) != Some(FATBIN) {
                // Containers are aligned; zeros lie between them.
                at += 8;
                left -= usize::from(head.iter().any(|byte| *byte != 0));
                continue;
            }
            let header = u64::from(u16_at(&head, 6).unwrap_or_default());
            let length = u64_at(&head, 8).unwrap_or_default();
            let stop = at.saturating_add(header).saturating_add(length).min(end);
            let mut entry = at.saturating_add(header);
            while entry + 64 <= stop && left > 0 {
                left -= 1;
                let bytes = content.up_to(entry, 64);
                self.entry(&bytes);
                let (head, body) = (u32_at(&bytes, 4), u64_at(&bytes, 8));
                let step =
                    u64::from(head.unwrap_or_default()).saturating_add(body.unwrap_or_default());
                if step == 0 {
                    break;
                }
                entry = entry.saturating_add(step);
            }
            at = stop.max(at + 16).next_multiple_of(8);
        }
        if left == 0 {
            self.fail("it holds more CUDA code objects than are read");
        }
    }

    fn entry(&mut self, bytes: &[u8]) {
        let number = |at| u16_at(bytes, at).unwrap_or_default();
        let Some(processor @ 10..=999) = u32_at(bytes, 28) else {
            return;
        };
        let flags = u64_at(bytes, 40).unwrap_or_default();
        let variant = match () {
            () if flags & 0x10_0000 != 0 => "a",
            () if flags & 0x20_0000 != 0 => "f",
            () => "",
        };
        match number(0) {
            1 => {
                self.cuda.insert(format!("compute_{processor}{variant}"));
                let (minor, major) = (number(24), number(26));
                let found = (major, minor);
                let held = self.ptx.as_deref().and_then(version);
                if major > 0 && held.is_none_or(|held| held < found) {
                    self.ptx = Some(format!("{major}.{minor}"));
                }
            }
            2 => {
                self.cuda.insert(format!("sm_{processor}{variant}"));
            }
            _ => {}
        }
    }

    fn bundles(&mut self, content: &Content, offset: u64, size: u64) {
        let Some(end) = offset
            .checked_add(size)
            .filter(|end| *end <= content.size())
        else {
            self.fail("it ends within its ROCm code");
            return;
        };
        let mut at = offset;
        let mut left = MOST;
        while at < end && left > 0 {
            let head = content.up_to(at, 32);
            if head.starts_with(BUNDLE) {
                left -= 1;
                let length = self.bundle(content, at, end).unwrap_or(BUNDLE.len() as u64);
                at = at.saturating_add(length.max(BUNDLE.len() as u64));
            } else if head.starts_with(COMPRESSED) {
                left -= 1;
                self.fail("its ROCm code is compressed");
                let total = match u16_at(&head, 4) {
                    Some(2) => u32_at(&head, 8).map(u64::from),
                    Some(3) => u64_at(&head, 8),
                    _ => None,
                };
                at = at.saturating_add(total.unwrap_or(32).max(32));
            }
            match next(content, at, end) {
                Some(found) => at = found,
                None => return,
            }
        }
    }

    /// One bundle; how long it is.
    fn bundle(&mut self, content: &Content, at: u64, end: u64) -> Option<u64> {
        let count = u64_at(&content.up_to(at + 24, 8), 0)?;
        let mut entry = at + 32;
        let mut length = 0;
        for _ in 0..count.min(1000) {
            let head = content.up_to(entry, 24);
            let (offset, size) = (u64_at(&head, 0)?, u64_at(&head, 8)?);
            let name = u64_at(&head, 16).filter(|length| *length <= 256)?;
            if entry + 24 + name > end {
                return None;
            }
            let text = content.up_to(entry + 24, name as usize);
            let text = String::from_utf8_lossy(&text);
            // hip-amdgcn-amd-amdhsa--gfx90a:sramecc+:xnack-, also with hipv4
            if let Some((kind, processor)) = text.split_once("amdhsa-")
                && kind.contains("amdgcn")
                && let Some(at) = processor.find("gfx")
            {
                self.rocm.extend(processor.get(at..).map(str::to_owned));
            }
            length = length.max(offset.saturating_add(size));
            entry += 24 + name;
        }
        Some(length.max(entry - at))
    }
}

/// Where the next bundle begins, at `at` or behind it.
fn next(content: &Content, mut at: u64, end: u64) -> Option<u64> {
    while at + 4 <= end {
        let length = (end - at).min(WINDOW as u64) as usize;
        let bytes = content.up_to(at, length);
        let found = bytes.windows(4).position(|window| {
            window == COMPRESSED || BUNDLE.starts_with(window) && window == b"__CL"
        });
        if let Some(found) = found {
            let place = at + found as u64;
            let head = content.up_to(place, 32);
            if head.starts_with(BUNDLE)
                || (head.starts_with(COMPRESSED) && matches!(u16_at(&head, 4), Some(1..=3)))
            {
                return Some(place);
            }
            at = place + 1;
            continue;
        }
        if (length as u64) < 4 || at + length as u64 >= end {
            return None;
        }
        at += length as u64 - 3;
    }
    None
}

fn version(text: &str) -> Option<(u16, u16)> {
    let (major, minor) = text.split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

/// The processor of a CUDA code object by its ELF header.
fn cubin(head: &[u8]) -> Option<String> {
    let flags = u32_at(head, 48)?;
    // Newer ones say so by their ABI, and hold it one byte further.
    let number = if head.get(7) == Some(&0x41) {
        flags >> 8 & 0xff
    } else {
        flags & 0xff
    };
    (20..=150).contains(&number).then(|| format!("sm_{number}"))
}

/// AMD's processors by `EF_AMDGPU_MACH` (LLVM, "User Guide for AMDGPU Backend").
fn gfx(machine: u32) -> Option<&'static str> {
    Some(match machine {
        0x20 => "gfx600",
        0x21 => "gfx601",
        0x22 => "gfx700",
        0x23 => "gfx701",
        0x24 => "gfx702",
        0x25 => "gfx703",
        0x26 => "gfx704",
        0x28 => "gfx801",
        0x29 => "gfx802",
        0x2a => "gfx803",
        0x2b => "gfx810",
        0x2c => "gfx900",
        0x2d => "gfx902",
        0x2e => "gfx904",
        0x2f => "gfx906",
        0x30 => "gfx908",
        0x31 => "gfx909",
        0x32 => "gfx90c",
        0x33 => "gfx1010",
        0x34 => "gfx1011",
        0x35 => "gfx1012",
        0x36 => "gfx1030",
        0x37 => "gfx1031",
        0x38 => "gfx1032",
        0x39 => "gfx1033",
        0x3a => "gfx602",
        0x3b => "gfx705",
        0x3c => "gfx805",
        0x3d => "gfx1035",
        0x3e => "gfx1034",
        0x3f => "gfx90a",
        0x40 => "gfx940",
        0x41 => "gfx1100",
        0x42 => "gfx1013",
        0x43 => "gfx1150",
        0x44 => "gfx1103",
        0x45 => "gfx1036",
        0x46 => "gfx1101",
        0x47 => "gfx1102",
        0x48 => "gfx1200",
        0x4a => "gfx1151",
        0x4b => "gfx941",
        0x4c => "gfx942",
        0x4e => "gfx1201",
        0x4f => "gfx950",
        _ => return None,
    })
}

/// What GPU code of a whole image is.
pub(crate) fn join(into: &mut Gpu, from: &Gpu) {
    into.cuda.extend(from.cuda.iter().cloned());
    let names: BTreeSet<String> = from.rocm.iter().cloned().collect();
    into.rocm.extend(names);
    if from.ptx.as_deref().and_then(version) > into.ptx.as_deref().and_then(version) {
        into.ptx.clone_from(&from.ptx);
    }
    if into.unread.is_none() {
        into.unread.clone_from(&from.unread);
    }
}
