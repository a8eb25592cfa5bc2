//! `replay verify`: that no record was changed, and that every decision is the one that its records lead to.
//!
//! **Invariant:** it is passed only if both were checked and nothing was found; what could not be checked is said.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result, anyhow, bail};
use purser_engine::event::{Event, Seq};
use purser_engine::reexecute::{Divergence, Reexecution};
use purser_engine::snapshot;
use purser_engine::state::State;
use purser_events::journal::{Finding, OlderCheckpoint, VerifierKey, VerifyOptions, VerifyReport, verify};
use purser_events::wire::Purser;
use serde::Serialize;

use crate::cli::VerifyArgs;
use crate::diff::{self, Difference};
use crate::output::{Format, Out};
use crate::progress::Progress;
use crate::source::{Item, Log};
use crate::{Outcome, fold, sentence, text};

/// What was checked and found.
#[derive(Debug, Serialize)]
struct Report {
    /// Whether everything was checked and nothing found.
    passed: bool,
    records: u64,
    first_record: u64,
    size: u64,
    root: String,
    checkpoints: u64,
    /// Of these only the signature was checked: retention took their records.
    checkpoints_signature_only: u64,
    /// Whether each record was compared with its leaf hash, which takes the file `secret`.
    leaves_compared: bool,
    /// Whether a controller was writing the journal: only what was there at the beginning was checked.
    live: bool,
    integrity: Vec<Finding>,
    /// `None` where no decision could be taken again.
    decisions: Option<Decisions>,
    /// What could not be checked although it should have been, and why.
    not_checked: Option<String>,
    /// What was not asked for, or is gone by retention.
    note: Option<String>,
    seconds: f64,
}

/// The outcome of taking decisions again.
#[derive(Debug, Default, Serialize)]
struct Decisions {
    /// The first record whose decision was taken again.
    from: u64,
    reexecuted: u64,
    evaluations: u64,
    differing: Vec<Differing>,
}

/// A decision that differs.
#[derive(Debug, Serialize)]
struct Differing {
    seq: u64,
    time: String,
    /// What is recorded, in words.
    says: String,
    /// What the records lead to, in words.
    expected: String,
    difference: Difference,
}

/// Verifies the journal.
///
/// # Errors
/// If files cannot be read at all.
pub fn run(log: &Log, arguments: &VerifyArgs, out: &mut Out<'_>) -> Result<Outcome> {
    let own = log.reader().verifier_key();
    let options = options(&log.dir, log.archive.as_deref(), Some(own), arguments)?;
    let bar = Progress::new("integrity", log.size());
    let integrity = verify(&log.dir, &options, &mut |done, total| bar.at(done, total))?;
    let mut seconds = bar.finish().as_secs_f64();

    let bar = Progress::new("decisions", log.size());
    let reexecuted = reexecute(log, arguments, &bar);
    seconds += bar.finish().as_secs_f64();
    conclude(integrity, reexecuted, log.size(), seconds, out)
}

/// Verifies the files of a journal that cannot be read as one log: those of another are among them, or its identity is not
/// theirs. Decisions are not taken again: the records would be a mixture.
///
/// # Errors
/// If files cannot be read at all.
pub fn run_mixed(
    dir: &Path,
    archive: Option<&Path>,
    why: &anyhow::Error,
    arguments: &VerifyArgs,
    out: &mut Out<'_>,
) -> Result<Outcome> {
    let options = options(dir, archive, None, arguments)?;
    let bar = Progress::new("integrity", 0);
    let integrity = verify(dir, &options, &mut |done, total| bar.at(done, total))?;
    let seconds = bar.finish().as_secs_f64();
    conclude(integrity, Err(anyhow!("decisions were not taken again: {why:#}")), 0, seconds, out)
}

/// Reports what was found; `decided` is the size of the log when decisions were taken again.
fn conclude(
    integrity: VerifyReport,
    reexecuted: Result<Checked>,
    decided: u64,
    seconds: f64,
    out: &mut Out<'_>,
) -> Result<Outcome> {
    let (decisions, not_checked, note) = match reexecuted {
        Ok(Checked { decisions, stopped, note }) => (Some(decisions), stopped, note),
        Err(error) => (None, Some(format!("{error:#}")), None),
    };
    let VerifyReport {
        records,
        first_seq,
        size,
        root,
        checkpoints,
        checkpoints_signature_only,
        leaves_compared,
        live,
        findings,
    } = integrity;
    let covered = live.then(|| {
        format!(
            "the journal is being written: integrity was checked up to record {}, decisions up to record {}; what came \
             later was not looked at",
            size.saturating_sub(1),
            decided.saturating_sub(1)
        )
    });
    let outside = (!leaves_compared && findings.is_empty()).then(|| {
        "records were not compared with their leaf hashes, which takes the file secret: signatures, roots and decisions were \
         checked"
            .to_owned()
    });
    let notes: Vec<String> = note.into_iter().chain(covered).chain(outside).collect();
    let note = (!notes.is_empty()).then(|| notes.join("; "));
    let differing = decisions.as_ref().is_some_and(|decisions| !decisions.differing.is_empty());
    let report = Report {
        passed: findings.is_empty() && !differing && not_checked.is_none(),
        records,
        first_record: first_seq,
        size,
        root: root.to_string(),
        checkpoints,
        checkpoints_signature_only,
        leaves_compared,
        live,
        integrity: findings,
        decisions,
        not_checked,
        note,
        seconds,
    };
    match out.format {
        Format::Table => write(&report, out)?,
        Format::Json | Format::Jsonl => out.document(&report)?,
    }
    Ok(if report.passed { Outcome::Fine } else { Outcome::Found })
}

