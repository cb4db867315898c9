//! Exit codes. The table is part of `metahub --help`.

use std::process::ExitCode;

use metahub_operations::OperationError;

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Success.
    Ok,
    /// A failure, which was printed.
    Failure,
    /// No image fits the login's hardware.
    NothingFits,
    /// A partial success; the failures are on standard error.
    Partial,
    /// A signal ended it; the rest of the work is on standard error.
    Interrupted,
}

/// The shells' code for a program that Ctrl-C ended.
pub(crate) const INTERRUPTED: u8 = 130;

/// The table for `--help`; usage errors (2) are reported by the argument parser.
pub(crate) const TABLE: &str = "\
Exit codes:
  0  done
  1  failed; the reason is on standard error
  2  wrong arguments
  3  nothing fits: no image can run on what the login provides
  4  done in part: what could not be had is on standard error
  130  interrupted: what was done and what is left is on standard error";

/// The same after a command's examples.
pub(crate) fn table_after(examples: &str) -> String {
    format!("{examples}\n{TABLE}")
}

/// The exit code of a failure: "nothing fits" has its own.
pub(crate) fn of(error: miette::Report) -> miette::Result<Exit> {
    match error.downcast_ref() {
        Some(OperationError::NothingFits(message)) => {
            anstream::eprintln!("{message}");
            Ok(Exit::NothingFits)
        }
        _ => Err(error),
    }
}

/// The exit code of a partial success, after printing `failed`.
pub(crate) fn in_part(failed: &[String]) -> Exit {
    for failure in failed {
        anstream::eprintln!("failed: {failure}");
    }
    if failed.is_empty() {
        Exit::Ok
    } else {
        Exit::Partial
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        match exit {
            Exit::Ok => Self::SUCCESS,
            Exit::Failure => Self::FAILURE,
            Exit::NothingFits => Self::from(3),
            Exit::Partial => Self::from(4),
            Exit::Interrupted => Self::from(INTERRUPTED),
        }
    }
}
