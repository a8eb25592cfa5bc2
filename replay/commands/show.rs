//! `replay show`: everything of one record.
//!
//! **Invariant:** the lines shown are those that the log's Merkle tree commits to, byte for byte.

use anyhow::{Result, bail};
use purser_engine::event::{Event, Fact};
use serde::Serialize;

use crate::Outcome;
use crate::cli::ShowArgs;
use crate::output::{Format, Out};
use crate::source::{Item, Log, Ref, Shown};
use crate::text;

/// A record with all that belongs to it.
#[derive(Debug, Serialize)]
struct Everything {
    #[serde(flatten)]
    record: Shown,
    /// The last of its batch.
    commit: bool,
    /// The hash of the envelope as a leaf of the tree.
    leaf: String,
    /// What is hashed.
    envelope: Option<String>,
    payload: Option<String>,
    /// The definitions of numbers that the record refers to.
    references: Vec<Reference>,
    led_to_it: Vec<Ref>,
    followed_from_it: Vec<Ref>,
}

/// The definition of a number.
#[derive(Debug, Serialize)]
struct Reference {
    what: &'static str,
    number: u32,
    /// The record that defines it, if it is here.
    defined_by: Option<u64>,
    data: serde_json::Value,
}

/// Shows a record.
///
/// # Errors
/// If there is no such record, or it cannot be read.
pub fn run(log: &Log, arguments: &ShowArgs, out: &mut Out<'_>) -> Result<Outcome> {
    let seq = log.find(&arguments.record)?;
    let item = log.item(seq)?;
    let lines = log.reader().leaf_writer().map(|writer| writer.lines(&item.record)).transpose()?;
    if arguments.raw {
        let Some(lines) = lines else {
            bail!(
                "record {seq}: the file secret of {} is not here or may not be read, and its lines cannot be made without it: ask \
                 the journal itself, as its owner",
                log.dir.display()
            );
        };
        out.bytes(&lines.envelope)?;
        out.bytes(&lines.payload)?;
        return Ok(Outcome::Fine);
    }
    let leaf = match &lines {
        Some(lines) => lines.leaf,
        None => log.reader().leaves(seq..seq + 1)?[0],
    };
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let everything = Everything {
        record: log.shown(&item)?,
        commit: item.record.commit,
        leaf: leaf.to_string(),
        envelope: lines.as_ref().map(|lines| text(&lines.envelope)),
        payload: lines.as_ref().map(|lines| text(&lines.payload)),
        references: references(log, &item)?,
        led_to_it: causes(log, &item)?,
        followed_from_it: effects(log, seq)?,
    };
    match out.format {
        Format::Table => write(&everything, &item, out)?,
        Format::Json | Format::Jsonl => out.document(&everything)?,
    }
    Ok(Outcome::Fine)
}

fn write(of: &Everything, item: &Item, out: &mut Out<'_>) -> Result<()> {
    let Shown { seq, time, id, class, kind, schema, term, instance, says, .. } = &of.record;
    out.line(&format!("record {seq}  {says}"))?;
    out.line("")?;
    out.line(&format!("  id        {id}"))?;
    out.line(&format!("  time      {time}"))?;
    out.line(&format!("  kind      {class}: {kind}, version {schema} of its form"))?;
    out.line(&format!("  by        {instance}, term {term}"))?;
    out.line(&format!("  batch     {}", if of.commit { "the last of it" } else { "others follow" }))?;
    out.line(&format!("  leaf      {}", of.leaf))?;
    let missing = "(the salts are not here: a copy without them)";
    out.line(&format!("\nenvelope, as hashed\n  {}", of.envelope.as_deref().unwrap_or(missing)))?;
    out.line(&format!("\npayload\n{}", text::pretty(&item.json()?, 2)))?;
    for reference in &of.references {
        let by = match reference.defined_by {
            Some(seq) => format!("defined by record {seq}"),
            None => "defined by a record that is no longer here".to_owned(),
        };
        out.line(&format!("\n{} {}, {by}", reference.what, reference.number))?;
        out.line(&text::pretty(&reference.data.to_string(), 2))?;
    }
    for (title, records) in [("led to it", &of.led_to_it), ("followed from it", &of.followed_from_it)] {
        if !records.is_empty() {
            out.line(&format!("\n{title}"))?;
            out.table(
                &["SEQ", "TIME", "SAYS"],
                records
                    .iter()
                    .map(|record| vec![record.seq.to_string(), record.time.clone(), record.says.clone()]),
            )?;
        }
    }
    Ok(())
}

/// The records that a record names as its causes.
fn causes(log: &Log, item: &Item) -> Result<Vec<Ref>> {
    let here = item.record.causes.iter().filter(|cause| **cause >= log.first());
    here.map(|cause| Ok(log.item(*cause)?.to_ref())).collect()
}

/// The records that name a record as their cause.
fn effects(log: &Log, seq: u64) -> Result<Vec<Ref>> {
    let mut effects = Vec::new();
    for item in log.items(seq + 1) {
        let item = item?;
        if item.record.causes.contains(&seq) {
            effects.push(item.to_ref());
        }
    }
    Ok(effects)
}

/// The definitions of the spec or label set that a record refers to by number.
fn references(log: &Log, item: &Item) -> Result<Vec<Reference>> {
    let (what, number) = match item.event() {
        Event::Fact(Fact::PodObserved { spec, .. } | Fact::DaemonSetObserved { spec, .. }) => {
            ("pod spec", spec.0)
        }
        Event::Fact(Fact::NodeObserved { labels, .. }) => ("label set", labels.0),
        _ => return Ok(Vec::new()),
    };
    let mut found = Reference { what, number, defined_by: None, data: serde_json::Value::Null };
    for before in
        log.items(0).take_while(|before| before.as_ref().map_or(true, |before| before.seq() < item.seq()))
    {
        let before = before?;
        let defines = match before.event() {
            Event::Fact(Fact::PodSpecDefined { id, .. }) => what == "pod spec" && id.0 == number,
            Event::Fact(Fact::LabelSetDefined { id, .. }) => what == "label set" && id.0 == number,
            _ => false,
        };
        if defines {
            found.defined_by = Some(before.seq());
            let mut data: serde_json::Value = serde_json::from_str(&before.json()?)?;
            let part = if what == "pod spec" { "spec" } else { "labels" };
            found.data = data.get_mut(part).map(serde_json::Value::take).unwrap_or(data);
            break;
        }
    }
    Ok(vec![found])
}
