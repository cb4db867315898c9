//! The parameters of a profile: what a login may set, as in `cpu=zen2`. [`crate::substitution`]
//! puts their values into the profile's texts.

use std::fmt;

use serde::Serialize;
use serde_json::{Value as Json, json};

use crate::reader::Reader;
use crate::suggestions;
use crate::yaml::{Node, Value};

/// Most parameters of a profile.
const MOST_PARAMETERS: usize = 16;
/// Most values that a parameter may list.
const MOST_ALLOWED: usize = 64;

const PARAMETER_KEYS: &[&str] = &["type", "description", "default", "allowed"];
const EXAMPLE: &str = "parameters: {cpu: {type: string, default: zen3, allowed: [zen2, zen3]}}";

/// What the values of a parameter are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ParameterType {
    /// Any text that a login can carry.
    #[default]
    String,
    /// A whole number.
    Integer,
    /// `true` or `false`.
    Boolean,
}

impl ParameterType {
    const ALL: [(&'static str, Self); 3] = [
        ("string", Self::String),
        ("integer", Self::Integer),
        ("boolean", Self::Boolean),
    ];

    fn accepts(self, value: &str) -> bool {
        match self {
            Self::String => true,
            Self::Integer => value.parse::<i64>().is_ok(),
            Self::Boolean => matches!(value, "true" | "false"),
        }
    }
}

impl fmt::Display for ParameterType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::String => "a text",
            Self::Integer => "a whole number",
            Self::Boolean => "true or false",
        })
    }
}

/// A parameter of a profile, which a login may set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Parameter {
    /// What stands between `${` and `}`.
    pub name: String,
    /// What its values are.
    #[serde(rename = "type")]
    pub kind: ParameterType,
    /// What it is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Its value where the login sets none.
    pub default: String,
    /// The values that it may have; any of its type if none are listed, under an account only.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub allowed: Vec<String>,
}

/// Why a parameter cannot have a value. The text is made for the user.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParameterError {
    /// It is not of the parameter's type.
    #[error("{name} is {kind}, not '{value}'")]
    Type {
        /// The parameter.
        name: String,
        /// What it takes.
        kind: ParameterType,
        /// What was given.
        value: String,
    },
    /// It is not among the values that are allowed.
    #[error("{name} is one of {}, not '{value}'{}", .allowed.join(", "), DidYouMean(.near))]
    NotAllowed {
        /// The parameter.
        name: String,
        /// What it takes.
        allowed: Vec<String>,
        /// What was given.
        value: String,
        /// The allowed value that was probably meant.
        near: Option<String>,
    },
    /// The values are not listed, and the login names no account.
    #[error("{name} takes any value, so it needs an account before it: ACCOUNT/{profile}={value}")]
    NeedsAccount {
        /// The parameter.
        name: String,
        /// The profile as logins name it.
        profile: String,
        /// What was given.
        value: String,
    },
}

struct DidYouMean<'a>(&'a Option<String>);

impl fmt::Display for DidYouMean<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(near) => write!(f, ": did you mean {near}?"),
            None => Ok(()),
        }
    }
}

impl Parameter {
    /// The value as it is put into texts: an allowed one as it is listed.
    pub(crate) fn value(&self, given: &str) -> Result<String, ParameterError> {
        let listed = self.allowed.iter().find(|allowed| {
            *allowed == given || suggestions::fold(allowed) == suggestions::fold(given)
        });
        if let Some(listed) = listed {
            return Ok(listed.clone());
        }
        if !self.allowed.is_empty() {
            let near = suggestions::nearest(given, self.allowed.iter().map(String::as_str));
            return Err(ParameterError::NotAllowed {
                name: self.name.clone(),
                allowed: self.allowed.clone(),
                value: given.to_owned(),
                near: near.map(str::to_owned),
            });
        }
        if !self.kind.accepts(given) {
            return Err(ParameterError::Type {
                name: self.name.clone(),
                kind: self.kind,
                value: given.to_owned(),
            });
        }
        Ok(given.to_owned())
    }

