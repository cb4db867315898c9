//! Speaking to registries as a client. Everything that registries send is parsed here and nowhere
//! else: challenges, answers of token servers, lists and their pages, error bodies, the headers of
//! manifests and ranges; and the paths of the distribution API are built here.
//!
//! These parts do no I/O and trust nothing: they take bytes that are bounded already, and return
//! types. Two clients use them: [`blocking`], small, for the program on the node, and [`session`],
//! for the command. `upstream` uses the parts with its own connections.

mod accept;
mod challenge;
mod error_body;
mod head;
mod link;
mod lists;
pub mod path;
mod printable;
mod range;
mod token;

#[cfg(feature = "blocking")]
pub mod blocking;
#[cfg(feature = "async")]
pub mod session;

pub use accept::MANIFESTS;
pub use challenge::Challenge;
pub use error_body::ErrorBody;
pub use head::{Head, content_length};
pub use link::next_page;
pub use lists::{referrers, tags};
pub use printable::printable;
pub use range::{content_range, range_header};
pub use token::{NoToken, TokenAnswer, pull_scope, push_scope, token_query};
