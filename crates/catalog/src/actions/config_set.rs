//! `config-set`: changes how an image is run, in its configuration.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::{Value, json};

use super::values;
use crate::reader::{Fields, Reader, one_of};
use crate::yaml::{Node, Value as Yaml};
use crate::{Event, suggestions};

/// Changes fields of an image's `config` object
/// (<https://github.com/opencontainers/image-spec/blob/main/config.md>). Other fields stay.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ConfigSet {
    /// Replaces the default arguments. Empty for none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cmd: Option<Vec<String>>,
    /// Replaces the entrypoint, and removes the default arguments unless `cmd` is given, as
    /// `ENTRYPOINT` of a Dockerfile does. Empty for none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entrypoint: Option<Vec<String>>,
    /// Environment variables.
    #[serde(skip_serializing_if = "EnvironmentEdit::is_empty")]
    pub env: EnvironmentEdit,
    /// Ports that are added, each `PORT[/PROTOCOL]`.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub exposed_ports: BTreeSet<String>,
    /// Labels that are set.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// The signal that stops the container, such as `SIGTERM`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop_signal: Option<String>,
    /// The user, as `USER[:GROUP]`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Paths of volumes that are added.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub volumes: BTreeSet<String>,
    /// The working directory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub working_dir: Option<String>,
    /// A launcher and its arguments, put before what the image runs: before the entrypoint, or
    /// before the default arguments where there is no entrypoint.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub wrap: Vec<String>,
}

/// Edits of environment variables, in this order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct EnvironmentEdit {
    /// Variables that are removed.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub unset: BTreeSet<String>,
    /// Variables and their values.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub set: BTreeMap<String, String>,
    /// What is put before a variable's value, separators included.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub prepend: BTreeMap<String, String>,
    /// What is put after a variable's value, separators included.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub append: BTreeMap<String, String>,
}

impl EnvironmentEdit {
    /// Whether it changes nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self == &Self::default()
    }
}

impl ConfigSet {
    /// Its name in documents.
    pub const NAME: &'static str = "config-set";
    /// When it happens.
    pub const EVENT: Event = Event::PostManifestGet;
    /// The keys of its `args`.
    pub const ARGS: &'static [&'static str] = &[
        "entrypoint",
        "cmd",
        "wrap",
        "env",
        "working_dir",
        "user",
        "labels",
        "exposed_ports",
        "volumes",
        "stop_signal",
    ];
    /// Those that must be given.
    pub const REQUIRED: &'static [&'static str] = &[];
    /// The keys of `env`.
    const ENV: &'static [&'static str] = &["unset", "set", "prepend", "append"];

    pub(super) fn schema() -> Value {
        let variables = |what: &str| {
            let mut schema = values::texts_schema(what);
            if let Some(names) = schema.pointer_mut("/propertyNames") {
                *names = json!({ "pattern": "^[^=]+$", "maxLength": values::MOST_NAME_BYTES });
            }
            schema
        };
        json!({
            "entrypoint": command_schema("Takes the entrypoint's place, and `cmd` away unless \
                                          it is given; a text is run by /bin/sh -c"),
            "cmd": command_schema("Takes the default arguments' place; a text is run by \
                                   /bin/sh -c"),
            "wrap": values::list_schema("A launcher and its arguments, put before the entrypoint, \
                                         or before `cmd` where there is none"),
            "env": {
                "description": "Environment variables; these are done in this order",
                "type": "object",
                "additionalProperties": false,
                "properties": {
                    "unset": values::list_schema("Variables that are taken away"),
                    "set": variables("Variables and their values"),
                    "prepend": variables("What is put before values, separators included"),
                    "append": variables("What is put after values, separators included"),
                },
            },
            "working_dir": {
                "description": "The working directory",
                "type": "string",
                "pattern": "^/",
            },
            "user": values::scalar_schema("USER[:GROUP], names or numbers"),
            "labels": values::texts_schema("Labels that are set, by name"),
            "exposed_ports": values::list_schema("Ports that are added: PORT[/tcp|udp|sctp]"),
            "volumes": values::list_schema("Absolute paths of volumes that are added"),
            "stop_signal": values::scalar_schema("A signal as SIGTERM or 15"),
        })
    }

    pub(super) fn read(reader: &mut Reader<'_>, args: &Fields<'_>) -> Option<Self> {
        let errors = reader.errors();
        let entrypoint = args
            .get("entrypoint")
            .and_then(|node| command(reader, node, "entrypoint"));
        let cmd = args
            .get("cmd")
            .and_then(|node| command(reader, node, "cmd"));
        let wrap = args.get("wrap").map(|node| launcher(reader, node));
        let env = args.get("env").and_then(|node| environment(reader, node));
        let checked = |reader: &mut Reader<'_>, key, example, check| {
            args.get(key)
                .and_then(|node| values::checked(reader, node, key, example, check))
        };
        let working_dir = checked(reader, "working_dir", "working_dir: /work", directory);
        let user = checked(reader, "user", "user: 1000:1000", user);
        let stop_signal = checked(reader, "stop_signal", "stop_signal: SIGTERM", signal);
        let labels = args
            .get("labels")
            .map(|node| values::texts(reader, node, "labels", "labels: {site: here}", values::key));
        let set = |reader: &mut Reader<'_>, key, example, check| {
            args.get(key)
                .map(|node| values::set(reader, node, key, example, check))
                .unwrap_or_default()
        };
        let exposed_ports = set(reader, "exposed_ports", "exposed_ports: [8080/tcp]", port);
        let volumes = set(reader, "volumes", "volumes: [/scratch]", volume);
        let config = Self {
            cmd,
            entrypoint,
            env: env.unwrap_or_default(),
            exposed_ports,
            labels: labels.unwrap_or_default(),
            stop_signal,
            user,
            volumes,
            working_dir,
            wrap: wrap.unwrap_or_default(),
        };
        if !args.is_misspelled() && errors == reader.errors() && config == Self::default() {
            let message = "`args` says nothing to set";
            let help = one_of("keys", Self::ARGS);
            reader.error("missing-key", args.mark, message, help);
        }
        (errors == reader.errors()).then_some(config)
    }
}

