//! Inspects credential files of other clients.

use std::path::Path;

use serde_json::Value;

/// Whether `file` names this program as a helper for `host`, or for any host.
#[must_use]
pub(crate) fn names_helper(file: &Path, host: Option<&str>) -> bool {
    let document = crate::trusted::read_any(file)
        .ok()
        .and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok());
    let helpers = document.as_ref().and_then(|document| {
        let helpers = document.get("credHelpers")?;
        helpers.as_object()
    });
    helpers.is_some_and(|helpers| {
        helpers
            .iter()
            .any(|(of, name)| name == crate::helper::NAME && host.is_none_or(|host| host == of))
    })
}
