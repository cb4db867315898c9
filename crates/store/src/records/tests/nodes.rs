//! Nodes and join tokens: random intents, and laws.

use std::time::{Duration, SystemTime};

use proptest::prelude::*;

use super::Subject;
use super::laws::each;
use crate::records::{
    Join, JoinToken, Joining, NodeFacts, NodeImage, NodeNote, Records, Redacted, SecretHash,
};

#[derive(Clone, Debug)]
pub(super) enum NodeIntent {
    Note(usize, Option<u8>, bool, u64),
    Revoke(usize),
    Remove(usize),
    AddToken(usize, u64, u32, bool),
    RemoveToken(usize),
    Join(usize, usize, u64),
}

pub(super) fn node_intent() -> impl Strategy<Value = NodeIntent> {
    prop_oneof![
        3 => (0..2usize, prop::option::of(any::<u8>()), any::<bool>(), 0..3u64)
            .prop_map(|(name, image, facts, most)| NodeIntent::Note(name, image, facts, most)),
        1 => (0..2usize).prop_map(NodeIntent::Revoke),
        1 => (0..2usize).prop_map(NodeIntent::Remove),
        2 => (0..2usize, 0..200u64, 0..3u32, any::<bool>())
            .prop_map(|(at, age, uses, replace)| NodeIntent::AddToken(at, age, uses, replace)),
        1 => (0..2usize).prop_map(NodeIntent::RemoveToken),
        3 => (0..2usize, 0..2usize, 0..3u64)
            .prop_map(|(name, token, most)| NodeIntent::Join(name, token, most)),
    ]
}

/// The hash of somebody's secret.
pub(super) fn secret_hash(of: &str) -> SecretHash {
    let mut hash = [0; 32];
    for (to, from) in hash.iter_mut().zip(of.bytes()) {
        *to = from;
    }
    Redacted::new(hash)
}

fn names(at: usize) -> &'static str {
    if at == 0 { "alice" } else { "bob" }
}

impl NodeIntent {
    /// Runs it; the answer, as text.
    pub(super) async fn run(&self, records: &dyn Records, now: SystemTime) -> String {
        match self {
            Self::Note(at, image, facts, most) => {
                let images = image.iter().map(|image| NodeImage {
                    image: format!("lab/app:{}", image % 7),
                    digest: format!("{image}"),
                });
                let note = NodeNote {
                    name: names(*at).to_owned(),
                    way: "munge".to_owned(),
                    may_be_new: *most > 0,
                    seen: now,
                    pulled: image.map(|_| now),
                    images: images.collect(),
                    facts: facts.then(|| NodeFacts {
                        features: vec!["arch:zen3".to_owned()],
                        version: "1".to_owned(),
                    }),
                };
                format!("{:?}", records.note_nodes(vec![note], *most).await)
            }
            Self::Revoke(at) => format!("{:?}", records.revoke_node(names(*at)).await),
            Self::Remove(at) => format!("{:?}", records.remove_node(names(*at)).await),
            Self::AddToken(at, age, uses, replace) => {
                let hash = secret_hash(names(*at));
                let known = records.join_tokens().await.unwrap();
                // They are random, and so never the same.
                if known.iter().any(|token| token.hash == hash) {
                    return String::new();
                }
                let token = JoinToken {
                    hash,
                    created_at: now,
                    expires_at: now + Duration::from_millis(*age),
                    uses: *uses,
                    replace: *replace,
                };
                format!("{:?}", records.add_join_token(token, 1).await)
            }
            Self::RemoveToken(at) => {
                let hash = secret_hash(names(*at));
                format!("{:?}", records.remove_join_token(hash).await)
            }
            Self::Join(at, token, most) => {
                let join = Join {
                    name: names(*at).to_owned(),
                    way: "join".to_owned(),
                    join_token: secret_hash(names(*token)),
                    token: secret_hash(names(*at)),
                    most: *most,
                };
                format!("{:?}", records.join(join).await)
            }
        }
    }
}

fn join(name: &str, with: &str, token: &str, most: u64) -> Join {
    Join {
        name: name.to_owned(),
        way: "join".to_owned(),
        join_token: secret_hash(with),
        token: secret_hash(token),
        most,
    }
}

