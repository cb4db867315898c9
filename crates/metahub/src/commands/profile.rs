//! `metahub profile`: what curators do with profiles.

use clap::Subcommand;
use metahub_operations::DocumentKind;

use crate::commands::documents::{self, DocumentCommand};
use crate::commands::profile_test::{self, ProfileTestArgs};
use crate::exit::Exit;

#[derive(Debug, Subcommand)]
pub(crate) enum ProfileCommand {
    /// Run the tests that stand beside profiles, without a server
    Test(ProfileTestArgs),
    #[command(flatten)]
    Document(DocumentCommand),
}

pub(crate) async fn run(command: ProfileCommand) -> miette::Result<Exit> {
    match command {
        ProfileCommand::Test(args) => profile_test::run(args).await,
        ProfileCommand::Document(command) => documents::run(DocumentKind::Profile, command).await,
    }
}
