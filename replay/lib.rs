//! Reads a journal: lists, shows, explains, re-executes and verifies it.
//!
//! Everything works offline on the journal's folder, or on a copy or an archive of it: no cluster, no cloud, no clock. What a
//! decision looked at is not stored; it is found again by taking the decision again with a tracer on.
//!
//! Start at [`run`]. [`source`] reads the log, [`index`] finds who is who in it, [`fold`] takes State to a moment, and each
//! module of [`commands`] answers one command; [`why`] tells the stories.
//!
//! **Invariant:** nothing here writes into a journal, and the same journal gives the same answer, whenever and wherever it is
//! asked.

pub mod cli;
pub mod commands;
pub mod diff;
pub mod filter;
pub mod fold;
pub mod index;
pub mod interrupt;
pub mod output;
pub mod progress;
pub mod sentence;
pub mod source;
pub mod subjects;
pub mod text;
pub mod when;
pub mod why;

use std::ffi::OsString;
use std::io::{self, Write};

use clap::Parser as _;
use purser_events::journal::{OpenError, ReadError};

use crate::cli::{Cli, Command};
use crate::output::Out;
use crate::source::Log;

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It did what was asked, and found nothing wrong.
    Fine,
    /// It did what was asked, and found something wrong: exit code 1.
    Found,
    /// It could not do what was asked: exit code 2.
    Failed,
    /// It did what was asked until this signal came: exit code 128 and the signal's number, as of one that the signal ended.
    Interrupted(u8),
}

impl Outcome {
    /// The exit code of the program.
    pub const fn code(self) -> u8 {
        match self {
            Self::Fine => 0,
            Self::Found => 1,
            Self::Failed => 2,
            Self::Interrupted(signal) => 128 + signal,
        }
    }
}

/// Runs the program with these arguments, the program's name first.
///
/// Answers go to `out`; what stopped a command goes to `err`, in one line.
pub fn run(
    arguments: impl IntoIterator<Item = OsString>,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> Outcome {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) if !error.use_stderr() => {
            // Help and version. A reader that has gone away has seen enough.
            let _ = write!(out, "{error}").and_then(|()| out.flush());
            return Outcome::Fine;
        }
        Err(error) => return failed(err, &cli::one_line(&error)),
    };
    match dispatch(cli, out, err).and_then(|outcome| Ok(out.flush().map(|()| outcome)?)) {
        Ok(outcome) => outcome,
        Err(error) if is_closed_pipe(&error) => Outcome::Fine,
        Err(error) => failed(err, &format!("{error:#}")),
    }
}

fn dispatch(cli: Cli, out: &mut dyn Write, err: &mut dyn Write) -> anyhow::Result<Outcome> {
    let mut out = Out::new(out, cli.output);
    let mut open = || -> anyhow::Result<Log> {
        let log = Log::open(cli.journal.as_deref(), cli.archive.as_deref())?;
        if let Some(problem) = log.reader().problem() {
            // What is answered is right as far as it goes, and it goes less far than it should.
            writeln!(err, "replay: warning: {}: {problem}; see replay verify", log.dir.display())?;
        }
        Ok(log)
    };
    match cli.command {
        Command::List(arguments) => commands::list::run(&open()?, &arguments, &mut out),
        Command::Show(arguments) => commands::show::run(&open()?, &arguments, &mut out),
        Command::Tail(arguments) => commands::tail::run(&mut open()?, &arguments, &mut out),
        Command::State(arguments) => commands::state::run(&open()?, &arguments, &mut out),
        Command::Why(arguments) => why::run(&open()?, &arguments, &mut out),
        Command::Verify(arguments) => match open() {
            // What is of two logs cannot be read as one, but which file is to blame can be said.
            Err(error) if is_mixed(&error) => {
                let dir = Log::folder(cli.journal.as_deref())?;
                commands::verify::run_mixed(&dir, cli.archive.as_deref(), &error, &arguments, &mut out)
            }
            log => commands::verify::run(&log?, &arguments, &mut out),
        },
        Command::Inspect => commands::inspect::run(&open()?, &mut out),
        Command::Reasons => commands::reasons::run(&mut out),
    }
}

/// Whether an error says that the files in a folder do not belong together.
fn is_mixed(error: &anyhow::Error) -> bool {
    let identity = |error: &OpenError| matches!(error, OpenError::Identity { .. });
    match error.downcast_ref() {
        Some(ReadError::Foreign { .. }) => true,
        Some(ReadError::Open(error)) => identity(error),
        _ => false,
    }
}

fn failed(err: &mut dyn Write, message: &str) -> Outcome {
    // Where even this cannot be written, the exit code has to do.
    let _ = writeln!(err, "replay: {}", message.split_whitespace().collect::<Vec<_>>().join(" "));
    Outcome::Failed
}

/// Whether an error says that nobody reads the output any more, as after `| head`.
fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<io::Error>())
        .any(|error| error.kind() == io::ErrorKind::BrokenPipe)
}