fn command_schema(description: &str) -> Value {
    json!({
        "description": description,
        "type": ["string", "array"],
        "maxItems": values::MOST_ITEMS,
        "items": { "type": ["string", "number", "boolean"] },
    })
}

/// A command as a list, or as a text for a shell, as a Dockerfile has both forms.
fn command(reader: &mut Reader<'_>, node: &Node, what: &'static str) -> Option<Vec<String>> {
    let example = format!("{what}: [/usr/bin/app, --flag]");
    if !matches!(node.value, Yaml::List(_)) {
        let text = values::text(reader, node, what, &example)?;
        if text.trim().is_empty() {
            let message = format!("`{what}` is an empty text");
            let help = format!("write `{what}: []` for none, or it as in `{example}`");
            reader.error("bad-value", node.mark, message, help);
            return None;
        }
        return Some(vec!["/bin/sh".to_owned(), "-c".to_owned(), text]);
    }
    words(reader, node, what, &example)
}

fn words(
    reader: &mut Reader<'_>,
    node: &Node,
    what: &'static str,
    example: &str,
) -> Option<Vec<String>> {
    let errors = reader.errors();
    let words: Vec<String> = values::items(reader, node, what, example)
        .iter()
        .filter_map(|item| values::text(reader, item, what, example))
        .collect();
    (errors == reader.errors()).then_some(words)
}

fn launcher(reader: &mut Reader<'_>, node: &Node) -> Vec<String> {
    const EXAMPLE: &str = "wrap: [/usr/bin/launch, --]";
    if matches!(node.value, Yaml::Text(_)) {
        let message = "`wrap` is a list: what it wraps is put behind it as arguments, which a \
                       text for a shell would not pass on";
        let help = format!("write it as in `{EXAMPLE}`");
        reader.error("wrong-type", node.mark, message, help);
        return Vec::new();
    }
    let errors = reader.errors();
    let words = words(reader, node, "wrap", EXAMPLE).unwrap_or_default();
    if errors == reader.errors() && words.first().is_none_or(String::is_empty) {
        let message = "`wrap` begins with the program that is run";
        let help = format!("write it as in `{EXAMPLE}`");
        reader.error("bad-value", node.mark, message, help);
    }
    words
}

