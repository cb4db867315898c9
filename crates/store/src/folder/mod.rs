//! The data folder: its layout, the process that serves it, and the identity of its store.

pub(crate) mod identity;
pub(crate) mod layout;
pub(crate) mod lease;
pub(crate) mod lock;
pub(crate) mod process;
pub(crate) mod reserve;
pub(crate) mod settle;
