//! An ELF file with what the dynamic linker is told of it.

use std::ops::Deref;

use crate::content::Content;
use crate::elf::dynamic::Dynamic;
use crate::elf::layout::{Header, Layout};
use crate::limits::Limits;

/// A 64-bit little-endian ELF file.
#[derive(Debug)]
pub(crate) struct Elf<'c> {
    layout: Layout<'c>,
    pub(crate) dynamic: Dynamic,
}

impl<'c> Elf<'c> {
    /// Reads the tables of `content`.
    pub(crate) fn parse(content: &'c Content, header: Header, limits: &Limits) -> Self {
        let layout = Layout::parse(content, header, limits);
        let dynamic = Dynamic::read(&layout);
        Self { layout, dynamic }
    }
}

impl<'c> Deref for Elf<'c> {
    type Target = Layout<'c>;

    fn deref(&self) -> &Layout<'c> {
        &self.layout
    }
}
