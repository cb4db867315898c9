//! The steps of a sequence.

use std::collections::BTreeMap;

use bytes::Bytes;
use proptest::prelude::*;

use super::bytes;

/// The contents that are received.
pub(super) const SIZES: [usize; 4] = [0, 1, 70_000, 600_000];
pub(super) const SOURCES: [&str; 2] = ["ghcr.io", "quay.io"];
pub(super) const NAMES: [&str; 2] = ["upload-a", "upload-b"];
pub(super) const SLOTS: usize = 2;
pub(super) const OPENS: usize = 2;

#[derive(Clone, Copy, Debug)]
pub(super) enum How {
    Temporary,
    Resumable(usize),
    Kept(usize),
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Ending {
    Drop,
    GiveUp,
    Spoil,
    Remove,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum After {
    Keep,
    TakeBack,
    Crash,
}

#[derive(Clone, Debug)]
pub(super) enum Step {
    Stage {
        slot: usize,
        how: How,
        content: usize,
    },
    Resume {
        slot: usize,
        source: usize,
        content: usize,
    },
    Append {
        slot: usize,
        size: usize,
    },
    Ahead {
        slot: usize,
        size: usize,
    },
    End {
        slot: usize,
        ending: Ending,
    },
    Publish {
        slot: usize,
        replaces: bool,
        after: After,
    },
    Put {
        content: usize,
        replaces: bool,
    },
    Open {
        open: usize,
        content: usize,
    },
    Read {
        open: usize,
        start: usize,
        length: usize,
    },
    Delete(usize),
    Quarantine(usize),
    Discard(usize),
    List,
    Restart(bool),
}

pub(super) fn step() -> impl Strategy<Value = Step> {
    let slot = 0..SLOTS;
    // Most often the one that is large enough to be resumed.
    let content = prop_oneof![1 => 0..SIZES.len(), 2 => Just(3_usize)];
    let how = prop_oneof![
        1 => Just(How::Temporary),
        3 => (0..SOURCES.len()).prop_map(How::Resumable),
        2 => (0..NAMES.len()).prop_map(How::Kept),
    ];
    let ending = prop_oneof![
        3 => Just(Ending::Drop),
        3 => Just(Ending::GiveUp),
        1 => Just(Ending::Spoil),
        1 => Just(Ending::Remove),
    ];
    let after = prop_oneof![Just(After::Keep), Just(After::TakeBack), Just(After::Crash)];
    let size = prop_oneof![1 => 1..1000usize, 3 => 150_000..700_000usize];
    prop_oneof![
        4 => (slot.clone(), how, content.clone())
            .prop_map(|(slot, how, content)| Step::Stage { slot, how, content }),
        2 => (slot.clone(), 0..SOURCES.len(), content.clone())
            .prop_map(|(slot, source, content)| Step::Resume { slot, source, content }),
        8 => (slot.clone(), size.clone()).prop_map(|(slot, size)| Step::Append { slot, size }),
        2 => (slot.clone(), size).prop_map(|(slot, size)| Step::Ahead { slot, size }),
        3 => (slot.clone(), ending).prop_map(|(slot, ending)| Step::End { slot, ending }),
        5 => (slot, any::<bool>(), after)
            .prop_map(|(slot, replaces, after)| Step::Publish { slot, replaces, after }),
        1 => (content.clone(), any::<bool>())
            .prop_map(|(content, replaces)| Step::Put { content, replaces }),
        3 => (0..OPENS, content.clone()).prop_map(|(open, content)| Step::Open { open, content }),
        3 => (0..OPENS, 0..700_000usize, 0..700_000usize)
            .prop_map(|(open, start, length)| Step::Read { open, start, length }),
        2 => content.clone().prop_map(Step::Delete),
        1 => content.prop_map(Step::Quarantine),
        1 => (0..NAMES.len()).prop_map(Step::Discard),
        3 => Just(Step::List),
        1 => any::<bool>().prop_map(Step::Restart),
    ]
}

pub(super) fn given(content: usize) -> Bytes {
    bytes(content as u64 + 1, SIZES[content])
}

/// The next bytes of a content; nothing follows its end.
pub(super) fn next(content: usize, len: usize, size: usize) -> Bytes {
    let given = given(content);
    given.slice(len..given.len().min(len + size))
}

pub(super) fn range(size: usize, start: usize, length: usize) -> std::ops::Range<usize> {
    let start = start.min(size);
    start..size.min(start + length)
}

/// What is seen of a store's content as a whole.
pub(super) fn seen(
    blobs: &BTreeMap<String, u64>,
    kept: &BTreeMap<String, u64>,
    other: usize,
) -> String {
    format!("blobs {blobs:?}, kept {kept:?}, {other} others")
}
