//! The same input and seed give the same log, byte for byte; what was decided is decided again.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use purser_engine::decide::{Memo, NoTrace, Notes, decide};
use purser_engine::event::{Event, Seq};
use purser_engine::model::{Span, Time};
use purser_engine::state::State;
use purser_events::journal::Reader;
use purser_events::wire::{Events, Purser};
use purser_sim::{Faults, day};

use crate::lab;

fn run_day(seed: u64, faults: Faults, minutes: i64, dir: &Path) -> String {
    let scenario = day::builtin_day(seed);
    let end = scenario.start + Span::mins(minutes);
    let mut simulation = lab::begin(scenario, seed, faults, dir, None).unwrap();
    while simulation.step(end).unwrap() {}
    let (_, controller) = simulation.into_parts();
    let (log, state) = controller.into_parts();
    let root = log.journal().root().to_string();
    log.into_journal().unwrap().close().unwrap();
    assert!(lab::reexecute(dir) == state, "the fold of the log is the State");
    root
}

fn files(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(self::files(&path));
        } else if !path.ends_with("lock") {
            files.insert(
                path.file_name().unwrap().to_string_lossy().into_owned(),
                std::fs::read(&path).unwrap(),
            );
        }
    }
    files
}

#[test]
fn the_same_seed_gives_the_same_journal_and_another_seed_another() {
    let (one, two, three) = (lab::temp_dir(), lab::temp_dir(), lab::temp_dir());
    let root = run_day(5, Faults::hostile(), 20, one.path());
    assert_eq!(run_day(5, Faults::hostile(), 20, two.path()), root);
    assert_eq!(files(one.path()), files(two.path()), "byte for byte");
    assert_ne!(run_day(6, Faults::hostile(), 20, three.path()), root);
}

#[test]
fn seeds_run_with_every_fault_and_no_invariant_broken() {
    for seed in 0..4 {
        let dir = lab::temp_dir();
        run_day(seed, if seed % 2 == 0 { Faults::typical() } else { Faults::hostile() }, 30, dir.path());
    }
}

#[test]
fn what_is_remembered_between_evaluations_changes_no_decision() {
    for seed in [1, 2] {
        let dir = lab::temp_dir();
        run_day(seed, Faults::hostile(), 12, dir.path());
        let reader = Reader::open(dir.path(), Arc::new(Purser)).unwrap();
        let mut state = State::default();
        let mut memo = Memo::default();
        let mut evaluations = 0;
        for record in Events::read(&reader, Seq(0)) {
            let record = record.unwrap();
            state.apply(record.time, &record.event);
            if record.commit && !matches!(record.event, Event::Decision(_)) {
                let remembering = decide(&state, record.time, &mut memo, &mut NoTrace);
                let fresh = decide(&state, record.time, &mut Memo::default(), &mut Notes::default());
                assert_eq!(remembering, fresh, "seed {seed}, after record {}", record.seq.0);
                evaluations += 1;
            }
        }
        assert!(evaluations > 200, "{evaluations} evaluations: the run is worth it");
    }
}

#[test]
fn when_the_world_stops_changing_the_system_settles() {
    let dir = lab::temp_dir();
    let mut scenario = lab::small_scenario();
    scenario.end = None;
    let begin = scenario.start;
    let mut simulation = lab::begin(scenario, 1, Faults::none(), dir.path(), None).unwrap();
    while simulation.step(begin + Span::mins(50)).unwrap() {}
    let (size, pods) = (simulation.state().size, simulation.state().pods.len());
    assert_eq!(pods, 2, "the two replicas that are wanted at the end");
    assert!(simulation.state().pods.values().all(|pod| pod.node.is_some()), "every pod runs");
    // Expiry aside nothing is waited for: until the next node is twenty minutes old, nothing is recorded.
    let oldest = simulation.state().claims.values().map(|claim| claim.created).min().unwrap();
    let quiet_until = oldest + Span::mins(20);
    let until = Time(quiet_until.0 - 1);
    while simulation.step(until).unwrap() {}
    assert_eq!(simulation.state().size, size, "nothing to decide, nothing recorded");
}
