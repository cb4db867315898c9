//! The settings of a layer build.

use super::tree::{Entry, Kind};

/// How a layer is compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compression {
    /// gzip, which every engine reads.
    #[default]
    Gzip,
    /// zstd, which is smaller and faster; Docker reads it from version 23 on.
    Zstd,
}

/// How a layer is built.
#[derive(Clone, Debug, Default)]
pub struct LayerSettings {
    /// The compression.
    pub compression: Compression,
    /// The time of all entries, in seconds since 1970.
    pub mtime: u64,
    /// The user and the group that own all entries.
    pub owner: (u32, u32),
    /// Whether modes are reduced to what Git keeps: 0755 for folders and for files that their
    /// owner may run, 0644 for other files. As they are, otherwise.
    pub normal_modes: bool,
}

impl LayerSettings {
    pub(super) fn mode(&self, entry: &Entry) -> u32 {
        match entry.kind {
            Kind::Symlink(_) => 0o777,
            _ if !self.normal_modes => entry.mode,
            Kind::Folder => 0o755,
            _ if entry.mode & 0o100 != 0 => 0o755,
            _ => 0o644,
        }
    }
}
