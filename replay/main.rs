//! Reads a journal: lists, shows, explains, re-executes and verifies it.

use std::io::{self, BufWriter};
use std::process::ExitCode;

use purser_replay::{Outcome, interrupt};

fn main() -> ExitCode {
    let mut out = BufWriter::new(io::stdout().lock());
    let outcome = purser_replay::run(std::env::args_os(), &mut out, &mut io::stderr());
    // What is still buffered was flushed, or nobody reads it.
    let _ = out.into_parts();
    if let Outcome::Interrupted(signal) = outcome {
        interrupt::end_by(signal.into());
    }
    ExitCode::from(outcome.code())
}
