//! How certain it is that a requirement is not met.

use serde::Serialize;

/// How certain it is that a machine does not meet a requirement that its stated features do not
/// meet. It never makes an image fit: it tells images to refuse from those that may be served with
/// a warning where there is nothing to choose among.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mismatch {
    /// Nothing is stated of the matter, so the machine may meet it or not: CUDA is required,
    /// and the login says nothing of GPUs.
    Unstated,
    /// The requirement itself cannot be read (`cuda:>=12`), or names something unknown.
    Unknown,
    /// The machine states this key, and its value does not meet the requirement: the image is for
    /// another CPU target, or for a later driver.
    Proven,
}
