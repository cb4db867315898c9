//! The actions that a profile may name, one file each.
//! Reading an action checks all that can be checked without an image; doing it is the work
//! of the crate `resolve`.

mod annotate;
mod config_set;
mod deny;
mod manifest_add;
mod manifest_filter;
mod manifest_select;
mod redirect;
mod tags_filter;
pub(crate) mod values;

pub use annotate::Annotate;
pub use config_set::{ConfigSet, EnvironmentEdit};
pub use deny::Deny;
pub use manifest_add::{ManifestAdd, Position};
pub use manifest_filter::{Entries, ManifestFilter};
pub use manifest_select::{ManifestSelect, NoneFits, Selection};
pub use redirect::Redirect;
pub use tags_filter::TagsFilter;

use serde::ser::SerializeStruct;
use serde::{Serialize, Serializer};
use serde_json::Value;

use crate::reader::{Fields, Reader, one_of};
use crate::suggestions;
use crate::yaml::Node;
use crate::{Event, When};

/// Most bytes of one action as JSON.
const MOST_ACTION_BYTES: usize = 64 * 1024;

/// What a profile does when an event happens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Action {
    /// What must hold for it to be done; it always is where nothing is said.
    pub when: Option<Box<When>>,
    /// What is done.
    pub args: Args,
}

/// What an action does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Args {
    /// Refuse a tag.
    Deny(Deny),
    /// Answer a tag from elsewhere.
    Redirect(Redirect),
    /// Keep or drop the entries of an index in which a jq program finds a value.
    ManifestFilter(ManifestFilter),
    /// Choose by what the login provides.
    ManifestSelect(ManifestSelect),
    /// Add the layers of other images.
    ManifestAdd(ManifestAdd),
    /// Change how an image is run.
    ConfigSet(ConfigSet),
    /// Annotate an image's manifest.
    Annotate(Annotate),
    /// Show, hide and add tags.
    TagsFilter(TagsFilter),
}

impl From<Args> for Action {
    fn from(args: Args) -> Self {
        Self { when: None, args }
    }
}

/// What is known of an action before one is read. A new action is a file beside this one, a
/// variant of [`Args`] and a row of [`KINDS`].
pub(crate) struct Kind {
    pub(crate) name: &'static str,
    pub(crate) event: Event,
    /// The keys of its `args`.
    pub(crate) args: &'static [&'static str],
    /// Those that must be there.
    pub(crate) required: &'static [&'static str],
    read: fn(&mut Reader<'_>, &Fields<'_>) -> Option<Args>,
    /// The JSON Schema of each of its `args`.
    pub(crate) schema: fn() -> Value,
}

/// In the order of their events.
pub(crate) const KINDS: [Kind; 8] = [
    Kind {
        name: Deny::NAME,
        event: Deny::EVENT,
        args: Deny::ARGS,
        required: Deny::REQUIRED,
        read: |reader, args| Deny::read(reader, args).map(Args::Deny),
        schema: Deny::schema,
    },
    Kind {
        name: Redirect::NAME,
        event: Redirect::EVENT,
        args: Redirect::ARGS,
        required: &[],
        read: |reader, args| Redirect::read(reader, args).map(Args::Redirect),
        schema: Redirect::schema,
    },
    Kind {
        name: ManifestFilter::NAME,
        event: ManifestFilter::EVENT,
        args: ManifestFilter::ARGS,
        required: ManifestFilter::REQUIRED,
        read: |reader, args| ManifestFilter::read(reader, args).map(Args::ManifestFilter),
        schema: ManifestFilter::schema,
    },
    Kind {
        name: ManifestSelect::NAME,
        event: ManifestSelect::EVENT,
        args: ManifestSelect::ARGS,
        required: &[],
        read: |reader, args| ManifestSelect::read(reader, args).map(Args::ManifestSelect),
        schema: ManifestSelect::schema,
    },
    Kind {
        name: ManifestAdd::NAME,
        event: ManifestAdd::EVENT,
        args: ManifestAdd::ARGS,
        required: &[],
        read: |reader, args| ManifestAdd::read(reader, args).map(Args::ManifestAdd),
        schema: ManifestAdd::schema,
    },
    Kind {
        name: ConfigSet::NAME,
        event: ConfigSet::EVENT,
        args: ConfigSet::ARGS,
        required: &[],
        read: |reader, args| ConfigSet::read(reader, args).map(Args::ConfigSet),
        schema: ConfigSet::schema,
    },
    Kind {
        name: Annotate::NAME,
        event: Annotate::EVENT,
        args: Annotate::ARGS,
        required: Annotate::REQUIRED,
        read: |reader, args| Annotate::read(reader, args).map(Args::Annotate),
        schema: Annotate::schema,
    },
    Kind {
        name: TagsFilter::NAME,
        event: TagsFilter::EVENT,
        args: TagsFilter::ARGS,
        required: &[],
        read: |reader, args| TagsFilter::read(reader, args).map(Args::TagsFilter),
        schema: TagsFilter::schema,
    },
];

