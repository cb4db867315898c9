//! Random sequences of operations, done on files, in memory and on a model that a child could
//! check: all three answer the same.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::driver::Driver;
use super::step::{After, Ending, How, NAMES, OPENS, SIZES, SLOTS, SOURCES, Step};
use super::step::{given, next, range, seen, step};
use super::{Kind, digest, in_order};
use crate::content::traits::WORTH_KEEPING;

#[derive(Clone, Debug)]
struct Slot {
    how: How,
    content: usize,
    bytes: Vec<u8>,
    durable: usize,
    /// Whether it is there: only what was used is.
    there: bool,
}

/// Does the steps in maps.
#[derive(Default)]
struct Model {
    blobs: BTreeMap<String, Vec<u8>>,
    kept: BTreeMap<usize, Vec<u8>>,
    resumable: BTreeMap<(usize, usize), Vec<u8>>,
    undecided: BTreeMap<usize, String>,
    slots: [Option<Slot>; SLOTS],
    opens: [Option<Vec<u8>>; OPENS],
}

impl Model {
    fn in_use(&self, name: usize) -> bool {
        self.undecided.contains_key(&name)
            || self
                .slots
                .iter()
                .flatten()
                .any(|slot| matches!(slot.how, How::Kept(other) if other == name))
    }

    fn end(&mut self, slot: usize, ending: Ending) {
        let Some(ended) = self.slots[slot].take() else {
            return;
        };
        let mut durable = ended.durable;
        match (ended.how, ending) {
            (_, Ending::Remove) | (How::Temporary, _) => {
                if let How::Kept(name) = ended.how {
                    self.kept.remove(&name);
                }
                return;
            }
            (How::Kept(_), _) | (How::Resumable(_), Ending::Drop) => {}
            (How::Resumable(_), Ending::GiveUp) => {
                durable = ended.bytes.len();
                if durable < usize::try_from(WORTH_KEEPING).unwrap() {
                    return;
                }
            }
            (How::Resumable(_), Ending::Spoil) => return,
        }
        if let How::Resumable(source) = ended.how
            && durable > 0
        {
            let key = (source, ended.content);
            let known = self.resumable.get(&key).map_or(0, Vec::len);
            if known <= durable {
                self.resumable.insert(key, ended.bytes[..durable].to_vec());
            }
        }
    }

    fn append(&mut self, slot: usize, size: usize) -> String {
        let Some(slot) = &mut self.slots[slot] else {
            return "none".to_owned();
        };
        let len = slot.bytes.len().min(SIZES[slot.content]);
        slot.bytes.extend(next(slot.content, len, size));
        slot.there = true;
        if let How::Kept(name) = slot.how {
            self.kept.insert(name, slot.bytes.clone());
        }
        format!("{} bytes", slot.bytes.len())
    }

    fn take_back(&mut self, name: usize, digest: &str, named: bool) {
        if self.kept.contains_key(&name) {
            return;
        }
        let blob = if named {
            self.blobs.get(digest).cloned()
        } else {
            self.blobs.remove(digest)
        };
        if let Some(blob) = blob {
            self.kept.insert(name, blob);
        }
    }

    fn publish(&mut self, slot: usize, replaces: bool, after: After) -> String {
        let Some(published) = self.slots[slot].take() else {
            return "none".to_owned();
        };
        let digest = digest(&published.bytes).to_string();
        self.blobs.insert(digest.clone(), published.bytes);
        if let How::Kept(name) = published.how {
            self.kept.remove(&name);
            match after {
                After::Keep => {}
                After::TakeBack => self.take_back(name, &digest, replaces),
                After::Crash => {
                    self.undecided.insert(name, digest.clone());
                }
            }
        }
        format!("published {digest}")
    }

