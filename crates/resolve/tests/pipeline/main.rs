//! The pipeline of actions: conditions, what happens before anything is read, changes of an image,
//! lists of tags.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests assert by panicking"
)]

#[path = "../common/mod.rs"]
mod common;

mod before;
mod conditions;
mod config_set;
mod image;
mod tags;

use metahub_catalog::{Action, Args, Catalog, Composed, TextPattern, When};

/// A login that provides `login` and does `actions`.
fn profile(login: &str, actions: Vec<Action>) -> Composed {
    let catalog = Catalog::builtin();
    let login = catalog.interpret(login, &|_| false).unwrap();
    login.profile.with_actions(actions)
}

fn when(args: Args, when: When) -> Action {
    Action {
        when: Some(Box::new(when)),
        args,
    }
}

fn pattern(text: &str) -> Option<TextPattern> {
    Some(text.parse().unwrap())
}
