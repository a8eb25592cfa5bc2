//! What large clusters and long histories cost: memory, one evaluation, re-execution, a restart.
//!
//! `cargo bench -p purser-tests --bench scale` runs all of it; a name or several after `--` only those parts: `memory`,
//! `evaluation`, `reexecution`, `history`. `PURSER_BENCH_RECORDS` is the number of records in the history: by default ten
//! million, which keep a core busy for a minute and a half while they are made. `PURSER_BENCH=quick` makes everything small.
//!
//! Invariant: everything is made here, by the code that runs in a cluster, and removed again.
#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a bench measures time, prints, and may stop at any surprise"
)]

mod cluster;
mod evaluation;
mod history;
mod lab;
mod memory;
mod reexecution;

fn main() {
    // Cargo adds flags of its own.
    let wanted: Vec<String> =
        std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let wants = |part: &str| wanted.is_empty() || wanted.iter().any(|name| name == part);
    let quick = std::env::var("PURSER_BENCH").is_ok_and(|value| value == "quick");
    let records = std::env::var("PURSER_BENCH_RECORDS").ok().map(|value| value.parse().expect("a number"));
    if wants("memory") {
        memory::run();
    }
    if wants("evaluation") {
        let (nodes, pods): (&[usize], &[usize]) =
            if quick { (&[500], &[1, 100]) } else { (&[500, 5_000], &[1, 100, 10_000]) };
        evaluation::run(nodes, pods);
    }
    if wants("reexecution") {
        reexecution::run(if quick { 1 } else { 4 });
    }
    if wants("history") {
        history::run(records.unwrap_or(if quick { 100_000 } else { 10_000_000 }));
    }
}
