//! What a run uses, measured from outside: memory of all its programs, and room on the disk.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

/// Bytes of a page on the machines where programs are run.
const PAGE: u64 = 4096;

/// Bytes of memory that `parent` and all that descends from it have. Nothing of a process that just
/// ended.
pub(crate) fn memory(parent: u32) -> u64 {
    let mut children: HashMap<u32, Vec<u32>> = HashMap::new();
    let numbers = fs::read_dir("/proc").into_iter().flatten().flatten();
    for number in numbers.filter_map(|entry| entry.file_name().to_str()?.parse().ok()) {
        let stat = fs::read_to_string(format!("/proc/{number}/stat")).unwrap_or_default();
        // The name, in brackets, may hold anything.
        let after = stat.rsplit_once(')').map(|(_, rest)| rest);
        let parent = after.and_then(|rest| rest.split_whitespace().nth(1)?.parse().ok());
        children
            .entry(parent.unwrap_or_default())
            .or_default()
            .push(number);
    }
    let mut next = vec![parent];
    let mut pages = 0_u64;
    while let Some(number) = next.pop() {
        let statm = fs::read_to_string(format!("/proc/{number}/statm")).unwrap_or_default();
        let resident = statm
            .split_whitespace()
            .nth(1)
            .and_then(|text| text.parse().ok());
        pages = pages.saturating_add(resident.unwrap_or(0));
        next.extend(children.remove(&number).into_iter().flatten());
    }
    pages.saturating_mul(PAGE)
}

/// Bytes that are free on the disk of `folder`.
pub(crate) fn free(folder: &Path) -> u64 {
    rustix::fs::statvfs(folder).map_or(0, |disk| disk.f_bavail.saturating_mul(disk.f_frsize))
}
