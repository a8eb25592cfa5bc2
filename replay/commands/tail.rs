//! `replay tail`: the last records, and those that a controller is writing.
//!
//! **Invariant:** every acknowledged record is written once and in order, also across a seal.

use std::thread;
use std::time::Duration;

use anyhow::Result;

use crate::Outcome;
use crate::cli::TailArgs;
use crate::commands::list::Lines;
use crate::output::Out;
use crate::source::Log;

/// How often a live journal is looked at.
const POLL: Duration = Duration::from_millis(500);

/// Shows the end of the log, and follows it if asked: until the program is interrupted, or nobody reads any more.
///
/// # Errors
/// If the log cannot be read.
pub fn run(log: &mut Log, arguments: &TailArgs, out: &mut Out<'_>) -> Result<Outcome> {
    let mut lines = Lines::new(log);
    let mut next = log.size().saturating_sub(arguments.lines).max(log.first());
    loop {
        for item in log.items(next) {
            let item = item?;
            lines.write(log, &item, out)?;
            next = item.seq() + 1;
        }
        if !arguments.follow {
            lines.end(out)?;
            return Ok(Outcome::Fine);
        }
        out.flush()?;
        thread::sleep(POLL);
        log.refresh()?;
    }
}
