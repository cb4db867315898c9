//! What may be in use at once, so that no client takes everything: memory for large documents,
//! and for each client network its share of the requests being answered and its turn in a queue.
//!
//! Nothing here waits without end: whoever cannot be served in time gets an error that says when
//! to try again. Everything that is granted is given back when it is dropped, also by a task that
//! panics or is cancelled.

mod documents;
mod fair_queue;
mod network;
mod shares;

pub use documents::{BudgetError, DocumentBudget, DocumentUse, PARSED_FACTOR, Reservation};
pub use fair_queue::{FairQueue, QueueFull, Turn};
pub use network::{Network, parse_network};
pub use shares::{Full, Share, Shares};
