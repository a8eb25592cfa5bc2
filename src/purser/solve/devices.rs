//! Devices and claims on them: of a scenario for the scheduler, and of its plan for those who read the result.
//!
//! **Invariant:** whoever has claims is in both: a pod either gets what all of its claims ask for, or there is a reason that it does not.

use std::collections::{BTreeMap, BTreeSet};

use purser_api::devices::{Book, SliceTemplate};
use purser_api::scenario::{Scenario, ScenarioPod, ScenarioType};
use purser_engine::model::{ClaimSource, InventoryId, NodeName, PodClaim, PodKey, PoolName, TypeName, label};
use purser_engine::schedule::{DevicePlace, Devices, Given, Host, PendingPod, Plan, PodDevices, PoolOffer};
use serde::Serialize;

use super::world::World;

/// The devices that a claim gets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DeviceAllocation {
    /// The pod for which it is allocated.
    pub pod: String,
    /// What the pod calls the claim.
    pub claim: String,
    /// The ResourceClaim, if there is one already.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource_claim: Option<String>,
    /// The node where the devices are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// Or the node to launch, by its place among those.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub new_node_claim: Option<usize>,
    /// Should that be of one of these instance types.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub instance_types: Vec<String>,
    /// The devices.
    pub devices: Vec<GivenDevice>,
}

/// A device that a claim gets.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct GivenDevice {
    /// The request of the claim; behind a slash, which of its alternatives.
    pub request: String,
    /// The driver.
    pub driver: String,
    /// The pool of devices; none for those of an instance type.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub pool: String,
    /// The device.
    pub device: String,
}

/// What there is, and who asks for it; nothing if claims are to be ignored.
pub(super) fn devices(
    scenario: &Scenario,
    pods: &[PendingPod],
    hosts: &[Host],
    pools: &[PoolOffer],
) -> Option<Devices> {
    if scenario.settings.ignore_dra_requests {
        return None;
    }
    let by_key: BTreeMap<&PodKey, &ScenarioPod> =
        scenario.pods.iter().map(|pod| (&pod.facts.key, pod)).collect();
    let is_bound = |key: &&PodKey| by_key.get(*key).is_some_and(|pod| pod.facts.node.is_some());
    let leaving: BTreeSet<PodKey> = pods.iter().map(|pod| &pod.key).filter(is_bound).cloned().collect();
    let mut book = Book::new(&scenario.devices, leaving);
    // Claims first: devices are looked at with the eyes of those who ask.
    let of_pod = |pod: &PendingPod| {
        let refs = by_key.get(&pod.key).map(|pod| pod.claims.as_slice()).unwrap_or_default();
        book.claims(&pod.key.namespace, refs)
    };
    let pods = pods.iter().map(of_pod).collect();
    let of_set = |set: &purser_api::DaemonSetFacts| {
        // A daemon pod whose claims cannot be had does not run, and so takes nothing.
        let claims = book.claims(&set.namespace, &set.claims).unwrap_or_default();
        let own = claims.into_iter().filter_map(|claim| match claim {
            PodClaim::Own(kind) => Some(kind),
            PodClaim::Shared(..) | PodClaim::Allocated(_) => None,
        });
        own.collect()
    };
    let daemons = scenario.daemon_sets.iter().map(of_set).collect();
    let hosts = hosts.iter().map(|host| of_host(scenario, &mut book, host)).collect();
    let of_pool = |offer: &PoolOffer| {
        let of_type = |name: &TypeName| {
            let slices = type_of(scenario, &offer.pool.name, name).map(|one| one.slices.as_slice());
            book.of_type(slices.unwrap_or_default())
        };
        offer.types.iter().map(|one| &one.name).map(of_type).collect()
    };
    let types = pools.iter().map(of_pool).collect();
    let (kinds, inventories, wide) = book.finish();
    Some(Devices { kinds, inventories, wide, pods, hosts, types, daemons, expected: BTreeMap::new() })
}

