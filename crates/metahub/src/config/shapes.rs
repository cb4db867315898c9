//! JSON Schemas of values whose types have none.

use schemars::JsonSchema;

/// What a person writes as one text.
#[derive(JsonSchema)]
pub(super) struct Text(#[allow(dead_code, reason = "only its schema counts")] String);

/// Yes or no, or a list of texts.
#[derive(JsonSchema)]
#[serde(untagged)]
#[allow(dead_code, reason = "only its schema counts")]
pub(super) enum BoolOrTexts {
    Bool(bool),
    Texts(Vec<String>),
}

/// Yes or no, or a text.
#[derive(JsonSchema)]
#[serde(untagged)]
#[allow(dead_code, reason = "only its schema counts")]
pub(super) enum BoolOrText {
    Bool(bool),
    Text(String),
}

/// Yes or no, or `well-known`.
#[derive(JsonSchema)]
#[serde(untagged)]
#[allow(dead_code, reason = "only its schema counts")]
pub(super) enum BoolOrWellKnown {
    Bool(bool),
    Word(WellKnown),
}

#[derive(JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[allow(dead_code, reason = "only its schema counts")]
pub(super) enum WellKnown {
    WellKnown,
}
