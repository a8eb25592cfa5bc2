//! Rules for nodes that exist.
//!
//! Invariant: only nodes that get a new pod are judged; what was there before is nobody's decision here.

use std::collections::BTreeSet;

use crate::domains::Reach;
use crate::fit::{check_pod, daemons_on, port_conflict, shortage};
use crate::host::Host;
use crate::plan::Plan;
use crate::pod::Pod;
use crate::quantity::{Resources, add_to};
use crate::resources::HostPort;
use crate::violation::{Rule, Violation};
use crate::world::World;

pub(crate) fn check(plan: &Plan<'_, '_>, world: &World<'_>, found: &mut Vec<Violation>) {
    for (index, host) in world.hosts.iter().enumerate() {
        let new: Vec<&Pod<'_>> = plan.new_pods(index).map(|pod| &world.pods[pod]).collect();
        if new.is_empty() {
            continue;
        }
        for pod in &new {
            check_pod(pod, host, world, found);
        }
        let problems = problems(index, host, &new, Reach::Available, world);
        let of_host = |(rule, message): (Rule, String)| Violation::new(rule, message).host(&host.name);
        found.extend(problems.into_iter().map(of_host));
    }
}

/// What goes wrong on a node if these pods join those that stay there.
///
/// A daemon pod that is yet to come has its resources kept for it, as Karpenter does. Its host ports are free until it
/// comes, as kube-scheduler sees it; only the widest reach keeps them too.
pub(crate) fn problems(
    index: usize,
    host: &Host,
    new: &[&Pod<'_>],
    reach: Reach,
    world: &World<'_>,
) -> Vec<(Rule, String)> {
    let Some(existing) = &host.existing else { return Vec::new() };
    let there: Vec<&Pod<'_>> = world
        .staying
        .iter()
        .filter(|(_, at)| *at == index)
        .map(|(pod, _)| &world.pods[*pod])
        .filter(|pod| !pod.finished)
        .collect();

    let mut total = Resources::new();
    let mut ports: Vec<(&str, &[HostPort])> = Vec::new();
    for pod in &there {
        add_to(&mut total, &pod.requests);
        ports.push((&pod.key, &pod.ports));
    }
    // Daemon sets that have no pod here yet will want one.
    for profile in &host.profiles {
        for daemon in daemons_on(profile, &host.taints, world) {
            if !there.iter().any(|pod| daemon.owns(pod.object)) {
                add_to(&mut total, &daemon.requests);
                if reach == Reach::Widest {
                    ports.push((&daemon.name, &daemon.ports));
                }
            }
        }
    }
    let mut problems = Vec::new();
    for pod in new {
        add_to(&mut total, &pod.requests);
        let own = (pod.key.as_str(), pod.ports.as_slice());
        let conflict = ports.iter().find_map(|other| port_conflict(&[*other, own]));
        problems.extend(conflict.map(|conflict| (Rule::HostPort, conflict)));
        ports.push(own);
    }
    // A resource that no new pod wants may be overcommitted already.
    total.retain(|name, _| new.iter().any(|pod| pod.requests.contains_key(name)));
    problems.extend(shortage(&total, &existing.allocatable).map(|shortage| (Rule::Resources, shortage)));

    for (driver, &most) in &existing.attachable {
        let of = |pods: &[&Pod<'_>]| -> BTreeSet<(String, String)> {
            let all = pods.iter().flat_map(|pod| pod.volumes.attachments.iter().cloned());
            all.filter(|(by, _)| by == driver).collect()
        };
        let (before, added) = (of(&there), of(new));
        let after = before.union(&added).count();
        if after > most && after > before.len() {
            let message = format!("{after} volumes of {driver} would be attached, {most} can be");
            problems.push((Rule::VolumeLimit, message));
        }
    }
    problems
}
