//! `metahub completions SHELL`: a completion script, generated from the command line itself.

use clap_complete::Shell;

use crate::exit::Exit;
use crate::output;

pub(crate) fn run(shell: Shell, command: &mut clap::Command) -> miette::Result<Exit> {
    let mut script = Vec::new();
    clap_complete::generate(shell, command, "metahub", &mut script);
    output::line(String::from_utf8_lossy(&script).trim_end())?;
    Ok(Exit::Ok)
}