fn options(
    dir: &Path,
    archive: Option<&Path>,
    own: Option<&VerifierKey>,
    arguments: &VerifyArgs,
) -> Result<VerifyOptions> {
    let read = |what: &str, file: &Path| {
        fs::read_to_string(file).with_context(|| format!("--{what} {}", file.display()))
    };
    let mut options = VerifyOptions::new(Arc::new(Purser));
    options.archive = archive.map(Path::to_owned);
    options.without_secret = arguments.without_secret;
    for file in &arguments.checkpoint {
        let text = read("checkpoint", file)?;
        options.older.push(OlderCheckpoint { name: file.display().to_string(), text });
    }
    if let Some(file) = &arguments.vkey {
        let key = read("vkey", file)?.trim().parse();
        let key: VerifierKey = key.with_context(|| format!("--vkey {}", file.display()))?;
        if let Some(own) = own.filter(|own| **own != key) {
            bail!(
                "--vkey {}: the journal in {} is signed by another key, {own}: give that log's key; if this is it, the journal \
                 was signed anew by somebody else and is not to be trusted",
                file.display(),
                dir.display(),
            );
        }
        options.expected_key = Some(key);
    }
    Ok(options)
}

/// Decisions taken again, and what stopped that before the end.
struct Checked {
    decisions: Decisions,
    stopped: Option<String>,
    note: Option<String>,
}

fn reexecute(log: &Log, arguments: &VerifyArgs, bar: &Progress) -> Result<Checked> {
    let from = arguments.from.unwrap_or(0);
    if from > 0 && from >= log.size() {
        bail!("--from {from}: the log has {} records", log.size());
    }
    let state = if from > log.first() { fold::begin(log, from)? } else { earliest(log)? };
    let mut items = log.items(state.size).peekable();
    let begun = state.size;
    let mut stopped = None;
    let (mut again, first) = skip(state, from, &mut items)?;
    let mut differing = Vec::new();
    for item in items {
        let checked = item.and_then(|item| fold::admit(again.state(), &item).map(|()| item));
        let item = match checked {
            Ok(item) => item,
            Err(error) => {
                stopped = Some(format!("decisions from there on were not taken again: {error:#}"));
                break;
            }
        };
        if let Err(divergence) = again.feed(&item.to_logged()) {
            differing.push(describe(&item, &divergence));
            if !arguments.all {
                break;
            }
        }
        if item.seq() % 1_024 == 0 {
            bar.at(item.seq() - begun, log.size() - begun);
        }
    }
    // That nothing differs says nothing where nothing was taken again.
    if again.decisions == 0 && differing.is_empty() && stopped.is_none() && has_decisions(log, from, first)? {
        bail!(
            "only integrity was checked, from record {} on: the snapshot to begin with includes all decisions up to record {}, \
             and none follows; {}",
            log.first(),
            first.saturating_sub(1),
            match (&log.archive, log.first()) {
                (_, 0) => "begin earlier, with a smaller --from",
                (None, _) => "name the archive with --archive DIR",
                (Some(_), _) => "name an archive that has all records",
            }
        );
    }
    let note = note(log, arguments.from, first);
    let decisions =
        Decisions { from: first, reexecuted: again.decisions, evaluations: again.evaluations, differing };
    Ok(Checked { decisions, stopped, note })
}

