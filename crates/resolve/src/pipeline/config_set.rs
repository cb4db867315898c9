//! `config-set`: changes how an image is run, in its configuration
//! (<https://github.com/opencontainers/image-spec/blob/main/config.md>).

use std::collections::BTreeMap;

use metahub_catalog::actions::{ConfigSet, EnvironmentEdit};
use metahub_oci::{ConfigError, ImageConfig, JsonMap};
use serde_json::{Value, json};

/// What an engine sets where a configuration says nothing of `PATH`.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The configuration with what `set` says, and the names of the fields that changed; nothing where
/// it says all of that already.
///
/// Every other field stays in its place. A history gets an entry that has no layer and no time.
pub(super) fn config_set(
    config: &ImageConfig,
    set: &ConfigSet,
) -> Result<Option<(ImageConfig, Vec<&'static str>)>, ConfigError> {
    let mut map = config.as_json().clone();
    let before = match map.get("config").and_then(Value::as_object) {
        Some(run) => run.clone(),
        None => JsonMap::new(),
    };
    let mut run = before.clone();
    command(&mut run, set);
    environment(&mut run, &set.env);
    for (key, text) in [
        ("WorkingDir", &set.working_dir),
        ("User", &set.user),
        ("StopSignal", &set.stop_signal),
    ] {
        if let Some(text) = text {
            run.insert(key.to_owned(), text.as_str().into());
        }
    }
    let labels = set.labels.iter();
    merge(
        &mut run,
        "Labels",
        labels.map(|(name, value)| (name.clone(), value.as_str().into())),
    );
    let ports = set
        .exposed_ports
        .iter()
        .map(|port| match port.contains('/') {
            true => (port.clone(), json!({})),
            false => (format!("{port}/tcp"), json!({})),
        });
    merge(&mut run, "ExposedPorts", ports);
    let volumes = set.volumes.iter();
    merge(
        &mut run,
        "Volumes",
        volumes.map(|path| (path.clone(), json!({}))),
    );
    let changed = changed(&before, &run);
    if changed.is_empty() {
        return Ok(None);
    }
    map.insert("config".to_owned(), Value::Object(run));
    if let Some(history) = map.get_mut("history").and_then(Value::as_array_mut)
        && !history.is_empty()
    {
        let created_by = format!("metahub config-set {}", changed.join(" "));
        history.push(json!({ "created_by": created_by, "empty_layer": true }));
    }
    Ok(Some((ImageConfig::from_map(map)?, changed)))
}

/// The fields that can change, as documents call them.
const FIELDS: [(&str, &str); 9] = [
    ("Entrypoint", "entrypoint"),
    ("Cmd", "cmd"),
    ("Env", "env"),
    ("WorkingDir", "working_dir"),
    ("User", "user"),
    ("Labels", "labels"),
    ("ExposedPorts", "exposed_ports"),
    ("Volumes", "volumes"),
    ("StopSignal", "stop_signal"),
];

fn changed(before: &JsonMap, after: &JsonMap) -> Vec<&'static str> {
    let changed = FIELDS
        .iter()
        .filter(|(key, _)| before.get(*key) != after.get(*key));
    changed.map(|(_, name)| *name).collect()
}

/// Entrypoint, default arguments and launcher. A new entrypoint takes the arguments away that were
/// meant for the old one, as `ENTRYPOINT` of a Dockerfile does.
fn command(run: &mut JsonMap, set: &ConfigSet) {
    if let Some(entrypoint) = &set.entrypoint {
        put(run, "Entrypoint", entrypoint.clone());
        if set.cmd.is_none() {
            run.shift_remove("Cmd");
        }
    }
    if let Some(cmd) = &set.cmd {
        put(run, "Cmd", cmd.clone());
    }
    if !set.wrap.is_empty() {
        // Without an entrypoint the launcher becomes the entrypoint: it runs before the image's
        // command, or one that replaces it.
        let mut wrapped = set.wrap.clone();
        wrapped.extend(words(run.get("Entrypoint")));
        // The shell form `["/bin/sh", "-c", TEXT]` is a command like any other.
        put(run, "Entrypoint", wrapped);
    }
}

fn put(run: &mut JsonMap, key: &str, words: Vec<String>) {
    if words.is_empty() {
        run.shift_remove(key);
    } else {
        run.insert(key.to_owned(), words.into());
    }
}

/// A command's words. One that is written as a single text, which Docker reads, is one word.
fn words(command: Option<&Value>) -> Vec<String> {
    match command {
        Some(Value::String(text)) if !text.is_empty() => vec![text.clone()],
        Some(Value::Array(words)) => {
            let words = words.iter().filter_map(Value::as_str);
            words.map(str::to_owned).collect()
        }
        _ => Vec::new(),
    }
}

fn environment(run: &mut JsonMap, edit: &EnvironmentEdit) {
    if edit.is_empty() {
        return;
    }
    let mut env = Environment(words(run.get("Env")));
    for name in &edit.unset {
        env.0.retain(|entry| name_of(entry) != name);
    }
    for (name, value) in &edit.set {
        env.set(name, value);
    }
    env.join(&edit.prepend, |more, value| match value.is_empty() {
        true => more.trim_end_matches(SEPARATORS).to_owned(),
        false => format!("{more}{value}"),
    });
    env.join(&edit.append, |more, value| match value.is_empty() {
        true => more.trim_start_matches(SEPARATORS).to_owned(),
        false => format!("{value}{more}"),
    });
    put(run, "Env", env.0);
}

/// Separates the items of lists in variables. At the end of a path list it would mean the working
/// directory.
const SEPARATORS: [char; 4] = [':', ';', ',', ' '];

/// Entries `NAME=VALUE`.
struct Environment(Vec<String>);

fn name_of(entry: &str) -> &str {
    entry.split_once('=').map_or(entry, |(name, _)| name)
}

impl Environment {
    /// Sets the first entry of a variable, and removes other entries of its name.
    fn set(&mut self, name: &str, value: &str) {
        let entry = format!("{name}={value}");
        let Some(at) = self.0.iter().position(|entry| name_of(entry) == name) else {
            return self.0.push(entry);
        };
        let mut index = 0;
        self.0.retain_mut(|old| {
            let keeps = index == at || name_of(old) != name;
            if index == at {
                old.clone_from(&entry);
            }
            index += 1;
            keeps
        });
    }

    fn join(&mut self, more: &BTreeMap<String, String>, joined: impl Fn(&str, &str) -> String) {
        for (name, more) in more {
            // Of several entries of a name, the last is what an engine passes on.
            let entry = self.0.iter().rev().find(|entry| name_of(entry) == name);
            let value = match entry.and_then(|entry| entry.split_once('=')) {
                Some((_, value)) => value.to_owned(),
                None if name == "PATH" => DEFAULT_PATH.to_owned(),
                None => String::new(),
            };
            self.set(name, &joined(more, &value));
        }
    }
}

/// Adds to one of the objects, which may be missing or `null`.
fn merge(run: &mut JsonMap, key: &str, items: impl Iterator<Item = (String, Value)>) {
    let mut items = items.peekable();
    if items.peek().is_none() {
        return;
    }
    let object = run.entry(key).or_insert(Value::Null);
    if !object.is_object() {
        *object = Value::Object(JsonMap::new());
    }
    if let Some(object) = object.as_object_mut() {
        object.extend(items);
    }
}
