//! The scheduler of the simulated cluster: kube-scheduler's filters, and of its scores the one that spreads
//! by load.
//!
//! Filters: resources with the number of pods and extended resources, node selector and required node
//! affinity, taints and cordon, host ports, topology spread with `DoNotSchedule`, required pod affinity and
//! anti-affinity. Pods go in order of priority, then creation; among feasible nodes the least allocated is
//! taken (`LeastAllocated` over cpu and memory, in hundredths), then the first by name. Preferences, volumes
//! and resource claims are not looked at, and nothing is preempted.
//!
//! **Invariant:** a class that is marked as stuck fits no node but those changed since. So a round looks
//! again only at what can have helped.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};

use purser_engine::model::{NodeName, PodPhase, Str, Time};
use rustc_hash::FxHashSet;

use super::class::{Classes, Rule};
use super::node::{Hot, Nodes};
use super::{Happening, World};
use crate::check::Violation;

/// Pods that wait to be bound, by class.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    by_class: Vec<Queue>,
    classes: BTreeSet<u32>,
    changed: BTreeSet<u32>,
    anything_bound: bool,
    round_at: Option<Time>,
    pub(super) pods: usize,
}

#[derive(Debug, Default)]
struct Queue {
    pods: BTreeSet<(Time, u32)>,
    /// Pods that no round has looked at yet.
    fresh: Vec<u32>,
    stuck: bool,
}

/// Which nodes a search looks at.
#[derive(Clone, Copy)]
enum Among<'a> {
    All,
    These(&'a [u32]),
}

impl Waiting {
    pub(super) fn new(classes: usize) -> Self {
        Self { by_class: (0..classes).map(|_| Queue::default()).collect(), ..Self::default() }
    }

    fn remove(&mut self, class: u32, created: Time, pod: u32) {
        let queue = &mut self.by_class[class as usize];
        if queue.pods.remove(&(created, pod)) {
            self.pods -= 1;
        }
        if queue.pods.is_empty() {
            queue.stuck = false;
            queue.fresh.clear();
            self.classes.remove(&class);
        }
    }

    /// Whether a round is to come.
    pub(super) fn is_round_due(&self) -> bool {
        self.round_at.is_some()
    }
}

impl World {
    /// A pod wants a node.
    pub(super) fn enqueue(&mut self, pod: u32) {
        let (class, created) = (self.pods[pod as usize].class, self.pods[pod as usize].created);
        let queue = &mut self.waiting.by_class[class as usize];
        queue.pods.insert((created, pod));
        queue.fresh.push(pod);
        self.waiting.pods += 1;
        self.waiting.classes.insert(class);
        self.call_round();
    }

    /// A pod no longer wants a node.
    pub(super) fn dequeue(&mut self, pod: u32) {
        let (class, created) = (self.pods[pod as usize].class, self.pods[pod as usize].created);
        self.waiting.remove(class, created, pod);
    }

    /// Something on a node changed that can help a pod.
    pub(super) fn node_changed(&mut self, node: u32) {
        if !self.waiting.classes.is_empty() {
            self.waiting.changed.insert(node);
            self.call_round();
        }
    }

    fn call_round(&mut self) {
        if self.waiting.round_at.is_none() {
            let at = self.now + self.faults.scheduler_latency;
            self.waiting.round_at = Some(at);
            self.queue.push(at, Happening::Round);
        }
    }

    /// Binds what can be bound.
    pub(super) fn round(&mut self) {
        self.waiting.round_at = None;
        let changed: Vec<u32> = std::mem::take(&mut self.waiting.changed)
            .into_iter()
            .filter(|node| !self.nodes.get(*node).gone)
            .collect();
        let elsewhere = std::mem::take(&mut self.waiting.anything_bound) || !changed.is_empty();
        let mut heads = BinaryHeap::new();
        for class in self.waiting.classes.clone() {
            let of_class = &self.classes.all[class as usize];
            let queue = &self.waiting.by_class[class as usize];
            let full = !queue.stuck || (of_class.global && elsewhere);
            if full || !changed.is_empty() {
                let (created, pod) = *queue.pods.first().expect("invariant: a waiting class has pods");
                heads.push(Reverse((Reverse(of_class.spec.priority), created, pod, class, full)));
            } else {
                self.mark_pending(class);
            }
        }
        let mut bound_any = false;
        let mut stuck_global = false;
        while let Some(Reverse((priority, _, pod, class, full))) = heads.pop() {
            let among = if full { Among::All } else { Among::These(&changed) };
            if let Some(node) = find(&mut self.classes, &self.nodes, class, among) {
                self.bind(pod, node);
                bound_any = true;
                if let Some((created, next)) = self.waiting.by_class[class as usize].pods.first() {
                    heads.push(Reverse((priority, *created, *next, class, full)));
                }
            } else {
                self.waiting.by_class[class as usize].stuck = true;
                stuck_global |= self.classes.all[class as usize].global;
                self.mark_pending(class);
            }
        }
        if bound_any && stuck_global {
            // What was bound may have made room for those that depend on the place of others.
            self.waiting.anything_bound = true;
            self.call_round();
        }
    }

    /// Says of new pods of a class that no node was found for them.
    fn mark_pending(&mut self, class: u32) {
        for pod in std::mem::take(&mut self.waiting.by_class[class as usize].fresh) {
            if self.pods[pod as usize].phase == PodPhase::Untried {
                self.pods[pod as usize].phase = PodPhase::Pending;
                self.tell(super::outbox::Subject::Pod(pod), None);
            }
        }
    }

