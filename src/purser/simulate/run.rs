//! One run on the virtual clock, from its start or from where it was stopped.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::bail;
use indicatif::{ProgressBar, ProgressStyle};
use purser_engine::controller::{Controller, Start};
use purser_engine::event::{Control, Seq};
use purser_engine::model::{Span, Time};
use purser_engine::snapshot;
use purser_engine::state::State;
use purser_events::journal::{
    ArchiveStatus, IdentitySource, Inspection, Options, ReadError, Reader, inspect,
};
use purser_events::wire::{EventLog, Events, Purser};
use purser_sim::driver::{Beginning, Rebuild, Simulation};
use purser_sim::{Report, World};

use super::input::Input;
use crate::journal;
use crate::tending::Tending;

/// What a run left.
pub(super) struct Finished {
    /// The world's figures.
    pub(super) report: Report,
    /// Where the journal is.
    pub(super) folder: PathBuf,
    /// What is on disk.
    pub(super) journal: Inspection,
    /// What is in the archive, if there is one.
    pub(super) archive: Option<ArchiveStatus>,
    /// What the controller knew at the end.
    pub(super) state: State,
}

/// Runs to the end.
pub(super) fn run(input: &Input, folder: &Path, resume: bool) -> anyhow::Result<Finished> {
    let group = if input.durable { 1 } else { GROUP_COMMIT };
    let mut simulation = Simulation::new(begin(input, folder, resume, group)?);
    let end = input.end();
    let progress = progress(input);
    let mut tending = Tending::new(input.keep);
    let mut stalled = false;
    let mut steps = 0u64;
    while simulation.step(end)? {
        progress.set_position(simulation.now().since(input.scenario.start).0.unsigned_abs() / 1_000_000);
        steps += 1;
        if steps.is_multiple_of(TEND_EVERY) {
            let now = simulation.now();
            tending.tend(simulation.controller(), now)?;
        }
        if simulation.stalled_since().is_some() {
            if !std::mem::replace(&mut stalled, true) {
                super::tell("the journal has no space: nothing is decided until there is some");
            }
            std::thread::sleep(std::time::Duration::from_secs(1));
        } else {
            stalled = false;
        }
    }
    progress.finish_and_clear();
    let (mut world, mut controller) = simulation.into_parts();
    if end != Time(i64::MAX) {
        // Nothing more happens until then.
        world.advance(end);
    }
    let now = world.now();
    controller.record(now, Control::ControllerStopped { reason: "the simulation is over".into() })?;
    tending.tend(&mut controller, now)?;
    close(&world, controller, folder)
}

/// A world and its controller, at the start or where a journal ends, which is written once for `group` batches.
pub(super) fn begin(
    input: &Input,
    folder: &Path,
    resume: bool,
    group: usize,
) -> anyhow::Result<Beginning<EventLog>> {
    let world = World::new(input.scenario.clone(), input.seed, input.faults.clone());
    let mut start = Start {
        version: env!("CARGO_PKG_VERSION").into(),
        instance: INSTANCE.into(),
        term: 1,
        origin: input.origin.as_str().into(),
        predecessor: None,
        recovered: None,
        elected: None,
        settings: input.settings.clone(),
    };
    if !resume {
        let opened = journal::create(folder, options(input), input.scenario.start)?;
        let log = opened.log.group_commit(group);
        return Ok(Beginning::new(world, log, opened.state, input.scenario.start, start)?);
    }
    let reader = || Reader::open_with_archive(folder, input.archive.as_deref(), Arc::new(Purser));
    let first = match reader() {
        Ok(reader) => reader.first_seq(),
        // Opening moves it aside.
        Err(ReadError::Foreign { what: "segment", .. }) => 0,
        Err(error) => return Err(error.into()),
    };
    if first > 0 {
        bail!(
            "--resume: {}: the records before {first} are not here, as retention took them, and the world is rebuilt from all; \
             name their archive with --archive DIR",
            folder.display()
        );
    }
    let mut opened = journal::open(folder, options(input))?;
    if let Some(Control::JournalRecovered { detail, .. }) = &opened.recovered {
        super::warn(&format!("the journal was put in order: {detail}"));
    }
    super::tell("rebuilding the world from the journal");
    let mut rebuild = Rebuild::new(world);
    for record in Events::read(&reader()?, Seq(0)) {
        let record = record?;
        rebuild.feed(record.seq, record.time, &record.event);
    }
    let (mut world, folded) = rebuild.finish();
    assert!(folded == opened.state, "a fold from the start and one from a snapshot are equal");
    world.controller_died();
    let now = if opened.state.size == 0 { input.scenario.start } else { opened.state.now };
    start.term = opened.state.term + 1;
    start.recovered = opened.recovered.take();
    opened.log.journal_mut()?.set_writer(start.term, INSTANCE)?;
    Ok(Beginning::new(world, opened.log.group_commit(group), opened.state, now, start)?)
}

/// The name of the one controller in a simulation.
const INSTANCE: &str = "simulator";

/// So many batches are written to the journal at once. On the virtual clock nobody waits for one: the world is gone with the process,
/// and is rebuilt as of where the journal ends.
const GROUP_COMMIT: usize = 64;

/// The journal is looked after once in so many steps.
const TEND_EVERY: u64 = 64;

fn options(input: &Input) -> Options {
    let mut options = Options::new(&input.origin, INSTANCE, 1, Arc::new(Purser));
    options.sync = input.durable;
    // A trace may span months of simulated time: its quiet weeks are no reason for a thousand almost empty segments.
    options.seal.max_age_us = Span::hours(24 * 7).0;
    options.identity = IdentitySource::Derived { seed: input.identity };
    options.archive = input.archive.clone();
    if let Some(keep) = input.keep {
        keep.fit(&mut options.seal);
    }
    options
}

/// Closes the journal of a controller that has stopped, and sums up.
pub(super) fn close(
    world: &World,
    controller: Controller<EventLog>,
    folder: &Path,
) -> anyhow::Result<Finished> {
    let (log, state) = controller.into_parts();
    let mut journal = log.into_journal()?;
    journal.seal()?;
    journal.put_snapshot(&snapshot::tag(), &snapshot::write(&state))?;
    let archive = journal.archive_status();
    journal.close()?;
    Ok(Finished {
        report: world.report(world.now()),
        folder: folder.to_owned(),
        journal: inspect(folder)?,
        archive,
        state,
    })
}

fn progress(input: &Input) -> ProgressBar {
    let bar = match input.length() {
        Some(length) => ProgressBar::new(length.0.unsigned_abs() / 1_000_000),
        None => ProgressBar::new_spinner(),
    };
    let template = "{spinner} {bar:40} {percent}% of the simulated time, {elapsed} (about {eta} left)";
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar
}
