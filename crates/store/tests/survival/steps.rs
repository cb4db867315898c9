//! What is done, and what fails meanwhile.

use proptest::prelude::*;

pub(crate) const IMAGES: u64 = 6;

#[derive(Clone, Copy, Debug)]
pub(crate) enum Work {
    Push(u64),
    Delete(u64),
    /// Begins an upload and sends half of a layer.
    Begin(u64),
    /// Sends the rest of an upload, and ends it.
    Finish,
    Collect,
    Scrub,
    Backup,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Failure {
    None,
    /// Killed before the step of that number.
    Kill(usize),
    /// The step of that number fails: ENOSPC or EIO.
    Fail(usize, bool),
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Step {
    Do(Work, Failure),
    /// Started anew.
    Restart,
    /// The blobs are away at a start, and come back.
    Away,
    /// They are while the store is open.
    AwayMeanwhile,
    /// Every file of that remainder is away during a scrub and a collection, and comes back.
    Some(usize),
    /// The backup's database, or its blobs, are put in the place of the present, found out, and
    /// the present ones come back.
    Half(bool),
    /// The backup is restored elsewhere and looked at.
    Restore,
}

pub(crate) fn step() -> impl Strategy<Value = Step> {
    let work = prop_oneof![
        4 => (0..IMAGES).prop_map(Work::Push),
        1 => (0..IMAGES).prop_map(Work::Delete),
        2 => (0..IMAGES).prop_map(Work::Begin),
        2 => Just(Work::Finish),
        1 => Just(Work::Collect),
        1 => Just(Work::Scrub),
        1 => Just(Work::Backup),
    ];
    let failure = prop_oneof![
        3 => Just(Failure::None),
        3 => (0..8_usize).prop_map(Failure::Kill),
        2 => (0..8_usize, any::<bool>()).prop_map(|(step, full)| Failure::Fail(step, full)),
    ];
    prop_oneof![
        12 => (work, failure).prop_map(|(work, failure)| Step::Do(work, failure)),
        1 => Just(Step::Restart),
        1 => Just(Step::Away),
        1 => Just(Step::AwayMeanwhile),
        1 => (1..4_usize).prop_map(Step::Some),
        1 => any::<bool>().prop_map(Step::Half),
        1 => Just(Step::Restore),
    ]
}
