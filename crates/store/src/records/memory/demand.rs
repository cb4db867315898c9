//! Pulls by what they got, see [`crate::records::demand`].

use std::collections::BTreeMap;

use super::MemoryRecords;
use super::state::{Demand, State};
use crate::StoreError;
use crate::records::demand::{MOST, NodeChanges};
use crate::records::{Answer, DemandBounds, DemandCount, DemandKey, DemandRecord, DemandRecords};

impl DemandRecords for MemoryRecords {
    fn add_demand(
        &self,
        counts: Vec<DemandCount>,
        day: i64,
        bounds: DemandBounds,
    ) -> Answer<'_, u64> {
        self.write(|state| {
            expire(state, bounds.since);
            let mut dropped = 0;
            for count in counts {
                dropped += u64::from(!add(state, count, day, bounds));
            }
            Ok::<_, StoreError>(dropped)
        })
    }

    fn demand(&self, day: i64) -> Answer<'_, Vec<DemandRecord>> {
        self.read(|state| {
            let records = state.demand.iter().filter(|(_, one)| one.last_day >= day);
            let records = records.map(|(key, one)| {
                let days = || one.days.range(day..).map(|(_, counts)| counts);
                let nodes = one.nodes.values().filter(|seen| **seen >= day).count();
                DemandRecord {
                    key: key.clone(),
                    pulls: days().map(|(pulls, _)| pulls).sum(),
                    bytes: days().map(|(_, bytes)| bytes).sum(),
                    nodes: nodes as u64,
                    more_nodes: one.more_nodes.is_some_and(|more| more >= day),
                }
            });
            Ok::<_, StoreError>(records.collect())
        })
    }
}

fn expire(state: &mut State, since: i64) {
    state.demand.retain(|_, one| one.last_day >= since);
    for one in state.demand.values_mut() {
        one.days = one.days.split_off(&since);
        one.nodes.retain(|_, seen| *seen >= since);
    }
}

/// Whether there was room.
fn add(state: &mut State, count: DemandCount, day: i64, bounds: DemandBounds) -> bool {
    if !state.demand.contains_key(&count.key) && state.demand.len() as u64 >= bounds.keys {
        let Some(victim) = victim(state, count.known, day) else {
            return false;
        };
        state.demand.remove(&victim);
    }
    let id = 1 + state.demand.values().map(|one| one.id).max().unwrap_or(0);
    let one = state.demand.entry(count.key).or_insert_with(|| Demand {
        id,
        known: false,
        pulls: 0,
        last_day: day,
        more_nodes: None,
        days: BTreeMap::new(),
        nodes: BTreeMap::new(),
    });
    one.known |= count.known;
    one.pulls = (one.pulls + count.pulls.min(MOST)).min(MOST);
    one.last_day = one.last_day.max(day);
    let (pulls, bytes) = one.days.entry(day).or_default();
    *pulls = (*pulls + count.pulls.min(MOST)).min(MOST);
    *bytes = (*bytes + count.bytes.min(MOST)).min(MOST);
    let changes = NodeChanges::of(&one.nodes, &count.nodes, day, bounds.nodes);
    for node in changes.removed {
        one.nodes.remove(&node);
    }
    one.nodes
        .extend(changes.seen.into_iter().map(|node| (node, day)));
    one.more_nodes = one.more_nodes.max(changes.more);
    true
}

/// What a new key takes the place of, if of anything.
fn victim(state: &State, known: bool, day: i64) -> Option<DemandKey> {
    let all = || state.demand.iter();
    let strangers = all().filter(|(_, one)| !one.known && (known || one.last_day < day));
    let fewest = strangers.min_by_key(|(_, one)| (one.pulls, one.last_day, one.id));
    let oldest = || {
        let old = all().filter(|(_, one)| known && one.last_day < day);
        old.min_by_key(|(_, one)| (one.last_day, one.pulls, one.id))
    };
    fewest.or_else(oldest).map(|(key, _)| key.clone())
}
