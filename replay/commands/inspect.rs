//! `replay inspect`: every structure on disk.
//!
//! **Invariant:** damage is described, not an error: it is what one inspects for.

use anyhow::Result;
use purser_engine::model::Time;
use purser_events::journal::{Inspection, Slot, inspect};
use serde_json::{Map, Value};

use crate::Outcome;
use crate::output::{Format, Out};
use crate::source::Log;
use crate::text;

/// Describes the journal.
///
/// # Errors
/// If its files cannot be read at all.
pub fn run(log: &Log, out: &mut Out<'_>) -> Result<Outcome> {
    let found = inspect(&log.dir)?;
    match out.format {
        Format::Table => write(&found, out)?,
        Format::Json | Format::Jsonl => {
            let mut document = Map::new();
            document.insert("records".into(), found.records.into());
            document.insert("bytes".into(), found.total_bytes.into());
            if let Value::Object(all) = serde_json::to_value(&found)? {
                document.extend(all.into_iter().filter(|(name, _)| name != "total_bytes"));
            }
            out.document(&document)?;
        }
    }
    Ok(Outcome::Fine)
}

fn write(found: &Inspection, out: &mut Out<'_>) -> Result<()> {
    let bytes = |bytes: u64| text::bytes(i64::try_from(bytes).unwrap_or(i64::MAX));
    let good = |problem: &Option<String>| problem.clone().unwrap_or_else(|| "good".to_owned());
    let identity = &found.identity;
    out.line(&format!("journal of {}", identity.origin))?;
    out.line(&format!("  log        {}, format {}", identity.log, identity.format))?;
    out.line(&format!("  begun      {}", text::exact_time(Time(identity.created_us))))?;
    out.line(&format!("  records    {}", found.records))?;
    let root = found.root.map_or_else(|| "unknown: a segment is damaged".to_owned(), |root| root.to_string());
    out.line(&format!("  root       {root}"))?;
    out.line(&format!("  bytes      {} ({})", found.total_bytes, bytes(found.total_bytes)))?;
    out.line(&format!("  key        {}", found.verifier_key.as_deref().unwrap_or("missing or damaged")))?;
    if let Some(predecessor) = &identity.predecessor {
        out.line(&format!("  follows    {}", predecessor.replace('\n', " ")))?;
    }
    out.line("\nanchor")?;
    for (at, slot) in found.anchor.slots.iter().enumerate() {
        out.line(&match slot {
            Slot::Empty => format!("  slot {at}     empty"),
            Slot::Damaged => format!("  slot {at}     damaged"),
            Slot::Valid(anchor) => {
                format!(
                    "  slot {at}     {} records acknowledged, generation {}",
                    anchor.size, anchor.generation
                )
            }
        })?;
    }
    if let Some(problem) = &found.anchor.problem {
        out.line(&format!("  {problem}"))?;
    }
    if !found.segments.is_empty() {
        out.line("\nsegments")?;
        let rows = found.segments.iter().map(|segment| {
            let records = segment.header.as_ref().map_or_else(
                || "?".to_owned(),
                |header| format!("{}..{}", header.first_seq, header.first_seq + header.count),
            );
            let sections = segment.sections.map_or([const { String::new() }; 5], |s| {
                [bytes(s.header), bytes(s.blocks), bytes(s.blocks_raw), bytes(s.leaves), bytes(s.footer)]
            });
            let [header, blocks, raw, leaves, footer] = sections;
            vec![
                segment.file.clone(),
                records,
                bytes(segment.bytes),
                header,
                blocks,
                raw,
                leaves,
                footer,
                good(&segment.problem),
            ]
        });
        out.table(
            &["FILE", "RECORDS", "BYTES", "HEADER", "BLOCKS", "UNPACKED", "LEAVES", "FOOTER", "STATE"],
            rows,
        )?;
    }
    if !found.tails.is_empty() {
        out.line("\ntail")?;
        let rows = found.tails.iter().map(|tail| {
            let unfinished = match tail.unfinished {
                0 => good(&tail.problem),
                n => format!("{}, {n} of an unfinished batch", good(&tail.problem)),
            };
            vec![
                tail.file.clone(),
                format!("{}..{}", tail.first_seq, tail.first_seq + tail.records),
                bytes(tail.bytes),
                unfinished,
            ]
        });
        out.table(&["FILE", "RECORDS", "BYTES", "STATE"], rows)?;
    }
    if !found.snapshots.is_empty() {
        out.line("\nsnapshots")?;
        let rows = found.snapshots.iter().map(|snapshot| {
            vec![
                snapshot.file.clone(),
                format!("0..{}", snapshot.size),
                bytes(snapshot.bytes),
                snapshot.unpacked_bytes.map(bytes).unwrap_or_default(),
                snapshot.engine_version.clone().unwrap_or_default(),
                good(&snapshot.problem),
            ]
        });
        out.table(&["FILE", "RECORDS", "BYTES", "UNPACKED", "VERSION", "STATE"], rows)?;
    }
    for (title, files) in
        [("checkpoints", &found.checkpoints), ("moved aside by recovery", &found.quarantined)]
    {
        if !files.is_empty() {
            out.line(&format!("\n{title}"))?;
            out.table(
                &["FILE", "BYTES"],
                files.iter().map(|file| vec![file.file.clone(), file.bytes.to_string()]),
            )?;
        }
    }
    Ok(())
}
