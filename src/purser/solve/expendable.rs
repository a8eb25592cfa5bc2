//! Pods of a priority below the cut-off: they use what the others leave free of nodes that are there, and nothing is launched for them.
//!
//! **Invariant:** where the other pods go does not depend on these.

use std::sync::Arc;

use purser_engine::model::{PodClaim, Requirements, label};
use purser_engine::reason::{Reason, ReasonId};
use purser_engine::schedule::{
    self, Devices, Host, HostLabels, Launch, PlacedPod, Plan, PoolOffer, Problem, Unplaced,
};

use super::outcome::launch_requirements;
use super::world::World;

/// Adds to a plan for the other pods where these go.
pub(super) fn add(world: &World, plan: &mut Plan) {
    let (first, problem) = (world.first_expendable, world.problem());
    let pods = &world.pods[first..];
    if pods.is_empty() {
        return;
    }
    let hosts = left_by(world, plan);
    let full: Vec<PoolOffer> = world.pools.iter().map(PoolOffer::full).collect();
    // What is left of devices nobody says.
    let without = |claims: &Result<Vec<PodClaim>, Reason>| match claims {
        Ok(claims) if claims.is_empty() => Ok(Vec::new()),
        _ => Err(Reason::new(ReasonId::Expendable, [])),
    };
    let devices = world.devices.as_ref().map(|devices| Devices {
        pods: devices.pods[first..].iter().map(without).collect(),
        hosts: vec![None; hosts.len()],
        ..devices.clone()
    });
    let problem = Problem { pools: &full, hosts: &hosts, pods, devices: devices.as_ref(), ..problem };
    let added = schedule::solve(&problem);
    let moved = |of: &[usize]| of.iter().map(|pod| first + pod).collect::<Vec<usize>>();
    for (host, of) in &added.hosts {
        match plan.hosts.iter_mut().find(|(known, _)| known == host) {
            Some((_, known)) => known.extend(moved(of)),
            None => plan.hosts.push((*host, moved(of))),
        }
    }
    plan.hosts.sort_unstable();
    plan.order.extend(moved(&added.order));
    let reason = Reason::new(ReasonId::Expendable, []);
    plan.unplaced.extend(
        added
            .unplaced
            .iter()
            .map(|one| Unplaced { pods: moved(&one.pods), reasons: vec![(None, reason.clone())] }),
    );
    plan.work += added.work;
}

/// Hosts with the pods that a plan sends there, and the nodes that it launches, which take no more.
fn left_by(world: &World, plan: &Plan) -> Vec<Host> {
    let mut hosts = world.hosts.clone();
    for (host, pods) in &plan.hosts {
        for pod in pods {
            put(world, &mut hosts[*host], *pod);
        }
    }
    for (number, launch) in plan.launches.iter().enumerate() {
        let mut host = launched(world, number, launch);
        launch.pods.iter().for_each(|pod| put(world, &mut host, *pod));
        hosts.push(host);
    }
    hosts
}

fn put(world: &World, host: &mut Host, pod: usize) {
    let pod = &world.pods[pod];
    let spec = &world.problem().specs[pod.spec.0 as usize];
    host.free.subtract(&spec.requests);
    host.ports.extend(spec.host_ports.iter().cloned());
    host.pods.push(PlacedPod { namespace: pod.key.namespace.clone(), spec: pod.spec });
    for volume in &pod.volumes {
        if let Some(known) = host.drivers.iter_mut().find(|known| known.driver == volume.driver) {
            known.claims.insert(volume.claim.clone());
        }
    }
}

fn launched(world: &World, number: usize, launch: &Launch) -> Host {
    let offer = &world.pools[launch.pool];
    let labels: Requirements = launch_requirements(offer, launch)
        .iter()
        .filter(|(key, one)| &***key != label::HOSTNAME && !one.is_complement())
        .map(|(key, one)| (key.clone(), one.clone()))
        .collect();
    let name = format!("launch {number}");
    Host {
        name: name.as_str().into(),
        labels: Arc::new(HostLabels::Possible(labels)),
        hostname: name.as_str().into(),
        taints: offer.pool.template.taints.clone(),
        free: Default::default(),
        pods: Vec::new(),
        ports: Vec::new(),
        drivers: Vec::new(),
        open: false,
    }
}
