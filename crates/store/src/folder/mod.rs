//! The data folder: where things lie in it, which process serves it, and which store it is.

pub(crate) mod identity;
pub(crate) mod layout;
pub(crate) mod lease;
pub(crate) mod lock;
pub(crate) mod process;
pub(crate) mod reserve;
pub(crate) mod settle;
