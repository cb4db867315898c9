//! The setting for how blobs are sent: with `sendfile` or by copying.

use schemars::JsonSchema;
use serde::Deserialize;

/// How blobs are sent to clients.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum SendBlobs {
    /// By the kernel, out of its page cache, where nothing stands between file and socket:
    /// HTTP/1 in the clear, and a file that is known to be right. Read otherwise.
    #[default]
    Sendfile,
    /// Read into memory and written.
    Read,
}
