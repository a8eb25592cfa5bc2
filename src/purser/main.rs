//! `purser`: see [`purser::cli`] for its commands.

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;
use purser::cli::{Cli, Command};
use purser::{catalogue, crds, simulate, solve};

/// What was asked cannot be done as it was asked: bad arguments or bad input.
const BAD_INPUT: u8 = 2;

/// What was asked could be done, but not to the end.
#[cfg_attr(not(feature = "cluster"), allow(dead_code))]
const FAILED: u8 = 1;

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
            ExitCode::from(if is_lost_lease(&error) { FAILED } else { BAD_INPUT })
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

/// Whether another replica may act from now on: whoever started this one should start it again.
#[cfg(feature = "cluster")]
fn is_lost_lease(error: &anyhow::Error) -> bool {
    error.is::<purser::run::LeaseLost>()
}

#[cfg(not(feature = "cluster"))]
fn is_lost_lease(_: &anyhow::Error) -> bool {
    false
}
