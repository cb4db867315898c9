//! The programs of an image as its layers are read: what upper layers remove or replace counts no
//! more.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::answer::{Cpu, FileFacts};
use crate::changes::Changes;
use crate::content::Content;
use crate::file;
use crate::limits::Limits;

/// Most findings that are listed.
const FINDINGS: usize = 100;

/// The programs of the layers that were read.
#[derive(Debug)]
pub(crate) struct Tree {
    pub(crate) limits: Limits,
    pub(crate) entries: u64,
    programs: BTreeMap<String, Held>,
    by_hash: KnownFiles,
    layer: u32,
    instructions: u64,
    /// What the layers do to those below them, where that is asked for.
    pub(crate) changes: Option<Changes>,
    pub(crate) findings: Vec<String>,
    pub(crate) hidden: usize,
    pub(crate) unread: Vec<String>,
}

/// What files ask for, by the SHA-256 of their content.
pub(crate) type KnownFiles = HashMap<[u8; 32], Arc<FileFacts>>;

#[derive(Clone, Debug)]
struct Held {
    facts: Arc<FileFacts>,
    /// The SHA-256 of the content; none of a file that was not read.
    hash: Option<[u8; 32]>,
    layer: u32,
}

impl Tree {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            limits,
            entries: 0,
            programs: BTreeMap::new(),
            by_hash: KnownFiles::new(),
            layer: 0,
            instructions: 0,
            changes: None,
            findings: Vec::new(),
            hidden: 0,
            unread: Vec::new(),
        }
    }

    /// One layer by itself, with what it does to those below it; `known` are files that were read
    /// before.
    pub(crate) fn of_layer(limits: Limits, known: KnownFiles) -> Self {
        Self {
            by_hash: known,
            changes: Some(Changes::default()),
            ..Self::new(limits)
        }
    }

    /// Gives back the files that were read.
    pub(crate) fn into_known(self) -> KnownFiles {
        self.by_hash
    }

    /// The programs by their paths, with the SHA-256 of their content.
    pub(crate) fn hashed(&self) -> impl Iterator<Item = (&str, &FileFacts, Option<[u8; 32]>)> {
        let programs = self.programs.iter();
        programs.map(|(path, held)| (path.as_str(), &*held.facts, held.hash))
    }

    /// Begins the next layer.
    pub(crate) fn next_layer(&mut self) {
        self.layer += 1;
    }

    /// How many programs there are.
    pub(crate) fn len(&self) -> usize {
        self.programs.len()
    }

    /// The programs by their paths.
    pub(crate) fn programs(&self) -> impl Iterator<Item = (&str, &FileFacts)> {
        let programs = self.programs.iter();
        programs.map(|(path, held)| (path.as_str(), &*held.facts))
    }

    pub(crate) fn find(&mut self, finding: String) {
        if self.findings.len() < FINDINGS {
            self.findings.push(finding);
        } else {
            self.hidden += 1;
        }
    }

    pub(crate) fn has_room(&mut self) -> bool {
        let room = self.programs.len() < self.limits.programs;
        if !room {
            let why = format!("it has more than {} programs", self.limits.programs);
            if self.unread.last() != Some(&why) {
                self.unread.push(why);
            }
        }
        room
    }

    pub(crate) fn add(&mut self, path: &str, content: &Content, hash: [u8; 32], head: &[u8]) {
        let facts = match self.by_hash.get(&hash) {
            Some(facts) => Arc::clone(facts),
            None => {
                let left = self.limits.instructions.saturating_sub(self.instructions);
                let (facts, instructions) = file::facts(content, head, &self.limits, left);
                self.instructions += instructions;
                let facts = Arc::new(facts);
                self.by_hash.insert(hash, Arc::clone(&facts));
                facts
            }
        };
        self.hold(path, facts, Some(hash));
    }

    pub(crate) fn add_unread(&mut self, path: &str, why: &str) {
        let facts = FileFacts {
            loaded: true,
            cpu: Cpu::unknown(why),
            ..FileFacts::default()
        };
        if self.has_room() {
            self.hold(path, Arc::new(facts), None);
        }
    }

    fn hold(&mut self, path: &str, facts: Arc<FileFacts>, hash: Option<[u8; 32]>) {
        let layer = self.layer;
        let held = Held { facts, hash, layer };
        self.programs.insert(path.to_owned(), held);
    }

    /// A file or link takes the place of what was there, a folder with all below included.
    pub(crate) fn replace(&mut self, path: &str) {
        if let Some(changes) = &mut self.changes {
            changes.replaces(path);
        }
        self.programs.remove(path);
        self.drop_below(path, |_| true);
    }

    /// A folder takes the place of a file.
    pub(crate) fn folder(&mut self, path: &str) {
        self.programs.remove(path);
    }

    pub(crate) fn link(&mut self, path: &str, target: &str) {
        let held = self.programs.get(target).cloned();
        if path != target {
            self.replace(path);
        }
        match (held, &mut self.changes) {
            (Some(held), _) => self.hold(path, held.facts, held.hash),
            (None, Some(changes)) => changes.links(path, target),
            (None, None) => {}
        }
    }

    /// Removes what lower layers have at and below `path`; this layer's own stays.
    pub(crate) fn remove(&mut self, path: &str) {
        if let Some(changes) = &mut self.changes {
            changes.removes(path);
        }
        let layer = self.layer;
        if self
            .programs
            .get(path)
            .is_some_and(|held| held.layer < layer)
        {
            self.programs.remove(path);
        }
        self.drop_below(path, |held| held.layer < layer);
    }

    /// Removes what lower layers have below `folder`.
    pub(crate) fn remove_below(&mut self, folder: &str) {
        if let Some(changes) = &mut self.changes {
            changes.empties(folder);
        }
        let layer = self.layer;
        self.drop_below(folder, |held| held.layer < layer);
    }

    fn drop_below(&mut self, folder: &str, of: impl Fn(&Held) -> bool) {
        let prefix = if folder.is_empty() {
            String::new()
        } else {
            format!("{folder}/")
        };
        let below = self.programs.range(prefix.clone()..);
        let below = below.take_while(|(path, _)| path.starts_with(&prefix));
        let gone: Vec<String> = below
            .filter(|(_, held)| of(held))
            .map(|(path, _)| path.clone())
            .collect();
        for path in gone {
            self.programs.remove(&path);
        }
    }
}
