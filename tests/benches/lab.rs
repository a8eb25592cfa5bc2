//! What the parts of the benchmark share: where journals go, how they are written, and what the process takes.
//!
//! Invariant: everything that is made is in a temporary folder that is removed at the end.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use purser_engine::event::Event;
use purser_engine::model::Time;
use purser_engine::state::State;
use purser_events::journal::{Draft, IdentitySource, Journal, Options};
use purser_events::wire::{Purser, encode};

/// A folder in memory if there is memory to spare, so that the disk does not count; else in the place for such things.
pub(crate) fn temp_dir() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    let spare = memory.is_dir() && meminfo("MemAvailable:") > 4 << 30;
    let builder = tempfile::Builder::new();
    if spare { builder.tempdir_in(memory) } else { builder.tempdir() }.unwrap()
}

/// Unsynced: what is measured here is work, not a disk.
pub(crate) fn options() -> Options {
    let mut options = Options::new("purser.test/bench", "bench", 1, Arc::new(Purser));
    options.identity = IdentitySource::Derived { seed: [9; 32] };
    options.sync = false;
    options.min_free_bytes = 0;
    options
}

/// Events as the drafts of a batch that begins with this record.
pub(crate) fn drafts(first: u64, events: &[Event]) -> Vec<Draft> {
    let draft = |(seq, event): (u64, &Event)| {
        let encoded = encode(event).unwrap();
        // As a decision has the record before it for a cause, and what is seen has none.
        let decided = matches!(event, Event::Decision(_)) && seq > 0;
        let causes = if decided { vec![seq - 1] } else { Vec::new() };
        Draft { kind: encoded.kind, schema: encoded.schema, causes, payload: encoded.payload }
    };
    (first..).zip(events).map(draft).collect()
}

/// Appends events as one batch and folds them, as a controller does.
pub(crate) fn record(journal: &mut Journal, state: &mut State, now: Time, events: &[Event]) {
    journal.append(now.0, &drafts(journal.size(), events)).unwrap();
    fold(state, now, events);
}

/// Folds events.
pub(crate) fn fold(state: &mut State, now: Time, events: &[Event]) {
    for event in events {
        state.apply(now, event);
    }
}

/// Runs something and says how long it took.
pub(crate) fn timed<T>(run: impl FnOnce() -> T) -> (T, Duration) {
    let start = Instant::now();
    let result = run();
    (result, start.elapsed())
}

pub(crate) fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn field(file: &str, name: &str) -> u64 {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let kib = line.and_then(|line| line.trim().trim_end_matches("kB").trim().parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}

fn meminfo(name: &str) -> u64 {
    field("/proc/meminfo", name)
}

/// What the process has in memory now.
pub(crate) fn resident() -> u64 {
    field("/proc/self/status", "VmRSS:")
}

/// The most that it had since [`forget_peak`].
pub(crate) fn peak() -> u64 {
    field("/proc/self/status", "VmHWM:")
}

/// Lets the peak begin anew.
pub(crate) fn forget_peak() {
    // Where it is not allowed the peak is that of the whole process: more, never less.
    let _ = std::fs::write("/proc/self/clear_refs", "5");
}
