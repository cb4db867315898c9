//! From a request for a tag, a manifest, a blob or a list to the answer.

pub(crate) mod artifact;
pub(crate) mod blob;
pub(crate) mod candidates;
pub(crate) mod choice;
pub(crate) mod collection;
pub(crate) mod compatibility;
pub(crate) mod derivation;
pub(crate) mod derived;
pub(crate) mod document;
pub(crate) mod explanation;
pub(crate) mod image;
pub(crate) mod judgement;
pub(crate) mod layers;
pub(crate) mod manifest;
pub(crate) mod nested;
pub(crate) mod outcome;
pub(crate) mod outcome_store;
pub(crate) mod page;
pub(crate) mod referrers;
pub(crate) mod repositories;
pub(crate) mod resolution;
pub(crate) mod runnable;
pub(crate) mod source;
pub(crate) mod statements;
pub(crate) mod tags;
