//! Completion scripts and manual pages, generated from the command line itself.

use std::path::Path;

use clap::Command;
use clap_complete::Shell;
use clap_mangen::Man;

use crate::answer::Answer;

/// The completion script of `shell`.
pub(crate) fn completions(shell: Shell, command: &mut Command) -> Answer {
    let mut script = Vec::new();
    clap_complete::generate(shell, command, "metahub-node", &mut script);
    Answer::ok(String::from_utf8_lossy(&script))
}

/// The program's manual page, or one per command as files of the folder `out`.
pub(crate) fn man(out: Option<&Path>, mut command: Command) -> Answer {
    let Some(folder) = out else {
        let mut page = Vec::new();
        return match Man::new(command).render(&mut page) {
            Ok(()) => Answer::ok(String::from_utf8_lossy(&page)),
            Err(error) => Answer::error(1, format!("cannot make the manual page: {error}")),
        };
    };
    let written = std::fs::create_dir_all(folder).and_then(|()| {
        command.build();
        clap_mangen::generate_to(command, folder)
    });
    match written {
        Ok(()) => Answer::ok(""),
        Err(error) => Answer::error(
            1,
            format!("cannot write manual pages to {}: {error}", folder.display()),
        ),
    }
}
