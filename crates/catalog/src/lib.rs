//! Profile and collection documents: parsing, diagnostics, composition of login selectors.
//!
//! Documents are YAML in the forms of `docs/documents.md`. Whatever is wrong in them is told
//! with file, line and column, all of it in one run. It never pulls an image and never decides
//! which one fits: that is the work of `hardware` and `resolve`.

mod actions;
mod catalog;
mod collection;
mod compose;
mod document;
mod event;
mod features;
mod hint;
mod load;
mod login;
mod meaning;
mod near;
mod pattern;
mod problem;
mod profile;
mod profile_name;
mod provide;
mod reader;
mod schema;
mod source;
mod write;
mod yaml;

pub use actions::{Action, ManifestAdd, ManifestFilter, ManifestSelect, NoneFits, Selection};
pub use catalog::{Catalog, check};
pub use collection::{Collection, Entry, PlatformSpec};
pub use compose::Composed;
pub use event::Event;
pub use load::{Loaded, Loader};
pub use login::{GrammarError, Login, LoginError, MAX_LOGIN_BYTES, MAX_SELECTORS};
pub use pattern::{PatternError, RepositoryPattern};
pub use problem::{Location, Problem, Severity};
pub use profile::Profile;
pub use profile_name::{ProfileName, ProfileNameError};
pub use schema::schema;
