//! `metahub profile`: what curators do with profiles.

use clap::Subcommand;

use crate::commands::profile_test::{self, ProfileTestArgs};
use crate::exit::Exit;

#[derive(Debug, Subcommand)]
pub(crate) enum ProfileCommand {
    /// Run the tests that stand beside profiles, without a server
    Test(ProfileTestArgs),
}

pub(crate) async fn run(command: ProfileCommand) -> miette::Result<Exit> {
    match command {
        ProfileCommand::Test(args) => profile_test::run(args).await,
    }
}
