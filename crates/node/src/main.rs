//! `metahub-node`, and under the name `docker-credential-metahub` a credential helper.

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().collect();
    ExitCode::from(metahub_node::cli::run(arguments).print())
}