/// Whether there are decisions among the records from one up to another.
fn has_decisions(log: &Log, from: u64, to: u64) -> Result<bool> {
    for item in log.items(from) {
        let item = item?;
        if item.seq() >= to {
            break;
        }
        if matches!(item.event(), Event::Decision(_)) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// What to say of the decisions before the first that was taken again.
fn note(log: &Log, asked: Option<u64>, first: u64) -> Option<String> {
    if first == 0 {
        return None;
    }
    let not_again = format!("decisions before record {first} were not taken again");
    let asked = match asked {
        Some(asked) if asked >= log.first() && asked == first => {
            return Some(format!("{not_again}, as asked"));
        }
        Some(asked) if asked >= log.first() => {
            return Some(format!(
                "{not_again}: asked was from record {asked} on, and the next batch begins there"
            ));
        }
        Some(asked) => format!("asked was from record {asked} on, but "),
        None => String::new(),
    };
    let why = match &log.archive {
        None => "and a snapshot stood in for them; with --archive DIR all can be".to_owned(),
        Some(_) => format!(
            "the archive lacks the records 0 to {}, and a snapshot stood in for them",
            log.first().saturating_sub(1)
        ),
    };
    let took = log.reader().first_kept();
    Some(format!("{not_again}: {asked}retention took the first {took} records, {why}"))
}

/// State of the earliest usable snapshot if the first records are gone; else the empty one.
fn earliest(log: &Log) -> Result<State> {
    if log.first() == 0 {
        return Ok(State::default());
    }
    let mut found = None;
    let mut below = log.size();
    while let Some(older) =
        log.reader().latest_snapshot(&snapshot::tag(), below)?.filter(|s| s.size >= log.first())
    {
        below = older.size.saturating_sub(1);
        if let Ok(state) = snapshot::read(&older.bytes)
            && state.size == older.size
        {
            found = Some(state);
        }
    }
    match found {
        Some(state) => Ok(state),
        None => bail!(
            "only integrity was checked, from record {} on: the records before it are gone, and no snapshot of this version stands in \
             for them; name the archive with --archive DIR",
            log.first()
        ),
    }
}

/// Folds without deciding up to the first batch that begins at this record or later.
fn skip<I: Iterator<Item = Result<Item>>>(
    mut state: State,
    from: u64,
    items: &mut std::iter::Peekable<I>,
) -> Result<(Reexecution, u64)> {
    let mut boundary = true;
    loop {
        let begins = match items.peek() {
            // Decisions belong to the batch before them.
            Some(Ok(item)) => boundary && item.seq() >= from && !matches!(item.event(), Event::Decision(_)),
            Some(Err(_)) | None => true,
        };
        if begins {
            let first = state.size;
            return Ok((Reexecution::from_state(state), first));
        }
        if let Some(item) = items.next() {
            let item = item?;
            boundary = item.record.commit;
            fold::apply(&mut state, &item)?;
        }
    }
}

fn describe(item: &Item, divergence: &Divergence) -> Differing {
    let Divergence { seq: Seq(seq), expected, got } = divergence;
    let say = |decision: &Option<Box<purser_engine::event::Decision>>| match decision {
        Some(decision) => sentence::of(&Event::Decision((**decision).clone())),
        None => "no further decision".to_owned(),
    };
    Differing {
        seq: *seq,
        time: text::exact_time(item.logged.time),
        says: say(got),
        expected: say(expected),
        difference: diff::decisions(expected.as_deref(), got.as_deref()),
    }
}

fn write(report: &Report, out: &mut Out<'_>) -> Result<()> {
    for Finding { file, seq, kind, message } in &report.integrity {
        let kind = serde_json::to_value(kind)?;
        let record = seq.map(|seq| format!(" record {seq}:")).unwrap_or_default();
        out.line(&format!("integrity: {file}:{record} {}: {message}", kind.as_str().unwrap_or_default()))?;
    }
    let decisions = report.decisions.as_ref();
    for differing in decisions.iter().flat_map(|decisions| &decisions.differing) {
        out.line(&format!("decision {} of {} differs", differing.seq, differing.time))?;
        out.line(&format!("  recorded      {}", differing.says))?;
        out.line(&format!("  should be     {}", differing.expected))?;
        let Difference { path, expected, got } = &differing.difference;
        out.line(&format!("  {path}: expected {expected}, got {got}"))?;
    }
    if let Some(not_checked) = &report.not_checked {
        out.line(&format!("not checked: {not_checked}"))?;
    }
    if let Some(note) = &report.note {
        out.line(&format!("note: {note}"))?;
    }
    let again = match decisions {
        Some(decisions) => format!(
            "{} re-executed in {}, {}",
            text::count(decisions.reexecuted as usize, "decision"),
            text::count(decisions.evaluations as usize, "evaluation"),
            match decisions.differing.len() {
                0 => "all equal".to_owned(),
                n => format!("{n} differing"),
            }
        ),
        None => "decisions not re-executed".to_owned(),
    };
    out.line(&format!(
        "{}: {}, {again}; root {}; {} checked{}; {:.1} s",
        match (report.passed, report.leaves_compared, decisions.map_or(0, |decisions| decisions.from)) {
            (false, _, _) => "NOT VERIFIED".to_owned(),
            (true, true, 0) => "verified".to_owned(),
            (true, true, from) => format!("verified, decisions from record {from} on"),
            (true, false, 0) => "verified without the secret".to_owned(),
            (true, false, from) => format!("verified without the secret, decisions from record {from} on"),
        },
        text::count(report.records as usize, "record"),
        report.root,
        text::count(report.checkpoints as usize, "checkpoint"),
        match report.checkpoints_signature_only {
            0 => String::new(),
            n => format!(", {n} by signature only (retention took the records)"),
        },
        report.seconds,
    ))?;
    Ok(())
}
