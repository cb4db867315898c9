//! Random sequences of operations, done on files, in memory and on a model that a child could
//! check: all three answer the same.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use bytes::Bytes;
use futures_util::TryStreamExt as _;
use metahub_oci::{Algorithm, Digest};
use proptest::prelude::*;

use super::{Kind, Subject, bytes, digest, in_order};
use crate::content::source::Opened;
use crate::content::traits::{Partition, Placing, Stage, Staging, WORTH_KEEPING};

/// The contents that are received.
const SIZES: [usize; 4] = [0, 1, 70_000, 600_000];
const SOURCES: [&str; 2] = ["ghcr.io", "quay.io"];
const NAMES: [&str; 2] = ["upload-a", "upload-b"];
const SLOTS: usize = 3;
const OPENS: usize = 2;

#[derive(Clone, Copy, Debug)]
enum How {
    Temporary,
    Resumable(usize),
    Kept(usize),
}

#[derive(Clone, Copy, Debug)]
enum Ending {
    Drop,
    GiveUp,
    Spoil,
    Remove,
}

#[derive(Clone, Copy, Debug)]
enum After {
    Keep,
    TakeBack,
    Crash,
}

#[derive(Clone, Debug)]
enum Step {
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

fn step() -> impl Strategy<Value = Step> {
    let (slot, content) = (0..SLOTS, 0..SIZES.len());
    let how = prop_oneof![
        Just(How::Temporary),
        (0..SOURCES.len()).prop_map(How::Resumable),
        (0..NAMES.len()).prop_map(How::Kept),
    ];
    let ending = prop_oneof![
        3 => Just(Ending::Drop),
        3 => Just(Ending::GiveUp),
        1 => Just(Ending::Spoil),
        1 => Just(Ending::Remove),
    ];
    let after = prop_oneof![Just(After::Keep), Just(After::TakeBack), Just(After::Crash)];
    let size = prop_oneof![1..1000usize, 1..700_000usize];
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

fn given(content: usize) -> Bytes {
    bytes(content as u64 + 1, SIZES[content])
}

/// The next bytes of a content; nothing follows its end.
fn next(content: usize, len: usize, size: usize) -> Bytes {
    let given = given(content);
    given.slice(len..given.len().min(len + size))
}

fn range(size: usize, start: usize, length: usize) -> std::ops::Range<usize> {
    let start = start.min(size);
    start..size.min(start + length)
}

/// What is seen of a store's content as a whole.
fn seen(blobs: &BTreeMap<String, u64>, kept: &BTreeMap<String, u64>, other: usize) -> String {
    format!("blobs {blobs:?}, kept {kept:?}, {other} others")
}

/// Does the steps on an implementation.
struct Driver {
    subject: Subject,
    slots: Vec<Option<(How, usize, Box<dyn Staging>)>>,
    opens: Vec<Option<(Opened, Digest, usize)>>,
    /// Published reversibly, and never said whether that stays.
    undecided: BTreeSet<usize>,
}

impl Driver {
    async fn new(kind: Kind) -> Self {
        Self {
            subject: Subject::new(kind).await,
            slots: (0..SLOTS).map(|_| None).collect(),
            opens: (0..OPENS).map(|_| None).collect(),
            undecided: BTreeSet::new(),
        }
    }

    fn in_use(&self, name: usize) -> bool {
        let open = self.slots.iter().flatten();
        self.undecided.contains(&name)
            || open
                .map(|(how, ..)| how)
                .any(|how| matches!(how, How::Kept(other) if *other == name))
    }

    async fn step(&mut self, step: &Step) -> String {
        let content = Arc::clone(&self.subject.content);
        match *step {
            Step::Stage {
                slot,
                how,
                content: c,
            } => {
                if let How::Kept(name) = how
                    && self.in_use(name)
                {
                    return "in use".to_owned();
                }
                let digest = digest(&given(c));
                let staged = match how {
                    How::Temporary => content.stage(Stage::Temporary),
                    How::Resumable(source) => content.stage(Stage::Resumable {
                        source: SOURCES[source],
                        digest: &digest,
                    }),
                    How::Kept(name) => {
                        let name = NAMES[name];
                        let found = content.staged(name).await.unwrap();
                        let len = found.map_or(0, |found| found.size);
                        let mut kept = content.stage(Stage::Kept { name, len });
                        kept.bytes().await.unwrap();
                        kept
                    }
                };
                let len = staged.len();
                self.slots[slot] = Some((how, c, staged));
                format!("{len} bytes")
            }
            Step::Resume {
                slot,
                source,
                content: c,
            } => {
                let digest = digest(&given(c));
                let could = content.can_resume(SOURCES[source], &digest);
                let resumed = content.resume(SOURCES[source], &digest).await.unwrap();
                assert_eq!(could, resumed.is_some());
                let Some(staged) = resumed else {
                    return "nothing".to_owned();
                };
                let told = format!("{} bytes, {} durable", staged.len(), staged.durable());
                self.slots[slot] = Some((How::Resumable(source), c, staged));
                told
            }
            Step::Append { slot, size } => {
                let Some((_, c, staged)) = &mut self.slots[slot] else {
                    return "none".to_owned();
                };
                let len = usize::try_from(staged.len()).unwrap();
                let bytes = next(*c, len.min(SIZES[*c]), size);
                staged.append(vec![bytes]).await.unwrap();
                format!("{} bytes", staged.len())
            }
            Step::Ahead { slot, size } => {
                let Some((_, c, staged)) = &mut self.slots[slot] else {
                    return "none".to_owned();
                };
                let len = usize::try_from(staged.len()).unwrap();
                let bytes = next(*c, len.min(SIZES[*c]), size);
                let ahead = staged.bytes().await.unwrap();
                ahead.write_at(&bytes, len as u64).unwrap();
                let end = (len + bytes.len()) as u64;
                staged.absorb(end).await.unwrap();
                let parts: Vec<Bytes> = ahead
                    .stream(len as u64..end, &Arc::default())
                    .try_collect()
                    .await
                    .unwrap();
                assert!(parts.concat() == bytes);
                format!("{} bytes", staged.len())
            }
            Step::End { slot, ending } => {
                let Some((_, _, staged)) = self.slots[slot].take() else {
                    return "none".to_owned();
                };
                match ending {
                    Ending::Drop => drop(staged),
                    Ending::GiveUp => staged.give_up().await,
                    Ending::Spoil => {
                        if let Some(resumption) = staged.resumption() {
                            resumption.spoil();
                        }
                        staged.end().await;
                    }
                    Ending::Remove => staged.remove().await.unwrap(),
                }
                "ended".to_owned()
            }
            Step::Publish {
                slot,
                replaces,
                after,
            } => {
                let Some((how, _, mut staged)) = self.slots[slot].take() else {
                    return "none".to_owned();
                };
                let digest = staged.digest(Algorithm::Sha256).await.unwrap();
                staged.settle().await.unwrap();
                let name = match how {
                    How::Kept(name) => Some(name),
                    How::Temporary | How::Resumable(_) => None,
                };
                let placing = Placing {
                    replaces,
                    reversible: name.is_some(),
                };
                staged.publish(&digest, placing).await.unwrap();
                if let Some(name) = name {
                    match after {
                        After::Keep => content.keep_published(NAMES[name]).await.unwrap(),
                        After::TakeBack => {
                            let taken = content.take_back(NAMES[name], &digest, replaces);
                            taken.await.unwrap();
                        }
                        After::Crash => {
                            self.undecided.insert(name);
                        }
                    }
                }
                format!("published {digest}")
            }
            Step::Put {
                content: c,
                replaces,
            } => {
                let given = given(c);
                content.put(&digest(&given), given, replaces).await.unwrap();
                "put".to_owned()
            }
            Step::Open { open, content: c } => {
                let digest = digest(&given(c));
                let opened = content.open(&digest, SIZES[c] as u64).await;
                assert_eq!(
                    opened.is_ok(),
                    content.size(&digest).await.unwrap().is_some()
                );
                let found = opened.is_ok();
                self.opens[open] = opened.ok().map(|opened| (opened, digest, SIZES[c]));
                format!("open: {found}")
            }
            Step::Read {
                open,
                start,
                length,
            } => {
                let Some((opened, digest, size)) = &self.opens[open] else {
                    return "none".to_owned();
                };
                let range = range(*size, start, length);
                let (start, end) = (range.start as u64, range.end as u64);
                let stream = opened.stream(digest, *size as u64, start..end, &Arc::default());
                let parts: Vec<Bytes> = stream.try_collect().await.unwrap();
                super::digest(&parts.concat()).to_string()
            }
            Step::Delete(c) => {
                let gone = content.delete(&digest(&given(c))).await.unwrap();
                format!("deleted: {gone}")
            }
            Step::Quarantine(c) => {
                content.quarantine(&digest(&given(c))).await.unwrap();
                "quarantined".to_owned()
            }
            Step::Discard(name) => {
                if self.in_use(name) {
                    return "in use".to_owned();
                }
                let gone = content.discard(NAMES[name]).await.unwrap();
                format!("discarded: {gone}")
            }
            Step::List => self.list().await,
            Step::Restart(keep) => {
                self.slots.iter_mut().for_each(|slot| *slot = None);
                self.undecided.clear();
                let keep = NAMES.iter().take(if keep { 2 } else { 1 });
                let keep: HashSet<String> = keep.map(|name| (*name).to_owned()).collect();
                self.subject.restart(keep).await;
                self.list().await
            }
        }
    }

    async fn list(&self) -> String {
        let content = &self.subject.content;
        let (mut blobs, mut kept, mut other) = (BTreeMap::new(), BTreeMap::new(), 0);
        for partition in Partition::all() {
            for listed in content.list(partition).await.unwrap() {
                blobs.insert(listed.digest.unwrap().to_string(), listed.size);
            }
        }
        for staged in content.list_staged().await.unwrap() {
            if NAMES.contains(&staged.name.as_str()) {
                kept.insert(staged.name, staged.size);
            } else {
                other += 1;
            }
        }
        let resumable: BTreeMap<_, _> = content.resumable_bytes().into_iter().collect();
        format!("{}, resumable {resumable:?}", seen(&blobs, &kept, other))
    }
}

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
    set.and_then(|cases| cases.parse().ok()).unwrap_or(64)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases()))]

    #[test]
    fn files_and_memory_answer_as_the_model(steps in prop::collection::vec(step(), 1..40)) {
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
