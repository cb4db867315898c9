//! The actions that a profile may name, one file each.
//! Reading an action checks all that can be checked without an image; doing it is the work
//! of the crate `resolve`.

mod manifest_add;
mod manifest_filter;
mod manifest_select;

pub use manifest_add::ManifestAdd;
pub use manifest_filter::{Entries, ManifestFilter};
pub use manifest_select::{ManifestSelect, NoneFits, Selection};

use serde::ser::SerializeStruct;
use serde::{Serialize, Serializer};
use serde_json::Value;

use crate::Event;
use crate::reader::{Fields, Reader, one_of};
use crate::suggestions;
use crate::yaml::Node;

/// What a profile does when an event happens.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Action {
    /// Keep the entries of an index in which a jq program finds a value.
    ManifestFilter(ManifestFilter),
    /// Choose by what the login provides.
    ManifestSelect(ManifestSelect),
    /// Add the layers of another image.
    ManifestAdd(ManifestAdd),
}

/// What is known of an action before one is read. A new action is a file beside this one, a
/// variant of [`Action`] and a row of [`KINDS`].
pub(crate) struct Kind {
    pub(crate) name: &'static str,
    pub(crate) event: Event,
    /// The keys of its `args`.
    pub(crate) args: &'static [&'static str],
    /// Those that must be there.
    pub(crate) required: &'static [&'static str],
    read: fn(&mut Reader<'_>, &Fields<'_>) -> Option<Action>,
    /// The JSON Schema of each of its `args`.
    pub(crate) schema: fn() -> Value,
}

pub(crate) const KINDS: [Kind; 3] = [
    Kind {
        name: ManifestFilter::NAME,
        event: ManifestFilter::EVENT,
        args: ManifestFilter::ARGS,
        required: ManifestFilter::REQUIRED,
        read: |reader, args| ManifestFilter::read(reader, args).map(Action::ManifestFilter),
        schema: ManifestFilter::schema,
    },
    Kind {
        name: ManifestSelect::NAME,
        event: ManifestSelect::EVENT,
        args: ManifestSelect::ARGS,
        required: &[],
        read: |reader, args| ManifestSelect::read(reader, args).map(Action::ManifestSelect),
        schema: ManifestSelect::schema,
    },
    Kind {
        name: ManifestAdd::NAME,
        event: ManifestAdd::EVENT,
        args: ManifestAdd::ARGS,
        required: ManifestAdd::ARGS,
        read: |reader, args| ManifestAdd::read(reader, args).map(Action::ManifestAdd),
        schema: ManifestAdd::schema,
    },
];

impl Action {
    /// The keys of an action in a document.
    pub(crate) const KEYS: &'static [&'static str] = &["name", "event", "args"];

    /// The names of all actions.
    #[must_use]
    pub fn names() -> Vec<&'static str> {
        KINDS.iter().map(|kind| kind.name).collect()
    }

    /// Its name in documents.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::ManifestFilter(_) => ManifestFilter::NAME,
            Self::ManifestSelect(_) => ManifestSelect::NAME,
            Self::ManifestAdd(_) => ManifestAdd::NAME,
        }
    }

    /// When it happens.
    #[must_use]
    pub fn event(&self) -> Event {
        match self {
            Self::ManifestFilter(_) => ManifestFilter::EVENT,
            Self::ManifestSelect(_) => ManifestSelect::EVENT,
            Self::ManifestAdd(_) => ManifestAdd::EVENT,
        }
    }

    /// Reads one action of a profile.
    pub(crate) fn read(reader: &mut Reader<'_>, node: &Node) -> Option<Self> {
        let fields = reader.fields(node, "an action", Self::KEYS)?;
        let kind = fields
            .required(reader, "name", ManifestFilter::NAME)
            .and_then(|name| kind(reader, name));
        let example = kind.map_or(ManifestFilter::EVENT, |kind| kind.event);
        if let Some(event) = fields.required(reader, "event", example.as_str()) {
            check_event(reader, event, kind);
        }
        let kind = kind?;
        let args = match fields.get("args") {
            Some(args) => reader.fields(args, "`args`", kind.args)?,
            None => Fields::none("`args`", fields.mark),
        };
        (kind.read)(reader, &args)
    }
}

fn kind(reader: &mut Reader<'_>, node: &Node) -> Option<&'static Kind> {
    let name = reader.text(node, "name", ManifestFilter::NAME)?;
    let found = KINDS.iter().find(|kind| kind.name == name);
    if found.is_none() {
        let help = match suggestions::nearest(name, Action::names().into_iter()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => one_of("actions", &Action::names()),
        };
        let message = format!("there is no action '{name}'");
        reader.error("unknown-action", node.mark, message, help);
    }
    found
}

fn check_event(reader: &mut Reader<'_>, node: &Node, kind: Option<&Kind>) {
    let Some(text) = reader.text(node, "event", Event::PostManifestGet.as_str()) else {
        return;
    };
    match (Event::named(text), kind) {
        (None, _) => {
            let help = match kind {
                Some(kind) => format!("write `event: {}`", kind.event),
                None => one_of("events", &Event::ALL.map(Event::as_str)),
            };
            let message = format!("there is no event '{text}'");
            reader.error("unknown-event", node.mark, message, help);
        }
        (Some(event), Some(kind)) if event != kind.event => reader.error(
            "wrong-event",
            node.mark,
            format!("{} does not happen on {event}", kind.name),
            format!("write `event: {}`", kind.event),
        ),
        _ => {}
    }
}

/// As a document writes it, keys in alphabetical order: what digests are taken over.
impl Serialize for Action {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut action = serializer.serialize_struct("Action", 3)?;
        match self {
            Self::ManifestFilter(args) => action.serialize_field("args", args)?,
            Self::ManifestSelect(args) => action.serialize_field("args", args)?,
            Self::ManifestAdd(args) => action.serialize_field("args", args)?,
        }
        action.serialize_field("event", &self.event())?;
        action.serialize_field("name", self.name())?;
        action.end()
    }
}
