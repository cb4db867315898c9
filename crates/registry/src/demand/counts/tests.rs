//! What is counted once, and the memory that a million logins leave.

use std::net::{IpAddr, Ipv4Addr};

use metahub_store::DemandGot;

use super::*;

fn puller(last: u8, is_head: bool, has_account: bool) -> Puller<'static> {
    Puller {
        is_head,
        address: IpAddr::V4(Ipv4Addr::new(10, 0, 0, last)),
        agent: "client",
        has_account,
        node: None,
    }
}

fn got(target: &str, bytes: u64) -> Got {
    Got {
        target: target.to_owned(),
        gpu: String::new(),
        got: DemandGot::Build("zen".to_owned()),
        bytes,
    }
}

fn note(counts: &Counts, tag: &str, got: &Got, puller: &Puller<'_>, node: Option<i64>) -> bool {
    let (name, tag) = ("lab/app".parse().unwrap(), tag.parse().unwrap());
    counts.note((&name, &tag), got, puller, node)
}

#[test]
fn a_client_that_first_asks_and_then_pulls_counts_once() {
    let counts = Counts::default();
    let zen4 = got("zen4", 7);
    for (client, is_head) in [
        // Enroot, twice; Docker, which goes on by digest; Podman.
        (1, true),
        (1, false),
        (1, true),
        (1, false),
        (2, true),
        (3, false),
    ] {
        assert!(note(
            &counts,
            "1",
            &zen4,
            &puller(client, is_head, false),
            None
        ));
    }
    // Another program there.
    let other = Puller {
        agent: "other",
        ..puller(2, false, false)
    };
    assert!(note(&counts, "1", &zen4, &other, None));
    let taken = counts.take();
    assert_eq!(taken.len(), 1);
    assert_eq!((taken[0].pulls, taken[0].bytes), (5, 35));
    assert!(counts.take().is_empty());
}

#[test]
fn nodes_are_told_apart_up_to_one_more_than_is_recorded() {
    let counts = Counts::default();
    for node in 0..1000 {
        note(
            &counts,
            "1",
            &got("zen4", 1),
            &puller(1, false, true),
            Some(node),
        );
        note(
            &counts,
            "1",
            &got("zen4", 1),
            &puller(1, false, true),
            Some(node),
        );
    }
    let taken = counts.take();
    assert_eq!(
        (taken[0].pulls, taken[0].nodes.len()),
        (2000, MOST_NODES + 1)
    );
}

/// `METAHUB_TEST_LOGINS` sets another number.
#[test]
fn however_much_strangers_ask_for_takes_bounded_memory_and_no_place_of_accounts() {
    let counts = Counts::default();
    let number = std::env::var("METAHUB_TEST_LOGINS").ok();
    let number = number.and_then(|n| n.parse().ok()).unwrap_or(50_000_u32);
    let mut dropped = 0;
    for one in 0..number {
        let tag = format!("v{one}");
        dropped += u32::from(!note(
            &counts,
            &tag,
            &got("zen4", 1),
            &puller(1, false, false),
            None,
        ));
    }
    let most = u32::try_from(MOST).unwrap() * u32::try_from(SHARDS).unwrap();
    assert!(dropped >= number - most, "{dropped}");
    assert!(note(
        &counts,
        "account",
        &got("zen4", 1),
        &puller(1, false, true),
        None
    ));
    let taken = counts.take();
    assert!(taken.len() <= MOST * 16 + 1, "{}", taken.len());
    assert_eq!(taken.iter().filter(|count| count.known).count(), 1);
}
