//! The setting for how blobs are sent: with `sendfile` or by copying.

use schemars::JsonSchema;
use serde::Deserialize;

/// How blobs are sent to clients.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum SendBlobs {
    /// By the kernel, from its page cache, if nothing is between file and socket: HTTP/1 in the
    /// clear, and a verified file. Otherwise by copying.
    #[default]
    Sendfile,
    /// Read into memory and written.
    Read,
}
