//! The actions that a profile may name, one file each. Reading an action checks all that can be
//! checked without an image; the crate `resolve` carries it out.

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

impl From<Args> for Action {
    fn from(args: Args) -> Self {
        Self { when: None, args }
    }
}

/// The kind of an action: how documents name it, and how one is read.
pub(crate) struct Kind {
    pub(crate) name: &'static str,
    pub(crate) event: Event,
    /// The keys of its `args`.
    pub(crate) args: &'static [&'static str],
    /// The keys that must be given.
    pub(crate) required: &'static [&'static str],
    read: fn(&mut Reader<'_>, &Fields<'_>) -> Option<Args>,
    /// The JSON Schema of each of its `args`.
    pub(crate) schema: fn() -> Value,
}

/// Declares the actions. A new one is a file beside this one, which states its name, event and
/// keys, and a row here.
macro_rules! actions {
    ($($(#[$about:meta])* $action:ident,)+) => {
        /// What an action does.
        #[derive(Clone, Debug, PartialEq, Eq, Serialize)]
        #[serde(untagged)]
        pub enum Args {
            $($(#[$about])* $action($action),)+
        }

        /// In the order of their events.
        pub(crate) const KINDS: &[Kind] = &[
            $(Kind {
                name: $action::NAME,
                event: $action::EVENT,
                args: $action::ARGS,
                required: $action::REQUIRED,
                read: |reader, args| $action::read(reader, args).map(Args::$action),
                schema: $action::schema,
            },)+
        ];

        impl Action {
            /// Its name in documents.
            #[must_use]
            pub fn name(&self) -> &'static str {
                match self.args {
                    $(Args::$action(_) => $action::NAME,)+
                }
            }

            /// The event on which it is done.
            #[must_use]
            pub fn event(&self) -> Event {
                match self.args {
                    $(Args::$action(_) => $action::EVENT,)+
                }
            }
        }
    };
}

actions! {
    /// Refuse a tag.
    Deny,
    /// Answer a tag from elsewhere.
    Redirect,
    /// Keep or drop the entries of an index in which a jq program finds a value.
    ManifestFilter,
    /// Choose by what the login provides.
    ManifestSelect,
    /// Add the layers of other images.
    ManifestAdd,
    /// Change how an image is run.
    ConfigSet,
    /// Annotate an image's manifest.
    Annotate,
    /// Show, hide and add tags.
    TagsFilter,
}

impl Action {
    /// The keys of an action in a document.
    pub(crate) const KEYS: &'static [&'static str] = &["name", "event", "when", "args"];

    /// The names of all actions.
    #[must_use]
    pub fn names() -> Vec<&'static str> {
        KINDS.iter().map(|kind| kind.name).collect()
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
        action.serialize_field("args", &self.args)?;
        action.serialize_field("event", &self.event())?;
        action.serialize_field("name", self.name())?;
        if let Some(when) = &self.when {
            action.serialize_field("when", when)?;
        }
        action.end()
    }
}
