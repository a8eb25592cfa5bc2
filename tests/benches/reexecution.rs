//! How fast a recorded run is decided again, beside folding it and checking its integrity.
//!
//! Invariant: all columns are about the same records of one run, and every decision must be found the same.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use purser_engine::controller::Start;
use purser_engine::event::Seq;
use purser_engine::model::Span;
use purser_engine::reexecute::{Logged, Reexecution};
use purser_engine::settings::Settings;
use purser_engine::state::State;
use purser_events::journal::{Journal, Reader, VerifyOptions, verify};
use purser_events::wire::{EventLog, Events, LoggedEvent, Purser};
use purser_sim::driver::{Beginning, Simulation};
use purser_sim::{Faults, World, builtin_day};

use crate::lab::{options, temp_dir, timed};

/// Measures with the first hours of the built-in day.
pub(crate) fn run(hours: i64) {
    let root = temp_dir();
    let dir = root.path().join("journal");
    let ((), simulated) = timed(|| simulate(&dir, hours));
    let reader = Reader::open(&dir, Arc::new(Purser)).unwrap();
    let size = reader.size();
    println!("\nre-execution of {hours} h of the built-in day: {size} records, simulated in {simulated:.1?}");

    let (log, read) =
        timed(|| Events::read(&reader, Seq(0)).map(|one| logged(one.unwrap())).collect::<Vec<_>>());
    let fold = || {
        let mut state = State::default();
        log.iter().for_each(|record| state.apply(record.time, &record.event));
        state
    };
    // It is short: the quickest of three.
    let (folded, fold) = [timed(fold), timed(fold), timed(fold)].into_iter().min_by_key(|run| run.1).unwrap();
    let (again, decided) = timed(|| {
        let mut again = Reexecution::default();
        log.iter().for_each(|record| again.feed(record).expect("the decision that was recorded"));
        again
    });
    assert!(*again.state() == folded, "deciding changes no State");
    let (report, verified) =
        timed(|| verify(&dir, &VerifyOptions::new(Arc::new(Purser)), &mut |_, _| {}).unwrap());
    assert_eq!(report.findings, []);

    println!("{:<40}{:>9}{:>12}{:>15}{:>9}", "", "s", "records/s", "evaluations/s", "to fold");
    let row = |what: &str, time: Duration, evaluations: u64| {
        let seconds = time.as_secs_f64();
        let evaluated =
            if evaluations == 0 { String::new() } else { format!("{:.0}", evaluations as f64 / seconds) };
        println!(
            "{what:<40}{seconds:>9.3}{:>12.0}{evaluated:>15}{:>9.2}",
            size as f64 / seconds,
            seconds / fold.as_secs_f64()
        );
    };
    row("fold (apply alone, in memory)", fold, 0);
    row("read and decode from segments", read, 0);
    row("re-execute (apply and decide, in memory)", decided, again.evaluations);
    row("integrity (verify)", verified, 0);
    row("replay verify: all but the second fold", read + decided + verified, again.evaluations);
    println!("{} evaluations, {} decisions, all equal", again.evaluations, again.decisions);
}

fn logged(one: LoggedEvent) -> Logged {
    Logged { seq: one.seq, time: one.time, commit: one.commit, event: one.event }
}

fn simulate(dir: &Path, hours: i64) {
    let scenario = builtin_day(1);
    let now = scenario.start;
    let end = now + Span::hours(hours);
    let mut options = options();
    options.seal.max_age_us = Span::hours(24).0;
    let journal = Journal::create(dir, options, now.0).unwrap();
    let start = Start {
        version: "0.0.0".into(),
        instance: "bench".into(),
        term: 1,
        origin: "purser.test/bench".into(),
        predecessor: None,
        recovered: None,
        elected: None,
        settings: Settings::default(),
    };
    let world = World::new(scenario, 1, Faults::typical());
    let beginning = Beginning::new(world, EventLog::new(journal), State::default(), now, start).unwrap();
    let mut simulation = Simulation::new(beginning);
    while simulation.step(end).unwrap() {}
    let (_, controller) = simulation.into_parts();
    controller.into_parts().0.into_journal().unwrap().close().unwrap();
}
