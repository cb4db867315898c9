//! One file per command: what it takes, and what it does.

pub(crate) mod account;
pub(crate) mod accounts_of;
pub(crate) mod backup;
pub(crate) mod bundle;
pub(crate) mod catalog;
pub(crate) mod check;
pub(crate) mod completions;
pub(crate) mod coverage;
pub(crate) mod demo;
pub(crate) mod document_server;
pub(crate) mod documents;
pub(crate) mod man;
pub(crate) mod order;
pub(crate) mod pin;
pub(crate) mod profile;
pub(crate) mod profile_test;
pub(crate) mod release;
pub(crate) mod resolve;
pub(crate) mod schema;
pub(crate) mod selection;
pub(crate) mod serve;
pub(crate) mod test_formats;
pub(crate) mod upkeep;
pub(crate) mod upstream_login;
pub(crate) mod warm;
pub(crate) mod why;
