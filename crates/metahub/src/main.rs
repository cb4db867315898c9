//! The `metahub` command: parses its arguments, runs one command, and turns the outcome into an
//! exit code. Decisions live in the libraries; what people read is made here.

mod app;
mod args;
mod bounds;
mod certificate;
mod cli;
mod commands;
mod config;
mod control;
mod control_socket;
mod data;
mod demand;
mod descriptors;
mod dispatch;
mod documents;
mod exit;
mod follow;
mod guarded;
mod keys;
mod local_documents;
mod log_writer;
mod logging;
mod output;
mod reload;
mod schedule;
mod signals;
mod sources;
mod sweep;
mod warm;

use clap::Parser as _;

fn main() -> std::process::ExitCode {
    if let Some(code) = metahub_emulation::run_if_inside() {
        return code.into();
    }
    output::report_errors();
    let cli = cli::Cli::parse();
    dispatch::run(cli).into()
}
