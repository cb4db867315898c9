//! Settings from environment variables. A value has the form it has in the file; an empty variable
//! counts as unset.

use std::ffi::OsString;

/// Looks an environment variable up.
pub(crate) type Environment<'a> = &'a dyn Fn(&str) -> Option<OsString>;

/// The text of a variable.
pub(super) fn text(value: OsString) -> Result<String, String> {
    value
        .into_string()
        .map_err(|_| "it is not UTF-8".to_owned())
}
