//! What one evaluation costs, by the number of nodes and of pods that wait, and what remembering spares it.
//!
//! Invariant: both columns are about the same State, and the decisions must be the same. A memo is kept from an
//! evaluation whose decisions came to pass, as the controller keeps it.

use std::time::Duration;

use purser_engine::decide::{Memo, NoTrace, decide};
use purser_engine::event::Event;
use purser_engine::model::Span;
use purser_engine::state::State;

use crate::cluster::Cluster;
use crate::lab::{fold, millis, timed};

/// After the first, for which nothing can be remembered yet; the quickest counts.
const ROUNDS: usize = 3;

/// Measures each number of nodes with each number of pods that wait.
pub(crate) fn run(nodes: &[usize], pods: &[usize]) {
    println!("\none evaluation, with pods that have just come and nothing else to do");
    println!(
        "{:>7}{:>9}{:>9}{:>11}{:>14}{:>14}{:>9}",
        "nodes", "bound", "pending", "decisions", "new memo ms", "kept memo ms", "ratio"
    );
    for &nodes in nodes {
        for &pods in pods {
            one(nodes, pods);
        }
    }
}

fn one(nodes: usize, pods: usize) {
    let mut state = State::default();
    let mut events = Vec::new();
    let mut cluster = Cluster::new(&mut events);
    for _ in 0..nodes {
        cluster.launch(10, &mut events);
    }
    let (mut fresh, mut kept) = (Duration::MAX, Duration::MAX);
    let mut memo = Memo::default();
    let mut decisions = 0;
    for round in 0..=ROUNDS {
        cluster.pending(pods, &mut events);
        fold(&mut state, cluster.now, &events);
        events.clear();
        // Long enough for no more pods to be waited for, and too short for plans to lapse.
        cluster.now = cluster.now + Span::secs(2);
        let now = cluster.now;
        let evaluate = |memo: &mut Memo| timed(|| decide(&state, now, memo, &mut NoTrace).decisions);
        let (decided, without) = evaluate(&mut Memo::default());
        let (again, with) = evaluate(&mut memo);
        assert!(decided == again, "a memo changes no decision");
        if round > 0 {
            (fresh, kept, decisions) = (fresh.min(without), kept.min(with), decided.len());
        }
        events.extend(decided.into_iter().map(Event::Decision));
    }
    println!(
        "{nodes:>7}{:>9}{pods:>9}{decisions:>11}{:>14.3}{:>14.3}{:>9.3}",
        nodes * 10,
        millis(fresh),
        millis(kept),
        kept.as_secs_f64() / fresh.as_secs_f64(),
    );
}
