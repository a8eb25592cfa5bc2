//! In which order kube-scheduler can bind the pods of a result.
//!
//! Invariant: a pod is reported only if it was refused in the best order that was found, and that order is repeatable.

use std::collections::BTreeSet;

use crate::domains::{DomainMap, Reach};
use crate::model::Outcome;
use crate::plan::Plan;
use crate::topology::{Topology, Views};
use crate::violation::{Rule, Violation};
use crate::world::World;

/// How often an order is tried again with the pods in front that were refused.
const REPAIRS: usize = 8;

/// From how many pods on a pass is not begun again after each pod.
const MANY: usize = 400;

pub(crate) fn check(plan: &Plan<'_, '_>, outcome: &Outcome, world: &World<'_>, found: &mut Vec<Violation>) {
    // A pod that is accounted for twice is reported elsewhere; here it is where it was named first.
    let mut seen = BTreeSet::new();
    let placed: Vec<(usize, usize)> =
        plan.placed.iter().copied().filter(|(pod, _)| seen.insert(*pod)).collect();
    let domains = DomainMap::new(&plan.hosts, world);
    let views = Views::new(Reach::Available, world);
    let start = || Topology::new(world, &plan.hosts, &domains, &views);
    let report = |pod: usize, host: usize, (rule, why): (Rule, String)| {
        Violation::new(rule, why).pod(&world.pods[pod].key).host(&plan.hosts[host].name)
    };
    if let Some(order) = &outcome.order {
        let mut topology = start();
        for (pod, host) in given(order, &placed, world, found) {
            if let Some(problem) = topology.problem(pod, host) {
                found.push(report(pod, host, problem));
            }
            topology.bind(pod, host);
        }
        return;
    }
    let mut best: Option<Vec<Violation>> = None;
    'search: for mut order in orders(&placed, world) {
        for _ in 0..REPAIRS {
            let mut topology = start();
            let stuck = bind_greedily(order.clone(), &mut topology);
            let problem = |&(pod, host)| Some(report(pod, host, topology.problem(pod, host)?));
            let violations: Vec<Violation> = stuck.iter().filter_map(problem).collect();
            if best.as_ref().is_none_or(|best| violations.len() < best.len()) {
                best = Some(violations);
            }
            if stuck.is_empty() {
                break 'search;
            }
            // Whoever was refused came too late: others had filled its domain.
            order.retain(|placed| !stuck.contains(placed));
            order.splice(0..0, stuck);
        }
    }
    found.extend(best.unwrap_or_default());
}

/// The order that the result names, as far as it makes sense.
fn given(
    order: &[String],
    placed: &[(usize, usize)],
    world: &World<'_>,
    found: &mut Vec<Violation>,
) -> Vec<(usize, usize)> {
    let mut left = placed.to_vec();
    let mut sequence = Vec::new();
    for name in order {
        match left.iter().position(|(pod, _)| world.pods[*pod].key == *name) {
            Some(position) => sequence.push(left.remove(position)),
            None => {
                let message = "order names a pod that is not placed, or names it again";
                found.push(Violation::new(Rule::Order, message).pod(name));
            }
        }
    }
    for (pod, _) in &left {
        let message = "the pod is placed, but order leaves it out";
        found.push(Violation::new(Rule::Order, message).pod(&world.pods[*pod].key));
    }
    sequence.extend(left);
    sequence
}

/// Binds any pod that is accepted until no more is; returns those that are left.
fn bind_greedily(order: Vec<(usize, usize)>, topology: &mut Topology<'_, '_>) -> Vec<(usize, usize)> {
    let mut left = order;
    loop {
        let before = left.len();
        let mut position = 0;
        while position < left.len() {
            let (pod, host) = left[position];
            if topology.problem(pod, host).is_some() {
                position += 1;
                continue;
            }
            topology.bind(pod, host);
            left.remove(position);
            if before < MANY {
                position = 0;
            }
        }
        if left.is_empty() || left.len() == before {
            return left;
        }
    }
}

/// Orders worth trying: as given; pods with constraints first, while others have not filled their domains; pods
/// without constraints first, so that they raise the emptiest domain.
fn orders(placed: &[(usize, usize)], world: &World<'_>) -> Vec<Vec<(usize, usize)>> {
    let constraints = |pod: usize| {
        let pod = &world.pods[pod];
        // Affinity comes before spread: the first of a group is bound only while its group is empty.
        (pod.with.is_empty(), pod.spreads.is_empty(), pod.without.is_empty())
    };
    let mut constrained_first = placed.to_vec();
    constrained_first.sort_by_key(|(pod, _)| constraints(*pod));
    let mut constrained_last = constrained_first.clone();
    constrained_last.reverse();
    vec![placed.to_vec(), constrained_first, constrained_last]
}
