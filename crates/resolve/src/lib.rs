//! The actions: pure functions from documents to documents, each with its explanation.
//!
//! [`narrow()`] is what happens on `post-manifest-list-get`: of an index's entries it keeps those
//! that a profile asks for, one for each machine. [`add_layers()`] is what happens on
//! `post-manifest-get`. [`collection_candidates`] makes an index of a collection, which then goes
//! the way of any index. The same inputs give the same bytes everywhere. Nothing here fetches,
//! stores, or asks a clock.

mod add_error;
mod add_layers;
mod annotation;
mod built_for;
mod candidate;
mod choice;
mod collection;
mod filter;
mod layers;
mod machines;
mod narrow;
mod nothing_fits;
mod numbers;
mod one_per_machine;
mod own_statements;
mod pipeline;
mod policy;
mod reading;
mod requirements;
mod rewrite;
mod rule;
mod serve;
mod unstated;
mod verdict;

pub use add_error::{AddError, Role};
pub use add_layers::{add_layers, name_base};
pub use annotation::{BASE_DIGEST, BASE_NAME, EXCLUDED, IMAGE, READ, UNKNOWN, WEIGHT};
pub use built_for::{built_for, chosen_for, target_named};
pub use collection::{Candidates, LeftOut, Pointed, collection_candidates, says_everything};
pub use filter::{Filtered, filter};
pub use layers::MAX_LAYERS;
pub use narrow::{Narrowed, judge, narrow, narrow_candidates};
pub use nothing_fits::NothingFits;
pub use one_per_machine::{Shaped, one_per_machine, one_per_machine_with};
pub use own_statements::{below, excluded, unmarked, with_own};
pub use pipeline::{
    ActionError, Before, Changed, Image, ImageRun, Request, Step, TagFilters, acts_before, applies,
    before, for_request, image_actions, layer_images, named_layer_images,
};
pub use policy::{Policy, Unsure};
pub use reading::{MAX_READ_AT_ONCE, to_read};
pub use serve::{replace_children, served_descriptor};
pub use verdict::{Verdict, Verdicts};