#[tokio::test]
async fn a_join_token_is_good_for_some_nodes_for_some_time_and_for_no_name_that_is_taken() {
    each(async |subject: Subject, watch| {
        let records = &*subject.records;
        let now = watch.now();
        let add = async |hash: &str, uses, replace| {
            let token = JoinToken {
                hash: secret_hash(hash),
                created_at: now,
                expires_at: now + Duration::from_millis(100),
                uses,
                replace,
            };
            records.add_join_token(token, 2).await.unwrap()
        };
        let joined = async |join: Join| records.join(join).await.unwrap();
        assert!(add("one", 2, false).await);
        assert_eq!(joined(join("a", "none", "1", 9)).await, Joining::NoToken);
        assert_eq!(joined(join("a", "one", "1", 9)).await, Joining::Done);
        assert_eq!(joined(join("a", "one", "2", 9)).await, Joining::Taken);
        assert_eq!(joined(join("b", "one", "2", 1)).await, Joining::Full);
        assert_eq!(joined(join("b", "one", "2", 2)).await, Joining::Done);
        assert_eq!(joined(join("c", "one", "3", 9)).await, Joining::NoToken);
        // One that replaces takes over a name, but none that is revoked.
        assert!(add("other", 9, true).await);
        assert_eq!(joined(join("a", "other", "4", 2)).await, Joining::Done);
        let of = async |token: &str| {
            let found = records.node_by_token(secret_hash(token)).await.unwrap();
            found.map(|node| node.name)
        };
        assert_eq!((of("1").await, of("4").await), (None, Some("a".to_owned())));
        assert!(records.revoke_node("a").await.unwrap());
        assert!(!records.revoke_node("never-seen").await.unwrap());
        for name in ["a", "never-seen"] {
            let refused = joined(join(name, "other", "5", 9)).await;
            assert_eq!(refused, Joining::Revoked);
        }
        assert!(records.remove_node("a").await.unwrap());
        assert_eq!(joined(join("a", "other", "5", 9)).await, Joining::Done);
        watch.pass(100);
        assert_eq!(joined(join("d", "other", "6", 9)).await, Joining::NoToken);
        // The used and the expired make room.
        assert!(add("third", 1, false).await);
        assert_eq!(records.join_tokens().await.unwrap().len(), 1);
    })
    .await;
}

#[tokio::test]
async fn what_a_node_pulled_last_is_kept_and_no_more_nodes_than_there_may_be() {
    each(async |subject: Subject, watch| {
        let records = &*subject.records;
        let note = |name: &str, image: &str| NodeNote {
            name: name.to_owned(),
            way: "munge".to_owned(),
            may_be_new: true,
            seen: watch.now(),
            pulled: Some(watch.now()),
            images: vec![NodeImage {
                image: image.to_owned(),
                digest: "x".to_owned(),
            }],
            facts: None,
        };
        for number in 0..9 {
            let notes = vec![
                note("a", &format!("app:{number}")),
                note(&format!("n{number}"), "app:1"),
            ];
            let refused = records.note_nodes(notes, 2).await.unwrap();
            assert_eq!(refused, u64::from(number > 0));
        }
        records
            .note_nodes(vec![note("a", "app:7")], 2)
            .await
            .unwrap();
        let node = records.node("a").await.unwrap().unwrap();
        let images: Vec<_> = node.images.iter().map(|one| one.image.as_str()).collect();
        assert_eq!(images, ["app:7", "app:8", "app:6", "app:5", "app:4"]);
        assert!(records.remove_node("n0").await.unwrap());
        let late = NodeNote {
            may_be_new: false,
            ..note("n0", "app:1")
        };
        assert_eq!(records.note_nodes(vec![late], 2).await.unwrap(), 0);
        assert_eq!(records.node("n0").await.unwrap(), None, "it is removed");
        records
            .note_nodes(vec![note("n0", "app:1")], 2)
            .await
            .unwrap();
        let all = records.nodes().await.unwrap();
        let all: Vec<_> = all.iter().map(|node| node.name.as_str()).collect();
        assert_eq!(all, ["a", "n0"]);
    })
    .await;
}