    /// The parameters under the key `parameters`.
    pub(crate) fn read_all(reader: &mut Reader<'_>, node: &Node) -> Vec<Self> {
        let Value::Map(pairs) = &node.value else {
            let message = format!("`parameters` is a mapping, not {}", node.value.kind());
            reader.error(
                "wrong-type",
                node.mark,
                message,
                format!("write `{EXAMPLE}`"),
            );
            return Vec::new();
        };
        let mut found: Vec<Self> = Vec::with_capacity(pairs.len().min(MOST_PARAMETERS));
        for (key, value) in pairs {
            let Some(name) = reader.text(key, "parameters", EXAMPLE) else {
                continue;
            };
            if !is_name(name) {
                let message = format!(
                    "'{name}' cannot be a parameter: expected a letter, then letters, digits and '_'"
                );
                reader.error("bad-name", key.mark, message, format!("write `{EXAMPLE}`"));
                continue;
            }
            if found.iter().any(|other| other.name == name) {
                let message = format!("the parameter `{name}` is declared twice");
                reader.error("duplicate-key", key.mark, message, "remove one".to_owned());
                continue;
            }
            if found.len() == MOST_PARAMETERS {
                let message = format!("a profile has at most {MOST_PARAMETERS} parameters");
                reader.error("too-many", key.mark, message, None);
                break;
            }
            found.extend(Self::read(reader, name, value));
        }
        found
    }

    fn read(reader: &mut Reader<'_>, name: &str, node: &Node) -> Option<Self> {
        let errors = reader.errors();
        let fields = reader.fields(node, "a parameter", PARAMETER_KEYS)?;
        let kind = fields.get("type").and_then(|node| {
            let text = reader.text(node, "type", "type: string")?;
            let known = ParameterType::ALL.iter().find(|(name, _)| *name == text);
            if known.is_none() {
                let message = format!("there is no type '{text}'");
                let help = "the types are `string`, `integer` and `boolean`".to_owned();
                reader.error("wrong-type", node.mark, message, help);
            }
            known.map(|(_, kind)| *kind)
        });
        let description = fields
            .get("description")
            .and_then(|node| reader.text(node, "description", "description: what it is for"));
        let (mut allowed, mut marks) = (Vec::new(), Vec::new());
        if let Some(list) = fields.get("allowed") {
            let items = reader.list(list, "allowed", "allowed: [zen2, zen3]");
            let items = items.unwrap_or_default();
            if items.is_empty() || items.len() > MOST_ALLOWED {
                let message = format!("`allowed` lists 1 to {MOST_ALLOWED} values");
                reader.error("too-many", list.mark, message, None);
            }
            for item in items.iter().take(MOST_ALLOWED) {
                if let Some(text) = reader.text(item, "allowed", "allowed: [zen2, zen3]") {
                    allowed.push(text.to_owned());
                    marks.push(item.mark);
                }
            }
        }
        let default = fields.required(reader, "default", "zen3");
        let default = default.and_then(|node| {
            let text = reader.text(node, "default", "default: zen3")?;
            Some((text.to_owned(), node.mark))
        });
        let parameter = Self {
            name: name.to_owned(),
            kind: kind.unwrap_or_default(),
            description: description.map(str::to_owned),
            default: String::new(),
            allowed,
        };
        for (value, mark) in parameter.allowed.iter().zip(marks) {
            if !parameter.kind.accepts(value) || !is_value(value) {
                let message = format!(
                    "`{name}` is {}, and '{value}' is none that a login can carry",
                    parameter.kind
                );
                reader.error("bad-value", mark, message, None);
            }
        }
        let (default, mark) = default?;
        if let Err(error) = parameter.value(&default) {
            reader.error("bad-value", mark, format!("`default`: {error}"), None);
        }
        (errors == reader.errors()).then_some(Self {
            default,
            ..parameter
        })
    }

    pub(crate) fn schema() -> Json {
        let scalar = || json!({ "type": ["string", "number", "boolean"] });
        json!({
            "description": "What a login may set, as in NAME=VALUE; ${PARAMETER} stands for it",
            "type": "object",
            "maxProperties": MOST_PARAMETERS,
            "propertyNames": { "pattern": "^[A-Za-z][A-Za-z0-9_]*$" },
            "additionalProperties": {
                "type": "object",
                "additionalProperties": false,
                "required": ["default"],
                "properties": {
                    "type": { "enum": ["string", "integer", "boolean"], "default": "string" },
                    "description": { "type": "string" },
                    "default": scalar(),
                    "allowed": {
                        "description": "Without it any value is taken, under an account only",
                        "type": "array",
                        "minItems": 1,
                        "maxItems": MOST_ALLOWED,
                        "items": scalar(),
                    },
                },
            },
        })
    }
}

fn is_name(text: &str) -> bool {
    let letters = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.starts_with(|c: char| c.is_ascii_alphabetic()) && text.chars().all(letters)
}

/// Whether a login can carry it behind a `=`.
fn is_value(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
}
