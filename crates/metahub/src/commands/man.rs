//! `metahub man`: manual pages, generated from the command line itself.

use std::path::Path;

use clap_mangen::Man;
use miette::{IntoDiagnostic as _, WrapErr as _};

use crate::exit::Exit;
use crate::output;

pub(crate) fn run(out: Option<&Path>, mut command: clap::Command) -> miette::Result<Exit> {
    match out {
        None => {
            let mut page = Vec::new();
            Man::new(command).render(&mut page).into_diagnostic()?;
            output::line(String::from_utf8_lossy(&page).trim_end())?;
        }
        Some(folder) => {
            std::fs::create_dir_all(folder)
                .and_then(|()| {
                    command.build();
                    clap_mangen::generate_to(command, folder)
                })
                .into_diagnostic()
                .wrap_err_with(|| format!("cannot write manual pages to {}", folder.display()))?;
        }
    }
    Ok(Exit::Ok)
}
