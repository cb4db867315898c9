//! The value and the source of each setting, for `metahub config show`; and variables that look
//! like settings and are none.

use metahub_catalog::nearest;
use serde::Serialize;
use serde_json::Value;

use super::declare::{Declared, Keys as _};
use super::environment::Environment;
use super::keys::Layer;
use super::yaml::parse;

/// The prefix of the program's variables.
const PREFIX: &str = "METAHUB_";
/// Variables that are no settings of the server.
const OTHERS: [&str; 22] = [
    "METAHUB_CONFIG",
    "METAHUB_LOG",
    "METAHUB_LOG_FORMAT",
    "METAHUB_SERVER",
    "METAHUB_LOGIN",
    "METAHUB_CA_FILE",
    // Those of the program on a node, which may be this machine.
    "METAHUB_NODE_CACHE",
    "METAHUB_NODE_CA_FILE",
    "METAHUB_NODE_CLOUD",
    "METAHUB_NODE_CONFIG",
    "METAHUB_NODE_FEATURES",
    "METAHUB_NODE_IDENTITY",
    "METAHUB_NODE_KEYS",
    "METAHUB_NODE_LOGIN",
    "METAHUB_NODE_LOGINS",
    "METAHUB_NODE_MUNGE_SOCKET",
    "METAHUB_NODE_PLAIN_HTTP",
    "METAHUB_NODE_PROFILES",
    "METAHUB_NODE_REGISTRIES",
    "METAHUB_NODE_TIMEOUT",
    "METAHUB_NODE_TOKENS",
    "METAHUB_NODE_TOOLS",
];

/// One setting.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Shown {
    /// Its key; one within another with a dot between.
    pub(crate) key: String,
    /// Its value as JSON; null if unset.
    pub(crate) value: Value,
    /// Its source.
    pub(crate) from: Written,
}

/// The source of a setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Written {
    /// Nowhere: the program's own value.
    Default,
    /// In the configuration file.
    File,
    /// In an environment variable.
    Variable,
}

/// All settings, in the order of the example file. `file` is the text of the configuration file.
pub(crate) fn shown(file: Option<&str>, environment: Environment<'_>) -> Vec<Shown> {
    let file = file.and_then(|text| parse::<Value>(text).ok());
    let mut all = Vec::new();
    add(&Layer::declared(), "", file.as_ref(), environment, &mut all);
    all
}

fn add(
    keys: &[Declared],
    around: &str,
    file: Option<&Value>,
    environment: Environment<'_>,
    all: &mut Vec<Shown>,
) {
    for declared in keys {
        let key = format!("{around}{}", declared.key);
        let written = file.and_then(|file| file.get(declared.key));
        let within = (declared.within)();
        if !within.is_empty() {
            add(&within, &format!("{key}."), written, environment, all);
            continue;
        }
        let variable = environment(&variable(&key)).filter(|value| !value.is_empty());
        let (value, from) = match (variable, written) {
            (Some(text), _) => (value_of(&text.to_string_lossy()), Written::Variable),
            (None, Some(value)) => (value.clone(), Written::File),
            (None, None) => (value_of(declared.default), Written::Default),
        };
        all.push(Shown { key, value, from });
    }
}

/// The YAML value of a text.
fn value_of(text: &str) -> Value {
    if text.is_empty() {
        return Value::Null;
    }
    parse(text).unwrap_or_else(|_| Value::String(text.to_owned()))
}

/// The variable of a key.
pub(crate) fn variable(key: &str) -> String {
    format!("{PREFIX}{}", key.replace('.', "_").to_uppercase())
}

/// Those of `names` that look like a variable of this program and are none, each with the nearest
/// one. Others are ignored: clusters invent such names for services.
pub(crate) fn misspelt(names: impl Iterator<Item = String>) -> Vec<(String, String)> {
    let mut known: Vec<String> = OTHERS.map(str::to_owned).to_vec();
    add_variables(&Layer::declared(), "", &mut known);
    let own = |name: &String| name.starts_with(PREFIX) && !known.contains(name);
    let found = names.filter(own).filter_map(|name| {
        let candidates = known.iter().filter_map(|known| known.strip_prefix(PREFIX));
        let near = nearest(name.strip_prefix(PREFIX)?, candidates)?;
        let near = format!("{PREFIX}{near}");
        Some((name, near))
    });
    found.collect()
}

fn add_variables(keys: &[Declared], around: &str, known: &mut Vec<String>) {
    for declared in keys {
        let key = format!("{around}{}", declared.key);
        let within = (declared.within)();
        add_variables(&within, &format!("{key}."), known);
        if within.is_empty() {
            known.push(variable(&key));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::*;

    #[test]
    fn each_setting_says_where_it_is_written() {
        let file = "listen: 0.0.0.0:80\ntls: {certificate: a.pem}\nupstreams: []\n";
        let environment = |name: &str| match name {
            "METAHUB_LISTEN" => Some(OsString::from("127.0.0.1:7")),
            "METAHUB_TLS_KEY" => Some(OsString::from("b.pem")),
            "METAHUB_DATA" => Some(OsString::new()),
            _ => None,
        };
        let all = shown(Some(file), &environment);
        let of = |key: &str| {
            let one = all.iter().find(|shown| shown.key == key).unwrap();
            (one.value.to_string(), one.from)
        };
        assert_eq!(
            of("listen"),
            ("\"127.0.0.1:7\"".to_owned(), Written::Variable)
        );
        assert_eq!(
            of("tls.certificate"),
            ("\"a.pem\"".to_owned(), Written::File)
        );
        assert_eq!(of("tls.key"), ("\"b.pem\"".to_owned(), Written::Variable));
        assert_eq!(of("upstreams"), ("[]".to_owned(), Written::File));
        assert_eq!(
            of("data"),
            ("\"metahub-data\"".to_owned(), Written::Default)
        );
        assert_eq!(of("public_url"), ("null".to_owned(), Written::Default));
        assert!(
            all.iter().all(|one| one.key != "tls"),
            "only its parts are settings"
        );
    }

    #[test]
    fn a_misspelt_variable_is_told_from_one_of_somebody_else() {
        let names = [
            "METAHUB_LISTN",
            "METAHUB_TLS_CERTIFICAT",
            "METAHUB_LISTEN",
            "METAHUB_LOG",
            "METAHUB_SERVICE_HOST",
            "METAHUB_PORT_5000_TCP",
            "HOME",
        ];
        let found = misspelt(names.into_iter().map(str::to_owned));
        let found: Vec<(&str, &str)> = found
            .iter()
            .map(|(name, near)| (&**name, &**near))
            .collect();
        assert_eq!(
            found,
            [
                ("METAHUB_LISTN", "METAHUB_LISTEN"),
                ("METAHUB_TLS_CERTIFICAT", "METAHUB_TLS_CERTIFICATE"),
            ]
        );
    }
}