    /// Binds a pod to a node.
    pub(super) fn bind(&mut self, pod: u32, node: u32) {
        self.dequeue(pod);
        self.occupy(pod, node);
        self.pod_bound(pod, node);
    }

    /// Takes a pod's share of a node.
    pub(super) fn occupy(&mut self, pod: u32, node: u32) {
        if !self.occupy_as_found(pod, node) {
            self.violations.push(Violation::Overcommitted {
                node: self.nodes.get(node).facts.name.clone(),
                pod: self.pods[pod as usize].key.clone(),
            });
        }
    }

    /// Takes a pod's share of a node, and says whether there was so much.
    pub(super) fn occupy_as_found(&mut self, pod: u32, node: u32) -> bool {
        let class = self.pods[pod as usize].class;
        let of_class = &self.classes.all[class as usize];
        let fits = self.nodes.place(node, pod, of_class);
        let labels = self.nodes.get(node).facts.labels.clone();
        for group in &of_class.counted {
            self.classes.groups[*group as usize].change(node, &labels, true);
        }
        if self.nodes.get(node).machine.is_some() {
            self.meter.requested(&of_class.spec.requests, true);
        }
        fits
    }
}

/// The node that a pod of the class goes to.
fn find(classes: &mut Classes, nodes: &Nodes, class: u32, among: Among<'_>) -> Option<u32> {
    let floors = floors(classes, nodes, class);
    let mut best: Option<(i64, &NodeName, u32)> = None;
    let mut consider = |hot: &Hot| {
        let of_class = &classes.all[class as usize];
        if !nodes.has_room(hot, of_class) {
            return;
        }
        let node = nodes.get(hot.node);
        let score = score(hot, &of_class.request);
        if best.is_some_and(|(high, name, _)| score < high || (score == high && name <= &node.facts.name)) {
            return;
        }
        let verdict = classes.verdict(class, hot.class, node.facts.name.as_shared());
        if verdict.matches && verdict.tolerated && is_allowed(classes, nodes, class, hot.node, &floors) {
            best = Some((score, &node.facts.name, hot.node));
        }
    };
    match among {
        Among::All => nodes.hot.iter().for_each(&mut consider),
        Among::These(some) => some.iter().for_each(|node| consider(&nodes.hot(*node))),
    }
    best.map(|(_, _, node)| node)
}

/// `LeastAllocated` over cpu and memory, after the pod.
fn score(hot: &Hot, request: &[i64; 4]) -> i64 {
    let part = |free: i64, wanted: i64, all: i64| {
        if all <= 0 { 0 } else { (free - wanted).max(0).saturating_mul(100) / all }
    };
    (part(hot.free[0], request[0], hot.cpu) + part(hot.free[1], request[1], hot.memory)) / 2
}

/// The lowest count among eligible domains, for each spread rule.
fn floors(classes: &mut Classes, nodes: &Nodes, class: u32) -> Vec<u32> {
    let mut floors = Vec::new();
    for at in 0..classes.all[class as usize].rules.len() {
        let Rule::Spread { group, min_domains, honor_affinity, honor_taints, .. } =
            classes.all[class as usize].rules[at]
        else {
            continue;
        };
        if min_domains.is_some_and(|least| least as usize > nodes.hot.len()) {
            floors.push(0);
            continue;
        }
        let mut lowest = u32::MAX;
        let mut domains = 0usize;
        let mut values: FxHashSet<&Str> = FxHashSet::default();
        for hot in &nodes.hot {
            let node = nodes.get(hot.node);
            let verdict = classes.verdict(class, hot.class, node.facts.name.as_shared());
            if (honor_affinity && !verdict.matches) || (honor_taints && !verdict.tolerated) {
                continue;
            }
            let of_group = &classes.groups[group as usize];
            match of_group.domain(&node.facts.labels) {
                None => continue,
                Some(None) => domains += 1,
                Some(Some(value)) => domains += usize::from(values.insert(value)),
            }
            lowest = lowest.min(of_group.count(hot.node, &node.facts.labels).unwrap_or(0));
        }
        let too_few = min_domains.is_some_and(|least| domains < least as usize);
        floors.push(if too_few || lowest == u32::MAX { 0 } else { lowest });
    }
    floors
}

/// Whether the pods that are there allow one of the class on a node.
fn is_allowed(classes: &Classes, nodes: &Nodes, class: u32, node: u32, floors: &[u32]) -> bool {
    let labels = &nodes.get(node).facts.labels;
    let mut floors = floors.iter();
    classes.all[class as usize].rules.iter().all(|rule| match rule {
        Rule::Spread { group, max_skew, own, .. } => {
            let floor = floors.next().copied().unwrap_or(0);
            let count = classes.groups[*group as usize].count(node, labels);
            count.is_some_and(|count| count + u32::from(*own) <= max_skew.saturating_add(floor))
        }
        Rule::Away { group } => {
            classes.groups[*group as usize].count(node, labels).is_none_or(|count| count == 0)
        }
        Rule::Towards { group, own } => {
            let of_group = &classes.groups[*group as usize];
            let there = of_group.count(node, labels);
            there.is_some_and(|count| count > 0 || (*own && of_group.total == 0))
        }
    })
}
