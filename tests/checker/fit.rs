//! Whether pods fit a node: by its labels and taints, by resources, and by host ports.
//!
//! Invariant: nothing here depends on the order in which pods are bound.

use std::collections::BTreeSet;

use crate::daemon::Daemon;
use crate::demand::Profile;
use crate::host::Host;
use crate::model::InstanceType;
use crate::objects::Taint;
use crate::plan::TypeOption;
use crate::pod::Pod;
use crate::quantity::{Quantity, Resources, add_to, amount};
use crate::resources::HostPort;
use crate::taints::{describe, repelled_by};
use crate::violation::{Rule, Violation};
use crate::world::World;

/// Checks a pod against the labels and taints of the node where it goes.
pub(crate) fn check_pod(pod: &Pod<'_>, host: &Host, world: &World<'_>, found: &mut Vec<Violation>) {
    let mut report = |rule, message: String| {
        found.push(Violation::new(rule, message).pod(&pod.key).host(&host.name));
    };
    if host.leaving {
        report(Rule::NodeLeaving, "the node is being deleted".to_owned());
    }
    if let Some(taint) = repelled_by(pod.tolerations, &host.taints) {
        report(Rule::Taint, format!("the pod does not tolerate {}", describe(taint)));
    }
    for (rule, demand) in [
        (Rule::NodeSelector, &pod.selector),
        (Rule::NodeAffinity, &pod.affinity),
        (Rule::VolumeTopology, &pod.volumes.demand),
    ] {
        if let Some(profile) = host.profiles.iter().find(|profile| !demand.holds_on(profile)) {
            let asked: Vec<String> = demand
                .keys()
                .map(|key| match profile.get(key) {
                    Some(allowed) => format!("{key} is {allowed}"),
                    None => format!("{key} is missing"),
                })
                .collect();
            report(rule, format!("it does not hold on each node this can be: {}", asked.join(", ")));
        }
    }
    for problem in &pod.volumes.problems {
        report(Rule::VolumeTopology, problem.clone());
    }
    if pod.wants_devices && world.scenario.settings.ignore_dra_requests != Some(false) {
        report(Rule::DynamicResources, "the pod asks for devices, which are ignored here".to_owned());
    }
}

/// The daemon sets that a node with these looks may get.
pub(crate) fn daemons_on<'d, 'a>(
    profile: &Profile,
    taints: &[Taint],
    world: &'d World<'a>,
) -> Vec<&'d Daemon<'a>> {
    world.daemons.iter().filter(|daemon| daemon.may_run_on(profile, taints)).collect()
}

/// The first resource of which more is requested than there is.
pub(crate) fn shortage(requested: &Resources, available: &Resources) -> Option<String> {
    requested.iter().find_map(|(name, &wanted)| {
        let have = amount(available, name);
        (wanted > have && wanted > Quantity::ZERO)
            .then(|| format!("{wanted} of {name} are requested, {have} are allocatable"))
    })
}

/// The first two ports that cannot be on one node.
pub(crate) fn port_conflict(groups: &[(&str, &[HostPort])]) -> Option<String> {
    for (index, (one, ports)) in groups.iter().enumerate() {
        for (other, others) in &groups[..index] {
            let both = ports.iter().find(|port| others.iter().any(|other| port.conflicts_with(other)));
            if let Some(port) = both {
                return Some(format!("{other} and {one} both take host port {}", port.port));
            }
        }
    }
    None
}

/// Why pods and daemon sets do not fit a planned node of this instance type.
///
/// Offerings may change what is allocatable. As Karpenter, the checker asks that the pods fit with one of these
/// variants; but then in each of its offerings, since daemon sets can differ between zones.
pub(crate) fn misfit(
    option: &TypeOption<'_>,
    pods: &[&Pod<'_>],
    taints: &[Taint],
    world: &World<'_>,
) -> Option<(Rule, String)> {
    if let Some(message) = unattachable(option.kind, pods, world) {
        return Some((Rule::VolumeLimit, message));
    }
    let mut first = None;
    let mut variants: Vec<Vec<usize>> = Vec::new();
    for index in 0..option.offerings.len() {
        let same = |other: &usize| {
            let (one, other) = (option.offerings[index].0, option.offerings[*other].0);
            one.capacity_override == other.capacity_override
                && one.overhead_override == other.overhead_override
        };
        match variants.iter_mut().find(|variant| variant.iter().any(same)) {
            Some(variant) => variant.push(index),
            None => variants.push(vec![index]),
        }
    }
    for variant in variants {
        let problem = variant.into_iter().find_map(|index| {
            let (offering, profile) = &option.offerings[index];
            let daemons = daemons_on(profile, taints, world);
            misfit_in(option.kind, &option.kind.allocatable(offering), pods, &daemons)
        });
        match problem {
            None => return None,
            Some(problem) => {
                first.get_or_insert(problem);
            }
        }
    }
    first
}

/// Why pods use more volumes than are attached to a node of an instance type, as far as nodes of that type say.
fn unattachable(kind: &InstanceType, pods: &[&Pod<'_>], world: &World<'_>) -> Option<String> {
    let all: BTreeSet<_> = pods.iter().flat_map(|pod| &pod.volumes.attachments).collect();
    let drivers: BTreeSet<&String> = all.iter().map(|(driver, _)| driver).collect();
    drivers.into_iter().find_map(|driver| {
        let most = *world.attachable.get(&(kind.name.clone(), driver.clone()))?;
        let count = all.iter().filter(|(of, _)| of == driver).count();
        (count > most)
            .then(|| format!("{}: {driver} would attach {count} volumes, it can attach {most}", kind.name))
    })
}

fn misfit_in(
    kind: &InstanceType,
    allocatable: &Resources,
    pods: &[&Pod<'_>],
    daemons: &[&Daemon<'_>],
) -> Option<(Rule, String)> {
    let mut total = Resources::new();
    let mut ports: Vec<(&str, &[HostPort])> = Vec::new();
    for pod in pods {
        add_to(&mut total, &pod.requests);
        ports.push((&pod.key, &pod.ports));
    }
    for daemon in daemons {
        add_to(&mut total, &daemon.requests);
        ports.push((&daemon.name, &daemon.ports));
    }
    let name = &kind.name;
    if let Some(shortage) = shortage(&total, allocatable) {
        let message = format!("{name}: {shortage} ({} daemon pods included)", daemons.len());
        return Some((Rule::Resources, message));
    }
    // Two daemon sets that take the same port are not the result's fault.
    let conflict = pods.iter().enumerate().find_map(|(index, pod)| {
        let own = (pod.key.as_str(), pod.ports.as_slice());
        let others = ports.iter().enumerate().filter(|(other, _)| *other != index);
        others.into_iter().find_map(|(_, other)| port_conflict(&[own, *other]))
    });
    conflict.map(|conflict| (Rule::HostPort, format!("{name}: {conflict}")))
}
