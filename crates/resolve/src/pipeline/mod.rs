//! The ordered pipeline of actions. Each event has its own entry: [`before()`] on
//! `pre-manifest-get`, [`narrow`](crate::narrow()) on `post-manifest-list-get`, [`ImageRun`] on
//! `post-manifest-get`, [`TagFilters`] on `post-tags-list-get`. A new action is a file in
//! `metahub_catalog::actions`, a row there, and an arm in the entry of its event.

mod applies;
mod before;
mod config_set;
mod for_request;
mod image;
mod request;
mod step;
mod tags;
pub(crate) mod when;

pub use applies::applies;
pub use before::{Before, acts_before, before};
pub use for_request::for_request;
pub use image::{
    ActionError, Changed, Image, ImageRun, image_actions, layer_images, named_layer_images,
};
pub use request::Request;
pub use step::Step;
pub use tags::TagFilters;