    #[allow(clippy::too_many_lines, reason = "one arm for each kind of step")]
    fn step(&mut self, step: &Step) -> String {
        let digest_of = |content: usize| digest(&given(content)).to_string();
        match *step {
            Step::Stage { slot, how, content } => {
                let mut bytes = Vec::new();
                if let How::Kept(name) = how {
                    if self.in_use(name) {
                        return "in use".to_owned();
                    }
                    bytes.clone_from(self.kept.entry(name).or_default());
                }
                self.end(slot, Ending::Drop);
                let len = bytes.len();
                self.slots[slot] = Some(Slot {
                    how,
                    content,
                    bytes,
                    durable: 0,
                    there: false,
                });
                format!("{len} bytes")
            }
            Step::Resume {
                slot,
                source,
                content,
            } => {
                let Some(bytes) = self.resumable.remove(&(source, content)) else {
                    return "nothing".to_owned();
                };
                self.end(slot, Ending::Drop);
                let durable = bytes.len();
                self.slots[slot] = Some(Slot {
                    how: How::Resumable(source),
                    content,
                    bytes,
                    durable,
                    there: true,
                });
                format!("{durable} bytes, {durable} durable")
            }
            Step::Append { slot, size } | Step::Ahead { slot, size } => self.append(slot, size),
            Step::End { slot, ending } => {
                if self.slots[slot].is_none() {
                    return "none".to_owned();
                }
                self.end(slot, ending);
                "ended".to_owned()
            }
            Step::Publish {
                slot,
                replaces,
                after,
            } => self.publish(slot, replaces, after),
            Step::Put { content, .. } => {
                self.blobs
                    .insert(digest_of(content), given(content).to_vec());
                "put".to_owned()
            }
            Step::Open { open, content } => {
                self.opens[open] = self.blobs.get(&digest_of(content)).cloned();
                format!("open: {}", self.opens[open].is_some())
            }
            Step::Read {
                open,
                start,
                length,
            } => match &self.opens[open] {
                Some(bytes) => digest(&bytes[range(bytes.len(), start, length)]).to_string(),
                None => "none".to_owned(),
            },
            Step::Delete(content) => {
                let gone = self.blobs.remove(&digest_of(content)).is_some();
                format!("deleted: {gone}")
            }
            Step::Quarantine(content) => {
                self.blobs.remove(&digest_of(content));
                "quarantined".to_owned()
            }
            Step::Discard(name) => {
                if self.in_use(name) {
                    return "in use".to_owned();
                }
                format!("discarded: {}", self.kept.remove(&name).is_some())
            }
            Step::List => self.list(),
            Step::Restart(keep) => {
                for slot in 0..SLOTS {
                    self.end(slot, Ending::Drop);
                }
                let kept = if keep { 2 } else { 1 };
                for (name, digest) in std::mem::take(&mut self.undecided) {
                    if name < kept {
                        self.take_back(name, &digest, false);
                    }
                }
                self.kept.retain(|name, _| *name < kept);
                self.list()
            }
        }
    }

    fn list(&self) -> String {
        let sizes = |(digest, bytes): (&String, &Vec<u8>)| (digest.clone(), bytes.len() as u64);
        let blobs = self.blobs.iter().map(sizes).collect();
        let kept = self.kept.iter();
        let kept = kept.map(|(name, bytes)| (NAMES[*name].to_owned(), bytes.len() as u64));
        let slots = self.slots.iter().flatten();
        let other = slots.filter(|slot| slot.there && !matches!(slot.how, How::Kept(_)));
        let mut resumable: BTreeMap<String, u64> = BTreeMap::new();
        for ((source, _), bytes) in &self.resumable {
            *resumable.entry(SOURCES[*source].to_owned()).or_default() += bytes.len() as u64;
        }
        let seen = seen(&blobs, &kept.collect(), other.count());
        format!("{seen}, resumable {resumable:?}")
    }
}

/// How many sequences are tried; `PROPTEST_CASES` sets another number.
fn cases() -> u32 {
    let set = std::env::var("PROPTEST_CASES").ok();
    set.and_then(|cases| cases.parse().ok()).unwrap_or(96)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases()))]

    #[test]
    fn files_and_memory_answer_as_the_model(steps in prop::collection::vec(step(), 10..60)) {
        in_order().block_on(async {
            let mut model = Model::default();
            let mut files = Driver::new(Kind::Files).await;
            let mut memory = Driver::new(Kind::Memory).await;
            for (number, step) in steps.iter().enumerate() {
                let expected = model.step(step);
                let found = files.step(step).await;
                prop_assert_eq!(&found, &expected, "files: step {} {:?}", number, step);
                let found = memory.step(step).await;
                prop_assert_eq!(&found, &expected, "memory: step {} {:?}", number, step);
            }
            prop_assert_eq!(files.list().await, model.list(), "files at the end");
            prop_assert_eq!(memory.list().await, model.list(), "memory at the end");
            Ok(())
        })?;
    }
}
