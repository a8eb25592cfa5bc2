//! What a run came to.
//!
//! **Invariant:** every figure is an integer or exact text, and equal runs have equal reports.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use purser_engine::model::{CapacityType, Money, PodKey, PodSpec, Price, Span, Str, Time};

/// The figures of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The scenario's name.
    pub scenario: Str,
    /// The world's seed.
    pub seed: u64,
    /// When the run began.
    pub start: Time,
    /// Up to when it is counted.
    pub end: Time,
    /// What the instances cost, by the second, at their offerings' prices.
    pub cost: Money,
    /// How long instances ran, summed, by the way they are paid.
    pub node_hours_by_capacity_type: BTreeMap<CapacityType, Span>,
    /// How long instances ran, summed, by pool.
    pub node_hours_by_pool: BTreeMap<Str, Span>,
    /// Requested of allocatable CPU over the lives of instances, in thousandths. Daemon pods count as
    /// requested.
    pub cpu_utilisation: u32,
    /// Requested of allocatable memory over the lives of instances, in thousandths.
    pub memory_utilisation: u32,
    /// From creation to binding: half of the pods waited no longer.
    pub pending_median: Span,
    /// Ninety-nine in a hundred waited no longer.
    pub pending_p99: Span,
    /// The longest wait that ended.
    pub pending_max: Span,
    /// Pods created, those of DaemonSets aside.
    pub pods_created: u64,
    /// Of which were bound.
    pub pods_bound: u64,
    /// Of which ran to their end.
    pub pods_completed: u64,
    /// Of which ended with their node.
    pub pods_lost_with_node: u64,
    /// Pods that are still without a node and can never have one, by the reason.
    pub never_ran: BTreeMap<String, u64>,
    /// The others that are still without a node: why is for the controller to say.
    pub waiting: Vec<PodKey>,
    /// Pods that were lost and that their workload did not make again: zero, unless the simulator is at
    /// fault.
    pub pods_lost: u64,
    /// Instances started.
    pub launches: u64,
    /// Instances stopped by order.
    pub removals: u64,
    /// Evictions granted, deletions by order included.
    pub evictions: u64,
    /// Evictions refused for a budget.
    pub refused_evictions: u64,
    /// Interruption notices.
    pub interruptions: u64,
    /// Instances that died without notice.
    pub sudden_deaths: u64,
    /// Launches for which there was no capacity.
    pub insufficient_capacity: u64,
    /// The most nodes at once.
    pub peak_nodes: u64,
    /// The course of the run, at fixed steps.
    pub samples: Vec<Sample>,
    /// Pod specs by number.
    pub specs: Vec<Arc<PodSpec>>,
    /// When pods ran, daemon pods aside: what any fleet of nodes had to carry.
    pub ran: Vec<Ran>,
}

/// How things stood at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sample {
    /// When.
    pub at: Time,
    /// Nodes.
    pub nodes: u64,
    /// What the instances cost.
    pub price: Price,
    /// Pods without a node.
    pub pending: u64,
}

/// A pod's time on a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ran {
    /// Its spec, by its number in [`Report::specs`].
    pub class: u32,
    /// When it was bound.
    pub start: Time,
    /// When it gave its place up.
    pub end: Time,
}

/// Hours and thousandths of hours.
fn hours(span: Span) -> String {
    let thousandths = span.0 / 3_600_000;
    format!("{}.{:03}", thousandths / 1_000, thousandths % 1_000)
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "scenario {} seed {} from {} to {}", self.scenario, self.seed, self.start, self.end)?;
        writeln!(f, "cost {}", self.cost)?;
        for (capacity_type, span) in &self.node_hours_by_capacity_type {
            writeln!(f, "node hours {capacity_type} {}", hours(*span))?;
        }
        for (pool, span) in &self.node_hours_by_pool {
            writeln!(f, "node hours in {pool} {}", hours(*span))?;
        }
        writeln!(
            f,
            "utilisation cpu {} memory {} thousandths",
            self.cpu_utilisation, self.memory_utilisation
        )?;
        writeln!(
            f,
            "pending median {} p99 {} max {}",
            self.pending_median, self.pending_p99, self.pending_max
        )?;
        writeln!(
            f,
            "pods created {} bound {} completed {} ended with their node {} lost {}",
            self.pods_created, self.pods_bound, self.pods_completed, self.pods_lost_with_node, self.pods_lost
        )?;
        for (why, count) in &self.never_ran {
            writeln!(f, "pods without a node {count}: {why}")?;
        }
        if !self.waiting.is_empty() {
            writeln!(f, "pods without a node {}: still waiting", self.waiting.len())?;
        }
        writeln!(
            f,
            "launches {} removals {} evictions {} refused {} interruptions {} sudden deaths {} without capacity {} peak nodes {}",
            self.launches,
            self.removals,
            self.evictions,
            self.refused_evictions,
            self.interruptions,
            self.sudden_deaths,
            self.insufficient_capacity,
            self.peak_nodes
        )
    }
}
