//! Parses nodes as the types that are expected, and records each that is wrong. The one place that
//! words wrong types, unknown keys and keys given twice; it never stops at the first problem.

use std::fmt::Display;
use std::str::FromStr;
use std::sync::Arc;

use metahub_hardware::Microarchitectures;

use crate::location::Location;
use crate::problem::{Problem, Severity};
use crate::source::Source;
use crate::suggestions;
use crate::yaml::{Mark, Node, Value};

/// Reads the documents of one source and collects their problems.
pub(crate) struct Reader<'p> {
    source: Arc<Source>,
    graph: &'p Microarchitectures,
    problems: &'p mut Vec<Problem>,
    /// Errors noted so far, for comparing before and after a document.
    errors: usize,
}

impl<'p> Reader<'p> {
    pub(crate) fn new(
        source: Arc<Source>,
        graph: &'p Microarchitectures,
        problems: &'p mut Vec<Problem>,
    ) -> Self {
        Self {
            source,
            graph,
            problems,
            errors: 0,
        }
    }

    /// The CPU targets that documents may name.
    pub(crate) fn graph(&self) -> &'p Microarchitectures {
        self.graph
    }

    /// What is read.
    pub(crate) fn source(&self) -> Arc<Source> {
        Arc::clone(&self.source)
    }

    /// Notes a problem that another reader of this source found; `when` stands before it.
    pub(crate) fn pass_on(&mut self, mut problem: Problem, when: &str) {
        self.errors += usize::from(problem.is_error());
        problem.message.insert_str(0, when);
        self.problems.push(problem);
    }

    /// How many errors were noted so far.
    pub(crate) fn errors(&self) -> usize {
        self.errors
    }

    pub(crate) fn location(&self, mark: Mark) -> Location {
        self.source.location(mark)
    }

    /// Notes an error.
    pub(crate) fn error(
        &mut self,
        code: &'static str,
        mark: Mark,
        message: impl Into<String>,
        help: impl Into<Option<String>>,
    ) {
        self.errors += 1;
        self.note(Severity::Error, code, mark, message.into(), help.into());
    }

    /// Notes a warning.
    pub(crate) fn warn(
        &mut self,
        code: &'static str,
        mark: Mark,
        message: impl Into<String>,
        help: impl Into<Option<String>>,
    ) {
        self.note(Severity::Warning, code, mark, message.into(), help.into());
    }

    fn note(
        &mut self,
        severity: Severity,
        code: &'static str,
        mark: Mark,
        message: String,
        help: Option<String>,
    ) {
        let problem = self.source.problem(severity, code, mark, message, help);
        self.problems.push(problem);
    }

    fn wrong_type(&mut self, what: &str, expected: &str, help: String, found: &Node) {
        self.error(
            "wrong-type",
            found.mark,
            format!("{what} is {expected}, not {}", found.value.kind()),
            help,
        );
    }

    /// The text of a scalar, exactly as written. `example` is how it is written.
    pub(crate) fn text<'n>(
        &mut self,
        node: &'n Node,
        what: &str,
        example: &str,
    ) -> Option<&'n str> {
        match &node.value {
            Value::Text(text) => Some(text),
            Value::Null => {
                self.error(
                    "no-value",
                    node.mark,
                    format!("`{what}` has no value"),
                    format!("write it as in `{example}`; put the text in quotes if it is `null`"),
                );
                None
            }
            Value::List(_) | Value::Map(_) => {
                let help = format!("write it as in `{example}`");
                self.wrong_type(&format!("`{what}`"), "text", help, node);
                None
            }
        }
    }

    /// A scalar read into a type that says itself what it expects.
    pub(crate) fn parsed<T>(
        &mut self,
        node: &Node,
        what: &str,
        code: &'static str,
        example: &str,
    ) -> Option<T>
    where
        T: FromStr,
        T::Err: Display,
    {
        let text = self.text(node, what, example)?;
        match text.parse() {
            Ok(value) => Some(value),
            Err(error) => {
                self.error(
                    code,
                    node.mark,
                    format!("`{what}`: {error}"),
                    format!("write it as in `{example}`"),
                );
                None
            }
        }
    }

    /// The items of a list.
    pub(crate) fn list<'n>(
        &mut self,
        node: &'n Node,
        what: &str,
        example: &str,
    ) -> Option<&'n [Node]> {
        if let Value::List(items) = &node.value {
            return Some(items);
        }
        let help = format!("write it as in `{example}`");
        self.wrong_type(&format!("`{what}`"), "a list", help, node);
        None
    }

    /// The keys of a mapping, of which only `known` may be there, each once.
    pub(crate) fn fields<'n>(
        &mut self,
        node: &'n Node,
        what: &'static str,
        known: &'static [&'static str],
    ) -> Option<Fields<'n>> {
        let Value::Map(pairs) = &node.value else {
            let help = match known.first() {
                Some(first) => format!("write `{first}: …`; {}", one_of("keys", known)),
                None => one_of("keys", known),
            };
            self.wrong_type(what, "a mapping", help, node);
            return None;
        };
        let mut fields = Fields {
            what,
            mark: node.mark,
            found: Vec::with_capacity(pairs.len()),
            meant: Vec::new(),
        };
        for (key, value) in pairs {
            let Value::Text(name) = &key.value else {
                self.error(
                    "bad-key",
                    key.mark,
                    format!("a key of {what} is text, not {}", key.value.kind()),
                    one_of("keys", known),
                );
                continue;
            };
            let Some(name) = known.iter().find(|known| *known == name) else {
                let meant = self.unknown_key(key.mark, name, what, known);
                fields.meant.extend(meant);
                continue;
            };
            if let Some((_, first, _)) = fields.found.iter().find(|(found, ..)| found == name) {
                self.duplicate_key(key.mark, name, what, *first);
                continue;
            }
            fields.found.push((name, key.mark, value));
        }
        Some(fields)
    }

    /// Reports an unknown key, and returns the known ones that it is probably meant for: that they
    /// are missing need not be reported as well.
    fn unknown_key(
        &mut self,
        mark: Mark,
        name: &str,
        what: &str,
        known: &'static [&'static str],
    ) -> Vec<&'static str> {
        let near = suggestions::nearest(name, known.iter().copied());
        let (help, meant) = match near {
            Some(near) => (format!("did you mean `{near}`?"), vec![near]),
            None if what == "a collection" && name == "image" => (
                "give the collection a `name` and put its images under its own `manifests`; or, \
                 as manifest-tool does, write `image: NAME:TAG` above this list"
                    .to_owned(),
                known.to_vec(),
            ),
            None if what == "an entry" && matches!(name, "features" | "os" | "architecture") => {
                (format!("put `{name}` under `platform`"), Vec::new())
            }
            None => (one_of("keys", known), Vec::new()),
        };
        let message = format!("{what} has no key `{name}`");
        self.error("unknown-key", mark, message, help);
        meant
    }

    fn duplicate_key(&mut self, mark: Mark, name: &str, what: &str, first: Mark) {
        let help = if name == "image" {
            "each entry of the list starts with a dash: write `- image: …`, or remove one of the two"
        } else {
            "remove one of the two"
        };
        self.error(
            "duplicate-key",
            mark,
            format!(
                "{what} has the key `{name}` twice: first at line {}, column {}",
                first.line, first.column
            ),
            help.to_owned(),
        );
    }
}

