//! `purser`: see [`purser::cli`] for its commands.

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;
use purser::cli::{Cli, Command};
use purser::{catalogue, crds, simulate, solve};

/// What was asked cannot be done as it was asked: bad arguments or bad input.
const BAD_INPUT: u8 = 2;

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Simulate(options) => simulate::run(&options),
        Command::Catalogue(options) => catalogue::run(&options),
        Command::Crds(options) => crds::run(&options),
        Command::Solve(options) => solve::run(&options),
        #[cfg(feature = "cluster")]
        Command::Run(options) => purser::run::run(&options),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if is_closed_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            // One line, so that it can be found again in any log.
            let line = format!("{error:#}").replace('\n', " ");
            // Should stderr be gone too, there is nobody left to tell.
            let _ = writeln!(std::io::stderr(), "purser: {line}");
            ExitCode::from(BAD_INPUT)
        }
    }
}

/// Whether whoever read our output has had enough of it.
fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<std::io::Error>())
        .any(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
}
