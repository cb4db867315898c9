//! Profile and collection documents: parsing, diagnostics, composition of login selectors.
//!
//! Documents are YAML in the forms of `docs/documents.md`. One run reports every error with file,
//! line and column. This crate never pulls an image and never decides which one fits: `hardware`
//! and `resolve` do.

mod about;
pub mod actions;
pub mod artifact;
mod case;
mod catalog;
mod collection;
mod compose;
mod counting;
mod document;
mod event;
mod extends;
mod features;
mod files;
mod hint;
mod load;
mod location;
mod login;
mod meaning;
mod parameters;
mod pattern;
mod problem;
mod profile;
mod profile_name;
mod provide;
mod reader;
mod renewal;
mod schema;
mod source;
mod strict;
mod substitution;
mod suggestions;
mod version_order;
mod version_pattern;
mod when;
mod write;
mod yaml;

pub use about::{About, AboutCollection, AboutEntry, Certainty};
pub use actions::{Action, Args};
pub use case::{Expect, Expected, Given, GivenImage, GivenSource, TestCase};
pub use catalog::Catalog;
pub use collection::{Collection, Entry, PlatformSpec};
pub use compose::{Composed, Login};
pub use event::Event;
pub use files::{FileError, files};
pub use load::{Loaded, Loader, check};
pub use location::Location;
pub use login::{GrammarError, LoginError, MAX_LOGIN_BYTES, MAX_SELECTORS};
pub use parameters::{Parameter, ParameterError, ParameterType};
pub use pattern::{PatternError, RepositoryPattern, TextPattern};
pub use problem::{Problem, Severity};
pub use profile::Profile;
pub use profile_name::{ProfileName, ProfileNameError};
pub use renewal::{MAX_NEW_VERSIONS, RenewalError, Template, templates};
pub use schema::schema;
pub use strict::strict;
pub use suggestions::nearest;
pub use version_order::compare_versions;
pub use version_pattern::VersionPattern;
pub use when::When;
