//! Settings from environment variables. A value is what would stand in the file; an empty
//! variable counts as unset.

use std::ffi::OsString;
use std::fmt::Display;
use std::path::PathBuf;
use std::str::FromStr;

use serde::de::DeserializeOwned;

use super::yaml::{ConfigError, parse};

/// Looks an environment variable up.
pub(crate) type Environment<'a> = &'a dyn Fn(&str) -> Option<OsString>;

pub(super) fn path_variable(environment: Environment<'_>, name: &str) -> Option<PathBuf> {
    environment(name)
        .filter(|value| !value.is_empty())
        .map(PathBuf::from)
}

/// A setting from a variable that is one word, of the form `expected`. An address in brackets is
/// no YAML list.
pub(super) fn plain_variable<T: FromStr<Err: Display>>(
    environment: Environment<'_>,
    variable: &'static str,
    expected: &str,
) -> Result<Option<T>, ConfigError> {
    let wrong = |message: String| ConfigError::Variable { variable, message };
    text_of(environment, variable)?
        .map(|text| {
            text.parse()
                .map_err(|error| wrong(format!("'{text}': {error}; expected {expected}")))
        })
        .transpose()
}

/// A setting from a variable, written as in the file. An empty variable counts as unset.
pub(super) fn variable<T: DeserializeOwned>(
    environment: Environment<'_>,
    variable: &'static str,
) -> Result<Option<T>, ConfigError> {
    text_of(environment, variable)?
        .map(|text| {
            parse(&text).map_err(|problem| ConfigError::Variable {
                variable,
                message: problem.message,
            })
        })
        .transpose()
}

fn text_of(
    environment: Environment<'_>,
    variable: &'static str,
) -> Result<Option<String>, ConfigError> {
    environment(variable)
        .filter(|value| !value.is_empty())
        .map(OsString::into_string)
        .transpose()
        .map_err(|_| ConfigError::Variable {
            variable,
            message: "it is not UTF-8".to_owned(),
        })
}
