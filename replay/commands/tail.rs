//! `replay tail`: the last records, and those that a controller is writing.
//!
//! **Invariant:** every acknowledged record is written once and in order, also across a seal.

use std::time::Duration;

use anyhow::Result;

use crate::Outcome;
use crate::cli::TailArgs;
use crate::commands::list::Lines;
use crate::interrupt::Interrupt;
use crate::output::Out;
use crate::source::Log;

/// How often a live journal is looked at.
const POLL: Duration = Duration::from_millis(500);

/// Shows the end of the log, and follows it if asked: until the program is interrupted, or nobody reads any more.
///
/// # Errors
/// If the log cannot be read.
pub fn run(log: &mut Log, arguments: &TailArgs, out: &mut Out<'_>) -> Result<Outcome> {
    let interrupt = if arguments.follow { Some(Interrupt::listen()?) } else { None };
    let signal = || interrupt.as_ref().and_then(Interrupt::signal);
    let mut lines = Lines::new(log);
    let mut next = log.size().saturating_sub(arguments.lines).max(log.first());
    loop {
        for item in log.items(next).take_while(|_| signal().is_none()) {
            let item = item?;
            lines.write(log, &item, out)?;
            next = item.seq() + 1;
        }
        if let Some(signal) = signal() {
            lines.end(out)?;
            return Ok(Outcome::Interrupted(signal as u8));
        }
        let Some(interrupt) = &interrupt else {
            lines.end(out)?;
            return Ok(Outcome::Fine);
        };
        out.flush()?;
        interrupt.sleep(POLL);
        log.refresh()?;
    }
}
