//! The steps, on an implementation.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use bytes::Bytes;
use futures_util::TryStreamExt as _;
use metahub_oci::{Algorithm, Digest};

use super::step::{After, Ending, How, NAMES, OPENS, SIZES, SLOTS, SOURCES, Step};
use super::step::{given, next, range, seen};
use super::{Kind, Subject, digest};
use crate::content::source::Opened;
use crate::content::traits::{Partition, Placing, Stage, Staging};

/// How an object was staged, what it receives, and the object.
type Slot = (How, usize, Box<dyn Staging>);

/// Does the steps on an implementation.
pub(super) struct Driver {
    subject: Subject,
    slots: Vec<Option<Slot>>,
    opens: Vec<Option<(Opened, Digest, usize)>>,
    /// Published reversibly, and never said whether that stays.
    undecided: BTreeSet<usize>,
}

impl Driver {
    pub(super) async fn new(kind: Kind) -> Self {
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

    #[allow(clippy::too_many_lines, reason = "one arm for each kind of step")]
    pub(super) async fn step(&mut self, step: &Step) -> String {
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

    pub(super) async fn list(&self) -> String {
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
