//! The controller dies, everywhere, and the next one goes on: nothing is done twice and nothing is left undone.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use purser_engine::state::State;
use purser_events::journal::{Faults as JournalFaults, Journal, Point, Reader, crash};
use purser_events::wire::{EventLog, Events, Purser};
use purser_sim::driver::{Beginning, Simulation, SimulationError};
use purser_sim::{Faults, World};

use crate::lab;

/// Lets the process die when one point is passed for the n-th time.
struct DieAt {
    point: Point,
    left: AtomicU64,
}

impl JournalFaults for DieAt {
    fn at(&self, point: Point) -> io::Result<()> {
        if point == self.point && self.left.fetch_sub(1, Ordering::Relaxed) == 1 {
            return Err(crash());
        }
        Ok(())
    }
}

/// The steps of an append: before the batch is in the tail, when it is in memory, in the file, before and after the anchor.
const STEPS: [Point; 5] =
    [Point::TailApply, Point::TailFlush, Point::TailSync, Point::AnchorWrite, Point::Acknowledge];

struct Uninterrupted {
    outcome: BTreeMap<String, String>,
    launches: u64,
    appends: u64,
    orders: u64,
}

/// Runs to the end; the State then and the number of instances ever started.
fn run_out(mut simulation: Simulation<EventLog>) -> (State, u64, Simulation<EventLog>) {
    let end = lab::small_scenario().end.unwrap();
    while simulation.step(end).unwrap() {}
    let now = simulation.now();
    let launches = simulation.world.report(now).launches;
    (simulation.state().clone(), launches, simulation)
}

fn uninterrupted() -> Uninterrupted {
    struct Count(AtomicU64);
    impl JournalFaults for Count {
        fn at(&self, point: Point) -> io::Result<()> {
            self.0.fetch_add(u64::from(point == Point::TailApply), Ordering::Relaxed);
            Ok(())
        }
    }
    let dir = lab::temp_dir();
    let count = Arc::new(Count(AtomicU64::new(0)));
    let simulation =
        lab::begin(lab::small_scenario(), 1, Faults::none(), dir.path(), Some(count.clone())).unwrap();
    let (state, launches, simulation) = run_out(simulation);
    let orders = simulation.orders_carried_out();
    Uninterrupted {
        outcome: lab::outcome(&state),
        launches,
        appends: count.0.load(Ordering::Relaxed),
        orders,
    }
}

/// The next controller in the same world.
fn go_on(mut world: World, dir: &Path) -> Simulation<EventLog> {
    world.controller_died();
    let (mut journal, _) = Journal::open(dir, lab::options(1, None)).unwrap();
    let mut state = State::default();
    for record in Events::read(&Reader::open(dir, Arc::new(Purser)).unwrap(), purser_engine::event::Seq(0)) {
        let record = record.unwrap();
        state.apply(record.time, &record.event);
    }
    let term = state.term + 1;
    journal.set_writer(term, "simulator").unwrap();
    let now = world.now().max(state.now);
    Simulation::new(Beginning::new(world, EventLog::new(journal), state, now, lab::start(term)).unwrap())
}

fn compare(expected: &Uninterrupted, simulation: Simulation<EventLog>, dir: &Path, how: &str) {
    let (state, launches, simulation) = run_out(simulation);
    drop(simulation);
    assert_eq!(lab::outcome(&state), expected.outcome, "{how}: the same world at the end");
    assert_eq!(launches, expected.launches, "{how}: as many instances were started");
    assert!(
        lab::reexecute(dir) == state,
        "{how}: the fold of the log is the State, every decision the one its records lead to"
    );
}

#[test]
fn death_at_any_step_of_any_append_changes_nothing() {
    let expected = uninterrupted();
    assert!(expected.appends > 50, "{} appends: the scenario is worth it", expected.appends);
    let thorough = std::env::var_os("PURSER_EVERY_STEP").is_some();
    for append in 1..=expected.appends {
        for (number, point) in STEPS.into_iter().enumerate() {
            // Every append dies at one step of its own, each step in turn; all of them where there is time.
            if !thorough && append % STEPS.len() as u64 != number as u64 {
                continue;
            }
            let how = format!("append {append}, at {point:?}");
            let dir = lab::temp_dir();
            let death: Arc<dyn JournalFaults> = Arc::new(DieAt { point, left: AtomicU64::new(append) });
            let Ok(mut simulation) =
                lab::begin(lab::small_scenario(), 1, Faults::none(), dir.path(), Some(death))
            else {
                // It died at its first words; the world has not begun.
                let world = World::new(lab::small_scenario(), 1, Faults::none());
                compare(&expected, go_on(world, dir.path()), dir.path(), &how);
                continue;
            };
            let end = lab::small_scenario().end.unwrap();
            let death = loop {
                match simulation.step(end) {
                    Ok(true) => {}
                    Ok(false) => panic!("{how}: it lived"),
                    Err(error) => break error,
                }
            };
            assert!(matches!(death, SimulationError::Journal(_)), "{how}: {death}");
            let (world, controller) = simulation.into_parts();
            drop(controller);
            compare(&expected, go_on(world, dir.path()), dir.path(), &how);
        }
    }
}

#[test]
fn death_between_any_two_orders_changes_nothing() {
    let expected = uninterrupted();
    assert!(expected.orders > 20, "{} orders: the scenario is worth it", expected.orders);
    for order in 0..expected.orders {
        let how = format!("after {order} orders");
        let dir = lab::temp_dir();
        let mut simulation = lab::begin(lab::small_scenario(), 1, Faults::none(), dir.path(), None).unwrap();
        simulation.die_after_orders(order);
        let end = lab::small_scenario().end.unwrap();
        while let Ok(true) = simulation.step(end) {}
        let (world, controller) = simulation.into_parts();
        drop(controller);
        compare(&expected, go_on(world, dir.path()), dir.path(), &how);
    }
}
