//! Sightings of nodes that are not written yet. A node is written at most once per interval,
//! however often it pulls, and never while a client waits for an answer.

use std::collections::HashMap;
use std::time::SystemTime;

use metahub_store::{MOST_NODE_IMAGES, NodeFacts, NodeImage, NodeNote};
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::node::{Node, NodeName, NodeWay};

#[derive(Debug)]
pub(super) struct Sightings {
    /// Pending sightings by name; `None` if all are written.
    seen: Mutex<HashMap<NodeName, Option<NodeNote>>>,
    /// Most names, since some credentials let a node choose its name.
    most: usize,
    /// Signals a new node, or its report, which should be written soon.
    pub(super) news: Notify,
}

impl Sightings {
    pub(super) fn new(most: usize) -> Self {
        Self {
            seen: Mutex::default(),
            most,
            news: Notify::new(),
        }
    }

    /// Notes a sighting of a node, with an image that it got or its report.
    pub(super) fn note(&self, node: &Node, image: Option<NodeImage>, facts: Option<NodeFacts>) {
        let now = SystemTime::now();
        let mut seen = self.seen.lock();
        let is_new = !seen.contains_key(&node.name);
        if is_new && seen.len() >= self.most {
            return;
        }
        let is_news = is_new || facts.is_some();
        let note = seen.entry(node.name.clone()).or_default();
        let note = note.get_or_insert_with(|| NodeNote {
            name: node.name.as_str().to_owned(),
            way: String::new(),
            may_be_new: true,
            seen: now,
            pulled: None,
            images: Vec::new(),
            facts: None,
        });
        node.way.as_str().clone_into(&mut note.way);
        note.may_be_new = node.way != NodeWay::Token;
        note.seen = now;
        if let Some(image) = image {
            note.pulled = Some(now);
            note.images.retain(|one| one.image != image.image);
            note.images.insert(0, image);
            note.images.truncate(MOST_NODE_IMAGES);
        }
        if facts.is_some() {
            note.facts = facts;
        }
        drop(seen);
        if is_news {
            self.news.notify_one();
        }
    }

    /// Takes the pending sightings.
    pub(super) fn take(&self) -> Vec<NodeNote> {
        let mut seen = self.seen.lock();
        seen.values_mut().filter_map(Option::take).collect()
    }

    /// Puts back sightings that could not be written, unless there are newer ones.
    pub(super) fn put_back(&self, notes: Vec<NodeNote>) {
        let mut seen = self.seen.lock();
        for note in notes {
            if let Ok(name) = note.name.parse::<NodeName>()
                && let Some(kept) = seen.get_mut(&name)
            {
                kept.get_or_insert(note);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str) -> Node {
        Node {
            name: name.parse().unwrap(),
            way: NodeWay::Munge,
        }
    }

    fn image(name: &str) -> NodeImage {
        NodeImage {
            image: name.to_owned(),
            digest: "x".to_owned(),
        }
    }

    #[test]
    fn invented_names_take_bounded_memory_and_many_pulls_are_one_note() {
        let sightings = Sightings::new(3);
        for number in 0..1000 {
            sightings.note(&node("a"), Some(image(&format!("app:{number}"))), None);
            sightings.note(&node(&format!("n{number}")), None, None);
        }
        let notes = sightings.take();
        assert_eq!(notes.len(), 3);
        let note = notes.iter().find(|note| note.name == "a").unwrap();
        assert_eq!(note.images.len(), MOST_NODE_IMAGES);
        assert_eq!(note.images[0], image("app:999"));
        assert!(sightings.take().is_empty());
        sightings.put_back(notes);
        assert_eq!(sightings.take().len(), 3);
    }
}
