//! Return types that the methods of all records share.

use futures_util::future::BoxFuture;

use crate::StoreError;

/// The future of a method's result. A change is made even if the future is dropped.
pub(crate) type Answer<'a, T, E = StoreError> = BoxFuture<'a, Result<T, E>>;

/// Where a list that is read in batches continues; the default is its beginning. Only the
/// implementation that returned the numbers knows their meaning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Cursor(pub(super) [i64; 2]);

/// Some of a list that is read in batches, in no order that means anything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Batch<T> {
    pub(crate) items: Vec<T>,
    /// Where the next batch begins; `None` at the end.
    pub(crate) next: Option<Cursor>,
}
