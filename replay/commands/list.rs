//! `replay list`: records, one line each.
//!
//! **Invariant:** a list is written while it is read, so that it begins at once and needs no memory for what was written.

use std::collections::VecDeque;

use anyhow::Result;

use crate::Outcome;
use crate::cli::ListArgs;
use crate::filter::Filter;
use crate::output::{Format, Out};
use crate::source::{Item, Log};
use crate::{sentence, subjects, text};

/// Lists records.
///
/// # Errors
/// If the log cannot be read, or an argument cannot match anything.
pub fn run(log: &Log, arguments: &ListArgs, out: &mut Out<'_>) -> Result<Outcome> {
    let mut filter = Filter::new(log, arguments)?;
    let mut last = VecDeque::new();
    let mut left = arguments.limit.unwrap_or(usize::MAX);
    let mut lines = Lines::new(log);
    for item in log.items(filter.from) {
        let item = item?;
        if left == 0 || filter.is_past(&item) {
            break;
        }
        if !filter.takes(&item) {
            continue;
        }
        left -= 1;
        match arguments.tail {
            None => lines.write(log, &item, out)?,
            Some(most) => {
                last.push_back(item);
                if last.len() > most {
                    last.pop_front();
                }
            }
        }
    }
    for item in last {
        lines.write(log, &item, out)?;
    }
    lines.end(out)?;
    Ok(Outcome::Fine)
}

/// Writes records as lines, the header first.
pub struct Lines {
    digits: usize,
    begun: bool,
}

impl Lines {
    /// Lines for the records of a log.
    pub fn new(log: &Log) -> Self {
        Self { digits: log.size().to_string().len().max(3), begun: false }
    }

    /// Writes a record.
    ///
    /// # Errors
    /// If it has no readable form, or cannot be written.
    pub fn write(&mut self, log: &Log, item: &Item, out: &mut Out<'_>) -> Result<()> {
        if out.format != Format::Table {
            return out.item(&log.shown(item)?);
        }
        let width = self.digits;
        if !self.begun {
            self.begun = true;
            out.line(&format!("{:>width$}  {:24}  {:22}  {:38}  SAYS", "SEQ", "TIME", "KIND", "SUBJECT"))?;
        }
        let subjects = subjects::of(item.event());
        let subject = subjects.first().map(ToString::to_string).unwrap_or_default();
        let says = sentence::of(item.event());
        let (seq, time, kind) = (item.seq(), text::time(item.logged.time), item.logged.kind_name);
        Ok(out.line(&format!("{seq:>width$}  {time:24}  {kind:22}  {subject:38}  {says}"))?)
    }

    /// Ends the list.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn end(self, out: &mut Out<'_>) -> Result<()> {
        Ok(out.end_items()?)
    }
}
