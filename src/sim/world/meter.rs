//! What is counted and integrated on the way to a report.
//!
//! **Invariant:** an integral is brought up to date before any of its rates changes, so that it does not
//! depend on when it is looked at.

use std::collections::BTreeMap;

use purser_engine::model::{CapacityType, Price, Resources, Span, Str, Time};

use super::class::Classes;
use super::machine::Machine;
use super::pod::Pod;
use crate::report::{Ran, Sample};

/// Counters, rates and integrals.
#[derive(Debug, Clone)]
pub(super) struct Meter {
    until: Time,
    end: Option<Time>,
    next_sample: Time,
    sample_every: Span,
    pub(super) samples: Vec<Sample>,

    pub(super) nodes: u64,
    pub(super) peak_nodes: u64,
    price: Price,
    allocatable: [i64; 2],
    requested: [i64; 2],
    pub(super) allocatable_time: [i128; 2],
    pub(super) requested_time: [i128; 2],

    pub(super) cost: i128,
    pub(super) by_capacity_type: BTreeMap<CapacityType, Span>,
    pub(super) by_pool: BTreeMap<Str, Span>,

    pub(super) created: u64,
    pub(super) completed: u64,
    pub(super) lost_with_node: u64,
    pub(super) pods_stopping: u64,
    pub(super) waited: Vec<Span>,
    pub(super) ran: Vec<Ran>,

    pub(super) launch_orders: u64,
    pub(super) launches: u64,
    pub(super) terminations: u64,
    pub(super) evictions: u64,
    pub(super) refused_evictions: u64,
    pub(super) interruptions: u64,
    pub(super) sudden_deaths: u64,
    pub(super) dry_answers: u64,
}

impl Meter {
    pub(super) fn new(start: Time, end: Option<Time>, sample_every: Span) -> Self {
        Self {
            until: start,
            end,
            next_sample: start,
            sample_every: sample_every.max(Span::secs(1)),
            samples: Vec::new(),
            nodes: 0,
            peak_nodes: 0,
            price: Price(0),
            allocatable: [0; 2],
            requested: [0; 2],
            allocatable_time: [0; 2],
            requested_time: [0; 2],
            cost: 0,
            by_capacity_type: BTreeMap::new(),
            by_pool: BTreeMap::new(),
            created: 0,
            completed: 0,
            lost_with_node: 0,
            pods_stopping: 0,
            waited: Vec::new(),
            ran: Vec::new(),
            launch_orders: 0,
            launches: 0,
            terminations: 0,
            evictions: 0,
            refused_evictions: 0,
            interruptions: 0,
            sudden_deaths: 0,
            dry_answers: 0,
        }
    }

    /// Lets time pass at the present rates.
    pub(super) fn pass(&mut self, to: Time, pending: usize) {
        if to <= self.until {
            return;
        }
        while self.next_sample < to && self.end.is_none_or(|end| self.next_sample <= end) {
            self.samples.push(Sample {
                at: self.next_sample,
                nodes: self.nodes,
                price: self.price,
                pending: pending as u64,
            });
            self.next_sample = self.next_sample + self.sample_every;
        }
        let span = i128::from(to.since(self.until).0);
        for i in 0..2 {
            self.allocatable_time[i] += i128::from(self.allocatable[i]) * span;
            self.requested_time[i] += i128::from(self.requested[i]) * span;
        }
        self.until = to;
    }

    /// A pod on a node of ours takes its share, or gives it back.
    pub(super) fn requested(&mut self, requests: &Resources, more: bool) {
        let sign = if more { 1 } else { -1 };
        self.requested[0] += sign * requests.cpu_millis;
        self.requested[1] += sign * requests.memory_bytes;
    }

    /// An instance runs from now on.
    pub(super) fn machine_up(&mut self, machine: &Machine) {
        self.launches += 1;
        self.price = self.price + machine.price();
        let allocatable = machine.instance_type.allocatable();
        self.allocatable[0] += allocatable.cpu_millis;
        self.allocatable[1] += allocatable.memory_bytes;
    }

    /// An instance runs no more.
    pub(super) fn machine_gone(&mut self, machine: &Machine) {
        self.price = self.price - machine.price();
        let allocatable = machine.instance_type.allocatable();
        self.allocatable[0] -= allocatable.cpu_millis;
        self.allocatable[1] -= allocatable.memory_bytes;
        self.lived(machine, self.until);
    }

    /// Adds an instance's life and cost up to a moment.
    pub(super) fn lived(&mut self, machine: &Machine, until: Time) {
        let lived = machine.lived_at(until);
        let by_capacity_type = self.by_capacity_type.entry(machine.facts.capacity_type).or_default();
        by_capacity_type.0 += lived.0;
        self.by_pool.entry(machine.template.name.as_shared().clone()).or_default().0 += lived.0;
        self.cost += machine.cost_at(until);
    }

    /// What runs costs more or less from now on.
    pub(super) fn repriced(&mut self, was: Price, is: Price) {
        self.price = self.price - was + is;
    }

    /// A Node object is there.
    pub(super) fn node_joined(&mut self) {
        self.nodes += 1;
        self.peak_nodes = self.peak_nodes.max(self.nodes);
    }

    /// The pods of a node whose instance is gone count no more.
    pub(super) fn orphan_node(&mut self, on_it: &[u32], pods: &[Pod], classes: &Classes) {
        for pod in on_it {
            self.requested(&classes.all[pods[*pod as usize].class as usize].spec.requests, false);
        }
    }
}
