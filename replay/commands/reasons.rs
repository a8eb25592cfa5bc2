//! `replay reasons`: the registry of reasons.
//!
//! **Invariant:** what is listed is the registry itself.

use anyhow::Result;
use purser_engine::reason::ReasonId;
use serde::Serialize;

use crate::Outcome;
use crate::output::{Format, Out};

#[derive(Debug, Serialize)]
struct Entry {
    number: u16,
    id: &'static str,
    meaning: &'static str,
    remedy: &'static str,
}

/// Lists the registry.
///
/// # Errors
/// If it cannot be written.
pub fn run(out: &mut Out<'_>) -> Result<Outcome> {
    let entry = |id: &ReasonId| Entry {
        number: *id as u16,
        id: id.as_str(),
        meaning: id.meaning().trim(),
        remedy: id.remedy(),
    };
    for entry in ReasonId::ALL.iter().map(entry) {
        match out.format {
            Format::Table => {
                out.line(&format!("{:>3}  {}", entry.number, entry.id))?;
                out.line(&format!("     {}", entry.meaning))?;
                out.line(&format!("     {}", entry.remedy))?;
            }
            Format::Json | Format::Jsonl => out.item(&entry)?,
        }
    }
    out.end_items()?;
    Ok(Outcome::Fine)
}
