//! What machines of each kind got for images: counts by day, within bounds.

use std::collections::BTreeMap;

use metahub_oci::{RepositoryName, Tag};

use super::shared::Answer;

/// No number of a record exceeds this: sums of them stay far below what a database counts to.
pub(crate) const MOST: u64 = 1 << 53;

/// What machines got.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DemandGot {
    /// Nothing: no image fits.
    Nothing,
    /// A build that states no target.
    Generic,
    /// A build for that target.
    Build(String),
}

/// The key of a count: what the machines of one kind got for one tag.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DemandKey {
    /// The repository's name for clients.
    pub repository: RepositoryName,
    /// The tag.
    pub tag: Tag,
    /// The CPU target of the machines.
    pub target: String,
    /// Their GPU; empty where none is stated.
    pub gpu: String,
    /// What they got.
    pub got: DemandGot,
}

/// Pulls that are not recorded yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DemandCount {
    /// The key.
    pub key: DemandKey,
    /// Whether a node or an account pulled.
    pub known: bool,
    /// How many.
    pub pulls: u64,
    /// Bytes of the images that were pulled.
    pub bytes: u64,
    /// The nodes that pulled, as numbers.
    pub nodes: Vec<i64>,
}

/// Bounds of the records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DemandBounds {
    /// Most keys.
    pub keys: u64,
    /// Most nodes that are counted for each.
    pub nodes: usize,
    /// Records before this day are removed.
    pub since: i64,
}

/// The recorded pulls of a key since a day.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DemandRecord {
    /// Of what.
    pub key: DemandKey,
    /// Pulls.
    pub pulls: u64,
    /// Bytes of the images that were pulled.
    pub bytes: u64,
    /// Different nodes.
    pub nodes: u64,
    /// Whether there were more than are counted.
    pub more_nodes: bool,
}

/// Pulls by what they got. Days are counted from 1970 in UTC.
pub(crate) trait DemandRecords: Send + Sync {
    /// Adds counts of `day`, and removes old records. Returns how many counts were dropped for want
    /// of room.
    ///
    /// At the maximum of keys, a new one replaces the one with the fewest pulls of those that only
    /// clients without an account pulled. A key of nodes or accounts is replaced only by another of
    /// theirs, if it was not pulled that day; and a new key of clients without an account replaces
    /// none that was pulled that day. A power cut may undo it.
    fn add_demand(
        &self,
        counts: Vec<DemandCount>,
        day: i64,
        bounds: DemandBounds,
    ) -> Answer<'_, u64>;

    /// The recorded pulls since `day`, in order.
    fn demand(&self, day: i64) -> Answer<'_, Vec<DemandRecord>>;
}

/// The changes of the counted nodes when some pull.
#[derive(Debug, Default)]
pub(super) struct NodeChanges {
    /// Those to note, with that day.
    pub(super) seen: Vec<i64>,
    /// Those to remove.
    pub(super) removed: Vec<i64>,
    /// The last day of a node that there was no room for.
    pub(super) more: Option<i64>,
}

impl NodeChanges {
    /// `known` are nodes with their last days, `new` those that pull on `day`. Of more than `most`
    /// the one goes that did not pull for longest; those of that day stay.
    pub(super) fn of(known: &BTreeMap<i64, i64>, new: &[i64], day: i64, most: usize) -> Self {
        let mut changes = Self::default();
        let mut nodes = known.clone();
        for node in new {
            let last = nodes.get(node).copied();
            if last.is_some_and(|last| last >= day) {
                continue;
            }
            if last.is_none() && nodes.len() >= most {
                let oldest = nodes.iter().map(|(node, last)| (*last, *node)).min();
                let Some((last, oldest)) = oldest.filter(|(last, _)| *last < day) else {
                    changes.more = changes.more.max(Some(day));
                    continue;
                };
                nodes.remove(&oldest);
                changes.removed.push(oldest);
                changes.more = changes.more.max(Some(last));
            }
            nodes.insert(*node, day);
            changes.seen.push(*node);
        }
        changes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_are_told_apart_up_to_a_bound() {
        let known = |nodes: &[(i64, i64)]| nodes.iter().copied().collect::<BTreeMap<_, _>>();
        for (before, new, seen, removed, more) in [
            (vec![], vec![1, 2], vec![1, 2], vec![], None),
            (vec![(1, 5)], vec![1], vec![], vec![], None),
            (vec![(1, 6)], vec![1], vec![], vec![], None),
            (vec![(1, 4)], vec![1], vec![1], vec![], None),
            (vec![(1, 4), (2, 3)], vec![3], vec![3], vec![2], Some(3)),
            (vec![(1, 5), (2, 5)], vec![3], vec![], vec![], Some(5)),
        ] {
            let changes = NodeChanges::of(&known(&before), &new, 5, 2);
            let told = (changes.seen, changes.removed, changes.more);
            assert_eq!(told, (seen, removed, more), "{before:?} and {new:?}");
        }
    }
}
