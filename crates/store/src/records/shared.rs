//! Return types that the methods of all records share.

use futures_util::future::BoxFuture;

use crate::StoreError;

/// What a method answers, once that is known. A change is made even if nobody waits for it.
pub(crate) type Answer<'a, T, E = StoreError> = BoxFuture<'a, Result<T, E>>;

/// Where a list that is read in batches goes on; the default is its beginning. What the numbers
/// mean is known to the implementation that gave them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Cursor(pub(super) [i64; 2]);

/// Some of a list that is read in batches, in no order that means anything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Batch<T> {
    pub(crate) items: Vec<T>,
    /// Where the next batch begins; `None` at the end.
    pub(crate) next: Option<Cursor>,
}
