//! The origin of content in a repository: pushed, fetched or derived.

/// How a manifest or a tag came to be here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Origin {
    /// It was pushed.
    Pushed,
    /// It was read from an upstream.
    Upstream,
    /// It was computed here.
    Derived,
}