/// `the KEYS are a, b and c`.
pub(crate) fn one_of(noun: &str, known: &[&str]) -> String {
    match known {
        [] => format!("it takes no {noun}"),
        [only] => format!("the only one of the {noun} is `{only}`"),
        [first @ .., last] => format!("the {noun} are `{}` and `{last}`", first.join("`, `")),
    }
}

/// The keys found in a mapping.
pub(crate) struct Fields<'n> {
    what: &'static str,
    /// Where the mapping starts.
    pub(crate) mark: Mark,
    found: Vec<(&'static str, Mark, &'n Node)>,
    /// Keys that misspelled ones probably stand for.
    meant: Vec<&'static str>,
}

impl<'n> Fields<'n> {
    /// A mapping that was left out.
    pub(crate) fn none(what: &'static str, mark: Mark) -> Self {
        Self {
            what,
            mark,
            found: Vec::new(),
            meant: Vec::new(),
        }
    }

    /// The value of a key that may be left out; a key without a value is left out.
    pub(crate) fn get(&self, name: &str) -> Option<&'n Node> {
        self.found
            .iter()
            .find(|(found, ..)| *found == name)
            .map(|(.., node)| *node)
            .filter(|node| !matches!(node.value, Value::Null))
    }

    /// Where a key stands, even if it has no value.
    pub(crate) fn key(&self, name: &str) -> Option<Mark> {
        self.found
            .iter()
            .find(|(found, ..)| *found == name)
            .map(|(_, mark, _)| *mark)
    }

    /// Whether a key is probably a misspelled one, which was reported.
    pub(crate) fn is_misspelled(&self) -> bool {
        !self.meant.is_empty()
    }

    /// The value of a key that must be there.
    pub(crate) fn required(
        &self,
        reader: &mut Reader<'_>,
        name: &str,
        example: &str,
    ) -> Option<&'n Node> {
        let found = self.get(name);
        if found.is_none() && !self.meant.contains(&name) {
            let (mark, message) = match self.key(name) {
                Some(mark) => (mark, format!("`{name}` has no value")),
                None => (self.mark, format!("{} needs the key `{name}`", self.what)),
            };
            reader.error(
                "missing-key",
                mark,
                message,
                format!("write `{name}: {example}`"),
            );
        }
        found
    }
}
