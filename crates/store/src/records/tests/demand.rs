//! Which pulls displace which when their records are full.

use super::laws::each;
use super::{Subject, Watch};
use crate::records::{DemandBounds, DemandCount, DemandGot, DemandKey, Records};

const BOUNDS: DemandBounds = DemandBounds {
    keys: 4,
    nodes: 2,
    since: 0,
};

fn pulls(tag: usize, known: bool, pulls: u64) -> DemandCount {
    DemandCount {
        key: DemandKey {
            repository: "lab/app".parse().unwrap(),
            tag: format!("v{tag}").parse().unwrap(),
            target: "zen4".to_owned(),
            gpu: String::new(),
            got: DemandGot::Nothing,
        },
        known,
        pulls,
        bytes: 10 * pulls,
        nodes: Vec::new(),
    }
}

async fn add(records: &dyn Records, day: i64, counts: Vec<DemandCount>) -> u64 {
    records.add_demand(counts, day, BOUNDS).await.unwrap()
}

/// The tags, and how often each was pulled.
async fn found(records: &dyn Records, since: i64) -> Vec<(String, u64)> {
    let records = records.demand(since).await.unwrap().into_iter();
    records
        .map(|one| (one.key.tag.to_string(), one.pulls))
        .collect()
}

#[tokio::test]
async fn whatever_strangers_ask_for_displaces_nothing_that_accounts_asked_for() {
    each(async |subject: Subject, _: Watch| {
        let records = &*subject.records;
        assert_eq!(add(records, 1, vec![pulls(0, true, 1)]).await, 0);
        let invented = (1..500).map(|tag| pulls(tag, false, 9)).collect();
        assert_eq!(add(records, 1, invented).await, 496);
        let invented = (500..1000).map(|tag| pulls(tag, false, 1)).collect();
        assert_eq!(add(records, 2, invented).await, 497);
        let left = found(records, 0).await;
        assert_eq!(left.len(), 4);
        assert!(left.contains(&("v0".to_owned(), 1)), "{left:?}");
        // Theirs give way to what an account asks for, and at last its own of another day.
        let known = (1000..1004).map(|tag| pulls(tag, true, 1)).collect();
        assert_eq!(add(records, 2, known).await, 0);
        let left = found(records, 0).await;
        assert!(!left.contains(&("v0".to_owned(), 1)), "{left:?}");
        assert_eq!(add(records, 2, vec![pulls(0, true, 1)]).await, 1);
        assert_eq!(add(records, 3, vec![pulls(0, false, 1)]).await, 1);
    })
    .await;
}

#[tokio::test]
async fn what_a_stranger_asks_for_displaces_the_least_of_another_day() {
    each(async |subject: Subject, _: Watch| {
        let records = &*subject.records;
        let some = (0..4)
            .map(|tag| pulls(tag, false, 4 - tag as u64))
            .collect();
        assert_eq!(add(records, 1, some).await, 0);
        assert_eq!(add(records, 1, vec![pulls(9, false, 9)]).await, 1);
        assert_eq!(add(records, 2, vec![pulls(3, false, 1)]).await, 0);
        assert_eq!(add(records, 2, vec![pulls(9, false, 9)]).await, 0);
        let tags = found(records, 0).await;
        let tags: Vec<&str> = tags.iter().map(|(tag, _)| tag.as_str()).collect();
        assert_eq!(tags, ["v0", "v1", "v3", "v9"]);
    })
    .await;
}

#[tokio::test]
async fn days_are_counted_apart_and_end() {
    each(async |subject: Subject, _: Watch| {
        let records = &*subject.records;
        add(records, 1, vec![pulls(0, true, 2), pulls(1, true, 1)]).await;
        add(records, 3, vec![pulls(0, false, 5)]).await;
        let of = |tag: &str, pulls| (tag.to_owned(), pulls);
        assert_eq!(found(records, 0).await, [of("v0", 7), of("v1", 1)]);
        assert_eq!(found(records, 2).await, [of("v0", 5)]);
        let bounds = DemandBounds { since: 2, ..BOUNDS };
        records.add_demand(Vec::new(), 4, bounds).await.unwrap();
        assert_eq!(found(records, 0).await, [of("v0", 5)]);
    })
    .await;
}