/// An instance type of a pool by its name; of two the first counts.
fn type_of<'s>(scenario: &'s Scenario, pool: &PoolName, name: &TypeName) -> Option<&'s ScenarioType> {
    let list = scenario.types_by_pool.get(pool).unwrap_or(&scenario.types);
    list.iter().find(|one| one.name == *name)
}

/// The devices of a host: those of its node, and as long as that starts those that its instance type will have.
fn of_host<'s>(scenario: &'s Scenario, book: &mut Book<'s>, host: &Host) -> Option<InventoryId> {
    let value = |key: &str| host.labels.value(key);
    let initialized = value(label::INITIALIZED).is_some_and(|value| &**value == "true");
    let expected: &'s [SliceTemplate] = match (value(label::NODEPOOL), value(label::INSTANCE_TYPE)) {
        (Some(pool), Some(name)) if !initialized => {
            let known = type_of(scenario, &PoolName::new(pool.clone()), &TypeName::new(name.clone()));
            known.map(|one| one.slices.as_slice()).unwrap_or_default()
        }
        _ => &[],
    };
    book.of_node(&NodeName::new(host.name.clone()), expected)
}

/// What the claims of a plan's pods get.
pub(super) fn allocations(scenario: &Scenario, world: &World, plan: &Plan) -> Vec<DeviceAllocation> {
    let Some(devices) = &world.devices else { return Vec::new() };
    let by_key: BTreeMap<&PodKey, &ScenarioPod> =
        scenario.pods.iter().map(|pod| (&pod.facts.key, pod)).collect();
    let mut given: Vec<&PodDevices> = plan.devices.iter().collect();
    given.sort_by_key(|one| (&world.pods[one.pod].key, one.claim, one.place));
    let mut all: Vec<DeviceAllocation> = Vec::new();
    for one in given {
        let key = &world.pods[one.pod].key;
        let Some(claim) = by_key.get(key).and_then(|pod| pod.claims.get(one.claim)) else { continue };
        let kind = match &devices.pods[one.pod] {
            Ok(claims) => match claims[one.claim] {
                PodClaim::Own(kind) | PodClaim::Shared(_, kind) => devices.kind(kind),
                PodClaim::Allocated(_) => continue,
            },
            Err(_) => continue,
        };
        let (node, new_node_claim, instance_types, inventory) = match one.place {
            DevicePlace::Host(at) => {
                (Some(world.hosts[at].name.to_string()), None, Vec::new(), devices.hosts[at])
            }
            DevicePlace::Launch { launch, type_at } => {
                let pool = plan.launches[launch].pool;
                let name = world.pools[pool].types[type_at].name.to_string();
                (None, Some(launch), vec![name], devices.types[pool][type_at])
            }
        };
        let Some(inventory) = inventory.map(|id| devices.inventory(id)) else { continue };
        let print = |given: &Given| {
            let (request, device) = (&kind.requests[given.request], &inventory.devices()[given.device].name);
            let request = match &request.alternatives[given.alternative].name {
                Some(alternative) => format!("{}/{alternative}", request.name),
                None => request.name.to_string(),
            };
            let (driver, pool) = (device.driver.to_string(), device.pool.to_string());
            GivenDevice { request, driver, pool, device: device.device.to_string() }
        };
        let resource_claim = match &claim.source {
            ClaimSource::Named(name) | ClaimSource::Made(name) => Some(format!("{}/{name}", key.namespace)),
            ClaimSource::Template(_) | ClaimSource::NotNeeded => None,
        };
        let new = DeviceAllocation {
            pod: key.to_string(),
            claim: claim.name.to_string(),
            resource_claim,
            node,
            new_node_claim,
            instance_types,
            devices: one.devices.iter().map(print).collect(),
        };
        // Types on which it gets the same are named together.
        let alike = |known: &&mut DeviceAllocation| {
            let place = (&known.pod, &known.claim, known.new_node_claim, &known.devices);
            place == (&new.pod, &new.claim, new.new_node_claim, &new.devices)
        };
        match all.iter_mut().rev().find(alike) {
            Some(known) => known.instance_types.extend(new.instance_types),
            None => all.push(new),
        }
    }
    all
}
