//! What State takes in memory for each node and pod, and the journal for its work.
//!
//! Invariant: it runs first, since it looks at the whole process: what others left behind would count too.

use purser_engine::model::Span;
use purser_engine::state::State;
use purser_events::journal::Journal;

use crate::cluster::Cluster;
use crate::lab::{fold, forget_peak, options, peak, record, resident, temp_dir};

const NODES: usize = 5_000;
const PODS: usize = 200_000;

/// Measures State, then the journal.
pub(crate) fn run() {
    println!("memory (resident set)");
    println!("{:<58}{:>12}{:>14}", "", "KiB", "bytes each");
    let row = |what: &str, bytes: u64, count: usize| {
        let each = if count == 0 { String::new() } else { format!("{}", bytes / count as u64) };
        println!("{what:<58}{:>12}{each:>14}", bytes / 1024);
    };
    let before = resident();
    let mut state = State::default();
    let mut events = Vec::new();
    let mut cluster = Cluster::new(&mut events);
    fold(&mut state, cluster.now, &events);
    events.clear();
    let empty = resident();
    row("an empty cluster: the catalogue, twice", empty - before, 0);
    for _ in 0..NODES {
        cluster.launch(0, &mut events);
        fold(&mut state, cluster.now, &events);
        events.clear();
    }
    let with_nodes = resident();
    row(&format!("{NODES} nodes with their claims"), with_nodes - empty, NODES);
    for _ in 0..PODS / 1_000 {
        cluster.fill(1_000, &mut events);
        fold(&mut state, cluster.now, &events);
        events.clear();
    }
    row(&format!("{PODS} pods on them"), resident() - with_nodes, PODS);
    assert_eq!((state.nodes.len(), state.pods.len()), (NODES, PODS));
    drop(state);
    journal(&row);
}

fn journal(row: &dyn Fn(&str, u64, usize)) {
    const TAIL: usize = 30_000;
    let root = temp_dir();
    let mut state = State::default();
    let mut events = Vec::new();
    let mut cluster = Cluster::new(&mut events);
    for _ in 0..100 {
        cluster.launch(10, &mut events);
    }
    let before = resident();
    let mut journal = Journal::create(&root.path().join("journal"), options(), 0).unwrap();
    while journal.size() < TAIL as u64 {
        record(&mut journal, &mut state, cluster.now, &events);
        events.clear();
        cluster.turn(&mut events);
        cluster.now = cluster.now + Span::millis(100);
    }
    row(&format!("journal with {TAIL} records in its hot tail"), resident().saturating_sub(before), TAIL);
    forget_peak();
    let before_seal = resident();
    journal.seal().unwrap();
    row("the same while it seals them, at most in addition", peak().saturating_sub(before_seal), TAIL);
    journal.close().unwrap();
}