impl Action {
    /// The keys of an action in a document.
    pub(crate) const KEYS: &'static [&'static str] = &["name", "event", "when", "args"];

    /// The names of all actions.
    #[must_use]
    pub fn names() -> Vec<&'static str> {
        KINDS.iter().map(|kind| kind.name).collect()
    }

    /// Its name in documents.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self.args {
            Args::Deny(_) => Deny::NAME,
            Args::Redirect(_) => Redirect::NAME,
            Args::ManifestFilter(_) => ManifestFilter::NAME,
            Args::ManifestSelect(_) => ManifestSelect::NAME,
            Args::ManifestAdd(_) => ManifestAdd::NAME,
            Args::ConfigSet(_) => ConfigSet::NAME,
            Args::Annotate(_) => Annotate::NAME,
            Args::TagsFilter(_) => TagsFilter::NAME,
        }
    }

    /// When it happens.
    #[must_use]
    pub fn event(&self) -> Event {
        match self.args {
            Args::Deny(_) => Deny::EVENT,
            Args::Redirect(_) => Redirect::EVENT,
            Args::ManifestFilter(_) => ManifestFilter::EVENT,
            Args::ManifestSelect(_) => ManifestSelect::EVENT,
            Args::ManifestAdd(_) => ManifestAdd::EVENT,
            Args::ConfigSet(_) => ConfigSet::EVENT,
            Args::Annotate(_) => Annotate::EVENT,
            Args::TagsFilter(_) => TagsFilter::EVENT,
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
        let errors = reader.errors();
        let happens = kind.map_or(Event::PostManifestGet, |kind| kind.event);
        let when = fields
            .get("when")
            .and_then(|node| When::read(reader, node, happens));
        let kind = kind?;
        let args = match fields.get("args") {
            Some(args) => reader.fields(args, "`args`", kind.args)?,
            None => Fields::none("`args`", fields.mark),
        };
        let args = (kind.read)(reader, &args)?;
        let action = Self {
            when: when.map(Box::new),
            args,
        };
        // Texts, lists and maps: this cannot fail.
        let bytes = serde_json::to_vec(&action).unwrap_or_default().len();
        if bytes > MOST_ACTION_BYTES {
            let message = format!("an action of {bytes} bytes is too long");
            let help = format!("keep it to {MOST_ACTION_BYTES}, or make several of it");
            reader.error("too-long", fields.mark, message, help);
        }
        (errors == reader.errors()).then_some(action)
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
        let mut action = serializer.serialize_struct("Action", 4)?;
        match &self.args {
            Args::Deny(args) => action.serialize_field("args", args)?,
            Args::Redirect(args) => action.serialize_field("args", args)?,
            Args::ManifestFilter(args) => action.serialize_field("args", args)?,
            Args::ManifestSelect(args) => action.serialize_field("args", args)?,
            Args::ManifestAdd(args) => action.serialize_field("args", args)?,
            Args::ConfigSet(args) => action.serialize_field("args", args)?,
            Args::Annotate(args) => action.serialize_field("args", args)?,
            Args::TagsFilter(args) => action.serialize_field("args", args)?,
        }
        action.serialize_field("event", &self.event())?;
        action.serialize_field("name", self.name())?;
        if let Some(when) = &self.when {
            action.serialize_field("when", when)?;
        }
        action.end()
    }
}