fn environment(reader: &mut Reader<'_>, node: &Node) -> Option<EnvironmentEdit> {
    let fields = reader.fields(node, "`env`", ConfigSet::ENV)?;
    let unset = fields
        .get("unset")
        .map(|node| values::set(reader, node, "unset", "unset: [DEBUG]", variable));
    let mut texts = |key, example| {
        fields
            .get(key)
            .map(|node| values::texts(reader, node, key, example, variable))
            .unwrap_or_default()
    };
    Some(EnvironmentEdit {
        set: texts("set", "set: {SIMD: AVX2}"),
        prepend: texts("prepend", "prepend: {PATH: \"/opt/bin:\"}"),
        append: texts("append", "append: {PATH: \":/opt/bin\"}"),
        unset: unset.unwrap_or_default(),
    })
}

fn variable(name: &str) -> Result<String, String> {
    let name = values::key(name)?;
    if name.contains('=') {
        return Err(format!(
            "'{name}' is no name of a variable: it has a '='; the value is written behind a colon"
        ));
    }
    Ok(name)
}

fn directory(path: &str) -> Result<String, String> {
    if path.starts_with('/') {
        return Ok(path.to_owned());
    }
    Err(format!(
        "'{path}' is no absolute path: expected one that begins with '/'"
    ))
}

fn volume(path: &str) -> Result<String, String> {
    let path = directory(path)?;
    if path.trim_matches('/').is_empty() {
        return Err("'/' cannot be a volume: it is the image itself".to_owned());
    }
    Ok(path)
}

/// `USER`, `USER:GROUP`, names or numbers.
fn user(text: &str) -> Result<String, String> {
    let mut parts = text.split(':');
    let whole = parts.all(|part| !part.is_empty() && !part.contains(char::is_whitespace));
    if whole && text.matches(':').count() <= 1 && text.len() <= values::MOST_NAME_BYTES {
        return Ok(text.to_owned());
    }
    Err(format!(
        "'{text}' is no user: expected USER or USER:GROUP, names or numbers"
    ))
}

/// `PORT[/PROTOCOL]`, as `PORT/PROTOCOL`.
fn port(text: &str) -> Result<String, String> {
    let (number, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let digits = number.bytes().all(|b| b.is_ascii_digit());
    match number.parse::<u16>() {
        Ok(number) if digits && number != 0 && PROTOCOLS.contains(&protocol) => {
            Ok(format!("{number}/{protocol}"))
        }
        _ => Err(format!(
            "'{text}' is no port: expected a number from 1 to 65535, then nothing or one of \
             /tcp, /udp and /sctp"
        )),
    }
}

/// A signal as `SIGTERM`, `SIGRTMIN+3` or a number.
fn signal(text: &str) -> Result<String, String> {
    let is_number = |text: &str, range: std::ops::RangeInclusive<u8>| {
        text.bytes().all(|b| b.is_ascii_digit())
            && text.parse().is_ok_and(|number: u8| range.contains(&number))
    };
    let real_time = |start: &str, sign| {
        text.strip_prefix(start)
            .and_then(|rest| rest.strip_prefix(sign))
            .is_some_and(|number| is_number(number, 1..=30))
    };
    let named = text.strip_prefix("SIG");
    if named.is_some_and(|name| SIGNALS.contains(&name))
        || real_time("SIGRTMIN", '+')
        || real_time("SIGRTMAX", '-')
        || is_number(text, 1..=64)
    {
        return Ok(text.to_owned());
    }
    let near = suggestions::nearest(
        text.strip_prefix("SIG").unwrap_or(text),
        SIGNALS.iter().copied(),
    );
    let near = near.map(|near| format!("; did you mean SIG{near}?"));
    Err(format!(
        "'{text}' is no signal: expected one as SIGTERM, SIGRTMIN+3 or 15{}",
        near.unwrap_or_default()
    ))
}

const PROTOCOLS: [&str; 3] = ["tcp", "udp", "sctp"];

/// The signals of Linux, without `SIG`.
const SIGNALS: [&str; 35] = [
    "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "IOT", "BUS", "FPE", "KILL", "USR1", "SEGV",
    "USR2", "PIPE", "ALRM", "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU",
    "URG", "XCPU", "XFSZ", "VTALRM", "PROF", "WINCH", "IO", "POLL", "PWR", "SYS", "RTMIN", "RTMAX",
];
