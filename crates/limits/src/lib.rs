//! Limits on what may be in use at once, so that no client takes everything: memory for large
//! documents, and for each client network its share of the requests being answered and its turn in
//! a queue.
//!
//! No wait is unbounded: a caller that cannot be served in time gets an error that says when to
//! retry. Everything that is granted is returned on drop, also by a task that panics or is
//! cancelled.

mod documents;
mod fair_queue;
mod network;
mod shares;

pub use documents::{BudgetError, DocumentBudget, DocumentUse, PARSED_FACTOR, Reservation};
pub use fair_queue::{FairQueue, QueueFull, Turn};
pub use network::{Network, parse_network};
pub use shares::{Full, Share, Shares};
